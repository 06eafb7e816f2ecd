//! decache: per-user cache invalidation as a service.

pub mod caches;
pub mod clock;
pub mod config;
pub mod event;
pub mod fan_out;
pub mod health;
pub mod ingest;
pub mod job;
pub mod metrics;
pub mod queue;
pub mod redis_pool;
pub mod relations;
pub mod secret;
