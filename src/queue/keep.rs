//! What the queue and the journal have to say to each other: jobs that are to be kept anew, as they are now, and dead letters.

use std::sync::Arc;

use super::{
    JobView, Queue,
    ended::DeadLetter,
    entry::{Entry, Kept},
    letters::death_of,
    state::State,
    topics::Topics,
};
use crate::{
    job::{Death, Job},
    journal::Ref,
};

/// A job that the journal is to keep anew, before it lets go what it has kept of it.
#[derive(Clone, Debug)]
pub struct KeepAnew {
    /// The job as it is now.
    pub job: Arc<Job>,
    /// How it became a dead letter, if it is one.
    pub dead: Option<Death>,
    pub(super) kept: Vec<Ref>,
}

impl Queue {
    /// Takes back a dead letter that the journal gives back.
    pub fn put_dead(&self, job: Job, death: Death, kept: Ref) -> Vec<Ref> {
        self.lock().put_dead(job, death, kept).into_vec()
    }

    /// Jobs that the journal had better keep anew, as they are now: those that stand for very many, and those in a
    /// segment that is to be cleared; about `limit` of them.
    pub fn to_keep_anew(&self, sparse: Option<u32>, limit: usize) -> Vec<KeepAnew> {
        let mut state = self.lock();
        let State { schedule, ended, .. } = &mut *state;
        let crowded = schedule.take_crowded();
        let of_entry = |entry: &Entry| KeepAnew::of_entry(entry, schedule.topics());
        let mut anew: Vec<KeepAnew> = schedule.waiting(&crowded).map(of_entry).collect();
        if let Some(segment) = sparse {
            let waiting = schedule.kept_in(segment).filter(|entry| !entry.running);
            anew.extend(waiting.take(limit).map(of_entry));
            anew.extend(ended.letters.keep_anew_in(segment).take(limit));
        }
        anew
    }

    /// A job is kept anew as `new`. Returns what the journal may let go: the old references, or the new one where the
    /// job runs, has been superseded or has gone meanwhile.
    pub fn kept_anew(&self, anew: &KeepAnew, new: Ref) -> Vec<Ref> {
        let id = anew.job.id;
        let mut state = self.lock();
        let State { schedule, ended, .. } = &mut *state;
        match schedule.get_mut(id).filter(|entry| !entry.running) {
            Some(entry) => {
                let mut kept = entry.kept();
                let let_go = anew.take_over(&mut kept, new);
                entry.set_kept(kept);
                let_go
            }
            None => ended.letters.is_kept(id).map_or_else(|| vec![new], |kept| anew.take_over(kept, new)),
        }
    }

    /// The journal could not keep a job anew: it is kept as it was.
    pub fn not_kept_anew(&self, anew: &KeepAnew) {
        self.lock().ended.letters.is_kept(anew.job.id);
    }
}

impl KeepAnew {
    /// A job that the journal keeps nothing of yet.
    pub fn of_job(job: Job) -> Self {
        Self { job: Arc::new(job), dead: None, kept: Vec::new() }
    }

    /// A job that still has work to do, were it only to evict its copy: it is kept as one that is to be done.
    pub(super) fn of_entry(entry: &Entry, topics: &Topics) -> Self {
        Self { job: Arc::new(entry.job(topics)), dead: None, kept: entry.kept().into_vec() }
    }

    /// Returns what the journal may let go. Nothing may be let go twice: whoever was faster has what was kept before.
    fn take_over(&self, kept: &mut Kept, new: Ref) -> Vec<Ref> {
        if !self.kept.iter().all(|old| kept.contains(old)) {
            return vec![new];
        }
        kept.retain(|kept| !self.kept.contains(kept));
        kept.push(new);
        self.kept.clone()
    }

    pub(super) fn of_letter(view: &JobView, letter: &DeadLetter) -> Self {
        Self { job: letter.job.clone(), dead: Some(death_of(view)), kept: letter.kept.to_vec() }
    }
}
