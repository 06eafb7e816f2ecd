//! decache: per-user cache invalidation as a service.

pub mod caches;
pub mod clock;
pub mod event;
pub mod health;
pub mod http;
pub mod ingest;
pub mod job;
pub mod lookup;
pub mod queue;
pub mod relations;
pub mod secret;
