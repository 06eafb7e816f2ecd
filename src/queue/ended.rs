//! Jobs that have come to their end: kept a bounded while to be looked at, and told to whoever waits for them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    entry::{Entry, Kept},
    letters::Letters,
    shelf::Shelf,
    topics::Topics,
    view::{JobState, JobView},
};
use crate::{
    clock::Timestamp,
    job::{Job, JobId},
};

/// Finished jobs, and dead letters apart from them, so that a busy queue does not push these out.
#[derive(Debug)]
pub(super) struct Ended {
    finished: Shelf<()>,
    pub(super) letters: Letters,
    watches: HashMap<JobId, Vec<Watching>>,
}

/// Sees jobs end. A superseded job ends when the one does that took over its work.
#[derive(Debug)]
pub struct Watch {
    jobs: usize,
    ends: UnboundedReceiver<(usize, JobView)>,
}

/// Who wants to know of a job's end: as which of their jobs, under which id they know it.
#[derive(Debug)]
struct Watching {
    index: usize,
    id: JobId,
    ends: UnboundedSender<(usize, JobView)>,
}

/// A job that has been given up, as it was, for whoever wants to try it again.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    pub(super) job: Arc<Job>,
    pub(super) kept: Kept,
    /// What the queue counted the job with.
    pub(super) bytes: usize,
    /// Whether the journal is writing it, so that it is not known yet what is to be let go.
    pub(super) being_kept: bool,
}

impl Ended {
    /// Keeps `keep` finished jobs and as many dead letters, these in so many bytes.
    pub(super) fn new(keep: usize, dead_bytes: usize) -> Self {
        let (finished, letters) = (Shelf::new(keep, usize::MAX), Letters::new(keep, dead_bytes));
        Self { finished, letters, watches: HashMap::new() }
    }

    /// A job has come to its end. Returns what the journal may let go: the job, or the dead letters that have to make room.
    pub(super) fn end(&mut self, entry: &Entry, topics: &Topics, state: JobState, now: Timestamp) -> Kept {
        let view = JobView { state, finished_at: Some(now), ..entry.view(topics) };
        for watching in self.watches.remove(&view.id).unwrap_or_default() {
            watching.tell(&view);
        }
        let kept = entry.kept();
        if state == JobState::Dead {
            let (job, bytes) = (Arc::new(entry.job(topics)), entry.bytes());
            return self.letters.put(view, DeadLetter { job, kept, bytes, being_kept: false });
        }
        self.finished.put(view, (), 0);
        kept
    }

    /// A job's work goes on in another; whoever still waits for it now waits for that one.
    pub(super) fn superseded(&mut self, view: JobView, by: JobId, now: Timestamp) {
        if let Some(watching) = self.watches.remove(&view.id) {
            let still = watching.into_iter().filter(|watching| !watching.ends.is_closed());
            let by = self.watches.entry(by).or_default();
            by.retain(|watching| !watching.ends.is_closed());
            by.extend(still);
        }
        let (state, finished_at, superseded_by) = (JobState::Superseded, Some(now), Some(by));
        self.finished.put(JobView { state, finished_at, superseded_by, ..view }, (), 0);
    }

    /// Watches these jobs, none of which has ended but by being superseded among themselves.
    pub(super) fn watch(&mut self, jobs: &[(JobId, JobId)]) -> Watch {
        let (sender, ends) = unbounded_channel();
        for (index, (id, survivor)) in jobs.iter().enumerate() {
            let watching = Watching { index, id: *id, ends: sender.clone() };
            self.watches.entry(*survivor).or_default().push(watching);
        }
        Watch { jobs: jobs.len(), ends }
    }

    pub(super) fn job(&self, id: JobId) -> Option<&JobView> {
        self.finished.view(id).or_else(|| self.letters.view(id))
    }

    /// Up to `limit` of each shelf, by id.
    pub(super) fn jobs(&self, only: Option<JobState>, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        let wanted = |view: &&JobView| only.is_none_or(|only| only == view.state);
        let finished = self.finished.after(after).map(|(view, ())| view).filter(wanted).take(limit);
        finished.chain(self.letters.after(after).filter(wanted).take(limit)).cloned().collect()
    }

    /// Those that have ended and are no dead letters, with ids after this one, by id.
    pub(super) fn finished_after(&self, after: Option<JobId>) -> impl Iterator<Item = &JobView> {
        self.finished.after(after).map(|(view, ())| view)
    }

    /// Up to `limit` of those of one state, with ids before this one, the greatest first.
    pub(super) fn last(&self, state: JobState, before: Option<JobId>, limit: usize) -> Vec<JobView> {
        let views = self.finished.before(before).map(|(view, ())| view);
        views.filter(|view| view.state == state).take(limit).cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn watchers(&self) -> usize {
        self.watches.values().map(Vec::len).sum()
    }
}

impl Watch {
    /// Has nothing to wait for.
    pub fn of_nothing() -> Self {
        Self { jobs: 0, ends: unbounded_channel().1 }
    }

    /// The ends of all the jobs, in the order in which they were pushed; `None` where time is over first.
    pub async fn all(mut self, time: Duration) -> Option<Vec<JobView>> {
        let mut seen = BTreeMap::new();
        let all = async {
            while seen.len() < self.jobs {
                let (index, view) = self.ends.recv().await?;
                seen.insert(index, view);
            }
            Some(())
        };
        tokio::time::timeout(time, all).await.ok()??;
        Some(seen.into_values().collect())
    }
}

impl Watching {
    fn tell(self, view: &JobView) {
        let superseded_by = (view.id != self.id).then_some(view.id);
        // Whoever has stopped waiting need not know.
        let _ = self.ends.send((self.index, JobView { id: self.id, superseded_by, ..view.clone() }));
    }
}
