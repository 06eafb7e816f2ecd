//! Room in the queue for jobs that are not safe yet, and so not queued.

use std::sync::Arc;

use super::{Full, Pushed, Queue, Watch};
use crate::job::Job;

/// Room for jobs that are not queued yet.
#[derive(Debug)]
pub struct Reserved {
    queue: Arc<Queue>,
    jobs: usize,
    bytes: usize,
}

impl Queue {
    /// Keeps room for these jobs until they are pushed, or until the reservation is dropped.
    ///
    /// # Errors
    /// [`Full`] where they do not all fit.
    pub fn reserve(self: &Arc<Self>, jobs: &[Job]) -> Result<Reserved, Full> {
        let mut state = self.lock();
        let added = jobs.iter().map(|job| state.schedule.added_by(job));
        let (jobs, bytes) = added.fold((0, 0), |sum, added| (sum.0 + added.0, sum.1 + added.1));
        if state.schedule.len() + state.reserved.0 + jobs > self.limits.capacity
            || state.schedule.bytes() + state.reserved.1 + bytes > self.limits.max_bytes
        {
            return Err(Full);
        }
        state.reserved.0 += jobs;
        state.reserved.1 += bytes;
        Ok(Reserved { queue: self.clone(), jobs, bytes })
    }
}

impl Reserved {
    /// Queues the jobs that room was kept for.
    pub fn push(self, jobs: impl IntoIterator<Item = (Job, u32)>) -> Vec<Pushed> {
        self.queue.push(jobs)
    }

    /// As [`Reserved::push`], with a watch that sees the jobs end.
    pub fn push_watched(self, jobs: impl IntoIterator<Item = (Job, u32)>) -> (Vec<Pushed>, Watch) {
        self.queue.push_watched(jobs)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.reserved.0 -= self.jobs;
        state.reserved.1 -= self.bytes;
    }
}
