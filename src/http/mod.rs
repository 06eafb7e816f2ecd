//! The HTTP interface (DESIGN 9). [`router`] is the whole URL table; a handler extracts, calls and maps, and knows neither
//! rules nor the queue's inside. The contract that all of it keeps is `openapi.yaml`.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    dead_letters::DeadLetters,
    feed::Feed,
    health::Health,
    ingest::Ingest,
    job::JobType,
    lookup::Lookup,
    queue::{JobState, Queue},
    reconcile::Reconciliations,
};

mod auth;
mod body;
mod connections;
mod console;
mod dead_letters;
mod docs;
mod entities;
mod events;
mod explain;
mod file;
mod form;
mod guard;
mod health;
mod holders;
mod holdings;
mod incoming;
mod invalidations;
mod jobs;
mod limits;
mod log;
mod meta;
mod outcome;
mod prefer;
mod probe;
mod problem;
mod purge;
mod query;
mod queue;
mod rate;
mod reading;
mod reconciliations;
mod router;
mod serve;
mod site;
mod stream;
mod target;
mod transport;
mod unread;

#[cfg(test)]
mod tests;

pub use auth::Auth;
pub use console::{CachesNow, Console};
pub use limits::Limits;
pub use probe::{Call, Over, ProbeError, call, probe, probe_over_tls};
pub use problem::problem_types;
pub use reading::read_events;
pub use router::{Access, router, routes};
pub use serve::{Listener, serve};

/// Renders every metric as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Counts the jobs of a type that have come to an end of this kind, since the start.
pub type JobCounts = Arc<dyn Fn(JobType, JobState) -> u64 + Send + Sync>;

/// What handlers work with.
pub struct Service {
    /// Takes events.
    pub ingest: Arc<Ingest>,
    /// Shows jobs.
    pub queue: Arc<Queue>,
    /// Looks after those that have failed too often.
    pub dead_letters: DeadLetters,
    /// Shows who holds what.
    pub lookup: Lookup,
    /// Takes reconciliations.
    pub reconciliations: Arc<Reconciliations>,
    /// Says whether events can be taken.
    pub health: Arc<Health>,
    /// Shows what invalidations have done.
    pub feed: Arc<Feed>,
    /// Those who look on at a time.
    pub streams: Arc<Semaphore>,
    /// Says who may ask.
    pub auth: Auth,
    /// Told when others may ask: streams end, and who may still look on connects anew.
    pub keys_changed: CancellationToken,
    /// How much a request may ask for.
    pub limits: Limits,
    /// Requests that may wait for the end of their jobs at a time.
    pub waiting: Arc<Semaphore>,
    /// How many jobs of a type have come to an end.
    pub job_counts: JobCounts,
    /// The pages for people.
    pub console: Arc<Console>,
    /// For `/metrics`.
    pub metrics: RenderMetrics,
    /// Says when an event arrived, and how long a request took.
    pub clock: Clock,
}
