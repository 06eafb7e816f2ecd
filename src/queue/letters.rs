//! Dead letters: looked at, taken in hand to be tried again or discarded, and put back where that cannot be kept.

use std::{collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;

use super::{JobState, JobView, KeepAnew, Queue, ended::DeadLetter, entry::Kept, shelf::Shelf};
use crate::{
    job::{Cause, Death, Job, JobId},
    journal::Ref,
};

/// Letters that are looked at while the queue is locked.
const LOOKED_AT: usize = 10_000;

/// The last so many dead letters, and those that somebody has in hand.
#[derive(Debug)]
pub(super) struct Letters {
    shelf: Shelf<DeadLetter>,
    by_cause: BTreeMap<Cause, usize>,
    in_hand: BTreeMap<JobId, JobView>,
}

/// Which dead letters are meant. What is not named may be anything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Which {
    /// Why they failed.
    pub cause: Option<Cause>,
    /// What they are about.
    pub resource_type: Option<Box<str>>,
    /// The topic whose enricher made them.
    pub topic: Option<Box<str>>,
}

/// A dead letter in hand: nobody else can take it, and what the journal keeps of it is whose hand it is in to let go.
#[derive(Debug)]
pub struct Letter {
    /// The job as it was.
    pub job: Arc<Job>,
    /// What the journal keeps of it.
    pub kept: Vec<Ref>,
    /// As it is shown.
    pub view: JobView,
    bytes: usize,
}

/// Why a dead letter cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoLetter {
    /// No job has this id, or none that is kept.
    Unknown,
    /// The job is in this state.
    NotDead(JobState),
    /// Somebody has it in hand.
    InHand,
    /// The journal is writing it: in a moment it can be taken.
    NotYet,
}

impl Which {
    fn means(&self, view: &JobView) -> bool {
        self.cause.is_none_or(|cause| cause == cause_of(view))
            && self.resource_type.as_ref().is_none_or(|it| *it == view.resource_type)
            && self.topic.as_deref().is_none_or(|it| *it == *view.topic)
    }
}

impl Queue {
    /// Up to `limit` dead letters of a kind with ids after `after`, by id.
    pub fn letters(&self, which: &Which, mut after: Option<JobId>, limit: usize) -> Vec<JobView> {
        let mut found = Vec::new();
        loop {
            let state = self.lock();
            let mut last = None;
            for view in state.ended.letters.after(after).take(LOOKED_AT) {
                last = Some(view.id);
                if which.means(view) {
                    found.push(view.clone());
                }
                if found.len() == limit {
                    return found;
                }
            }
            drop(state);
            if last.is_none() {
                return found;
            }
            after = last;
        }
    }

    /// How many dead letters there are of a kind.
    pub fn count_letters(&self, which: &Which) -> usize {
        let (mut count, mut after) = (0, None);
        loop {
            let state = self.lock();
            let mut last = None;
            for view in state.ended.letters.after(after).take(LOOKED_AT) {
                last = Some(view.id);
                count += usize::from(which.means(view));
            }
            if last.is_none() {
                return count;
            }
            after = last;
        }
    }

    /// Takes a dead letter in hand. It is to be put back, or to be dropped with [`Queue::drop_letters`].
    ///
    /// # Errors
    /// [`NoLetter`]: there is none, or not now.
    pub fn take_letter(&self, id: JobId) -> Result<Letter, NoLetter> {
        let mut state = self.lock();
        if let Some(entry) = state.schedule.get(id) {
            return Err(NoLetter::NotDead(entry.state()));
        }
        match state.ended.letters.take(id) {
            Err(NoLetter::Unknown) => {
                let ended = state.ended.job(id).map(|view| view.state);
                Err(ended.map_or(NoLetter::Unknown, NoLetter::NotDead))
            }
            taken => taken,
        }
    }

    /// Puts dead letters back. Returns what the journal may let go of those that there is no room for any more.
    pub fn put_back(&self, letters: Vec<Letter>) -> Vec<Ref> {
        let mut state = self.lock();
        let back = letters.into_iter().flat_map(|letter| state.ended.letters.put_back(letter));
        back.collect()
    }

    /// Dead letters that were in hand are none any more.
    pub fn drop_letters(&self, ids: impl IntoIterator<Item = JobId>) {
        let mut state = self.lock();
        ids.into_iter().for_each(|id| drop(state.ended.letters.in_hand.remove(&id)));
    }
}

impl Letters {
    pub(super) fn new(keep: usize, bytes: usize) -> Self {
        let shelf = Shelf::new(keep, bytes);
        Self { shelf, by_cause: BTreeMap::new(), in_hand: BTreeMap::new() }
    }

    /// Returns what the journal may let go of the letters that have to make room.
    pub(super) fn put(&mut self, view: JobView, letter: DeadLetter) -> Kept {
        *self.by_cause.entry(cause_of(&view)).or_default() += 1;
        let bytes = letter.bytes;
        let mut let_go = SmallVec::new();
        for (view, letter) in self.shelf.put(view, letter, bytes) {
            self.count_down(&view);
            let_go.extend(letter.kept);
        }
        let_go
    }

    pub(super) fn len(&self) -> usize {
        self.shelf.len()
    }

    pub(super) fn by_cause(&self) -> &BTreeMap<Cause, usize> {
        &self.by_cause
    }

    pub(super) fn view(&self, id: JobId) -> Option<&JobView> {
        self.shelf.view(id).or_else(|| self.in_hand.get(&id))
    }

    pub(super) fn after(&self, after: Option<JobId>) -> impl Iterator<Item = &JobView> {
        self.shelf.after(after).map(|(view, _)| view)
    }

    /// The letter as the journal is to keep it from here on; to be followed by [`Letters::is_kept`].
    pub(super) fn keep_anew(&mut self, id: JobId) -> Option<KeepAnew> {
        let (view, letter) = self.shelf.get_mut(id)?;
        letter.being_kept = true;
        Some(KeepAnew::of_letter(view, letter))
    }

    /// Letters that the journal keeps in a segment, as it is to keep them from here on.
    pub(super) fn keep_anew_in(&mut self, segment: u32) -> impl Iterator<Item = KeepAnew> {
        let is_there = move |letter: &DeadLetter| letter.kept.iter().any(|kept| kept.segment == segment);
        let letters = self.shelf.iter_mut().filter(move |(_, letter)| !letter.being_kept && is_there(letter));
        letters.map(|(view, letter)| {
            letter.being_kept = true;
            KeepAnew::of_letter(view, letter)
        })
    }

    /// The journal writes the letter no more: what it keeps of it.
    pub(super) fn is_kept(&mut self, id: JobId) -> Option<&mut Kept> {
        let (_, letter) = self.shelf.get_mut(id)?;
        letter.being_kept = false;
        Some(&mut letter.kept)
    }

    fn take(&mut self, id: JobId) -> Result<Letter, NoLetter> {
        if self.in_hand.contains_key(&id) {
            return Err(NoLetter::InHand);
        }
        if self.shelf.get_mut(id).is_some_and(|(_, letter)| letter.being_kept) {
            return Err(NoLetter::NotYet);
        }
        let (view, letter) = self.shelf.take(id).ok_or(NoLetter::Unknown)?;
        self.count_down(&view);
        self.in_hand.insert(id, view.clone());
        let DeadLetter { job, kept, bytes, .. } = letter;
        Ok(Letter { job, kept: kept.into_vec(), view, bytes })
    }

    fn put_back(&mut self, Letter { job, kept, view, bytes }: Letter) -> Kept {
        self.in_hand.remove(&view.id);
        self.put(view, DeadLetter { job, kept: kept.into(), bytes, being_kept: false })
    }

    fn count_down(&mut self, view: &JobView) {
        if let Some(count) = self.by_cause.get_mut(&cause_of(view)) {
            *count -= 1;
            if *count == 0 {
                self.by_cause.remove(&cause_of(view));
            }
        }
    }
}

/// How a letter became one, as it is shown.
pub(super) fn death_of(view: &JobView) -> Death {
    Death {
        cause: cause_of(view),
        error: view.last_error.clone().unwrap_or_default(),
        attempts: view.attempts,
        at: view.finished_at.unwrap_or(view.accepted_at),
    }
}

fn cause_of(view: &JobView) -> Cause {
    view.cause.unwrap_or(Cause::Unknown)
}
