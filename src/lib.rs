//! decache: per-user cache invalidation as a service.

pub mod caches;
pub mod clock;
pub mod config;
pub mod enrich;
pub mod event;
pub mod fan_out;
pub mod health;
pub mod hooks;
pub mod ingest;
pub mod job;
pub mod judge;
pub mod metrics;
pub mod queue;
pub mod redis_pool;
pub mod relations;
pub mod resource;
pub mod rules;
pub mod secret;
pub mod template;
pub mod worker;
