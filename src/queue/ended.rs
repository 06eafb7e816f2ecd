//! Jobs that have come to their end: kept a bounded while to be looked at, and told to whoever waits for them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    entry::Entry,
    view::{JobState, JobView},
};
use crate::{clock::Timestamp, job::JobId};

/// Finished jobs, and dead letters apart from them, so that a busy queue does not push these out.
#[derive(Debug)]
pub(super) struct Ended {
    finished: Shelf,
    dead: Shelf,
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

/// The last so many, by id.
#[derive(Debug)]
struct Shelf {
    keep: usize,
    views: BTreeMap<JobId, JobView>,
    order: VecDeque<JobId>,
}

impl Ended {
    /// Keeps `keep` finished jobs and as many dead letters.
    pub(super) fn new(keep: usize) -> Self {
        Self { finished: Shelf::new(keep), dead: Shelf::new(keep), watches: HashMap::new() }
    }

    /// A job has come to its end.
    pub(super) fn end(&mut self, entry: &Entry, state: JobState, now: Timestamp) {
        let view = JobView { state, finished_at: Some(now), ..entry.view() };
        for watching in self.watches.remove(&view.id).unwrap_or_default() {
            watching.tell(&view);
        }
        let shelf = if state == JobState::Dead { &mut self.dead } else { &mut self.finished };
        shelf.put(view);
    }

    /// A job's work goes on in another; whoever waits for it now waits for that one.
    pub(super) fn superseded(&mut self, entry: &Entry, by: JobId, now: Timestamp) {
        if let Some(watching) = self.watches.remove(&entry.job.id) {
            self.watches.entry(by).or_default().extend(watching);
        }
        let (state, finished_at, superseded_by) = (JobState::Superseded, Some(now), Some(by));
        self.finished.put(JobView { state, finished_at, superseded_by, ..entry.view() });
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
        self.finished.views.get(&id).or_else(|| self.dead.views.get(&id))
    }

    /// Up to `limit` of each shelf, by id.
    pub(super) fn jobs(&self, only: Option<JobState>, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        [&self.finished, &self.dead]
            .into_iter()
            .flat_map(|shelf| {
                let wanted = shelf.views.values().filter(|view| only.is_none_or(|only| only == view.state));
                wanted.filter(|view| after.is_none_or(|after| view.id > after)).take(limit)
            })
            .cloned()
            .collect()
    }

    pub(super) fn dead(&self) -> usize {
        self.dead.views.len()
    }
}

impl Watch {
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

impl Shelf {
    fn new(keep: usize) -> Self {
        Self { keep, views: BTreeMap::new(), order: VecDeque::new() }
    }

    fn put(&mut self, view: JobView) {
        self.order.push_back(view.id);
        self.views.insert(view.id, view);
        if self.order.len() > self.keep
            && let Some(oldest) = self.order.pop_front()
        {
            self.views.remove(&oldest);
        }
    }
}
