//! The facade that handlers call: event -> route -> enrich -> push.

use std::time::Duration;

use crate::{
    event::{Entity, Event, EventError},
    job::JobId,
    queue::{JobView, Tally},
};

/// Takes events and turns them into queued jobs.
pub struct Ingest {}

/// What became of a request's events.
#[derive(Debug, Default)]
pub struct Receipt {
    /// Events taken, ignored ones among them.
    pub accepted: usize,
    /// Events taken that no rule matched.
    pub ignored: usize,
    /// Events not taken, and why.
    pub rejected: Vec<Rejection>,
    /// The jobs that were queued.
    pub jobs: Vec<QueuedJob>,
}

/// An event that was not taken.
#[derive(Debug)]
pub struct Rejection {
    /// Its place in the request.
    pub index: usize,
    /// Why, in a sentence that names the field.
    pub detail: String,
}

/// A job that was queued.
#[derive(Clone, Debug)]
pub struct QueuedJob {
    /// The place in the request of the event that it is for.
    pub event: usize,
    /// The event's own id, where it has one.
    pub event_id: Option<Box<str>>,
    /// The job.
    pub id: JobId,
    /// The queued job whose place it took.
    pub supersedes: Option<JobId>,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The queue's bound in jobs or bytes is reached.
    #[error("the queue is full")]
    Full {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The service is shutting down.
    #[error("the service is stopping")]
    Stopping,
}

impl Ingest {
    /// Queues the jobs of all valid events of a request, or of none where they do not all fit.
    /// With `wait`, answers when all of the jobs have come to their end, or when that time is over.
    ///
    /// # Errors
    /// [`IngestError`]: nothing of the request was taken.
    pub async fn accept(
        &self,
        events: Vec<Result<Event, EventError>>,
        wait: Option<Duration>,
    ) -> Result<(Receipt, Option<Vec<JobView>>), IngestError> {
        let _ = (events, wait);
        std::future::pending().await
    }

    /// Queues an invalidation for each entity. `wait` as in [`Ingest::accept`].
    ///
    /// # Errors
    /// [`IngestError`]: nothing of the request was taken.
    pub async fn invalidate(
        &self,
        entities: Vec<Entity>,
        wait: Option<Duration>,
    ) -> Result<(Vec<QueuedJob>, Option<(Vec<JobView>, Tally)>), IngestError> {
        let _ = (entities, wait);
        std::future::pending().await
    }
}
