//! Jobs in order: a handle that many tasks share over the pure schedule.

mod view;

pub use view::{JobState, JobView, QueueView, Tally};

/// The queue that ingest pushes to and workers take from.
pub struct Queue {}

impl Queue {
    /// A job, queued, running, dead, or finished a bounded while ago.
    pub fn job(&self, id: crate::job::JobId) -> Option<JobView> {
        let _ = id;
        None
    }

    /// Up to `limit` jobs with ids after `after`, oldest first, of one state or of all.
    pub fn jobs(
        &self,
        state: Option<JobState>,
        after: Option<crate::job::JobId>,
        limit: usize,
    ) -> Vec<JobView> {
        let _ = (state, after, limit);
        Vec::new()
    }

    /// The queue at a glance.
    pub fn view(&self) -> QueueView {
        QueueView::default()
    }
}
