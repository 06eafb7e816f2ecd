//! decache: per-user cache invalidation as a service.

pub mod caches;
pub mod clock;
pub mod config;
pub mod event;
pub mod health;
pub mod ingest;
pub mod job;
pub mod queue;
pub mod relations;
pub mod secret;
pub mod template;
