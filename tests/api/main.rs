//! The live suite: decache's own binary as a process, asked over HTTP by a client that nobody here wrote, with the
//! embedded store by default and real Redis servers where Redis matters. What the rooms prove by themselves is not
//! repeated here; this is about what only the assembled service shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../support/openapi.rs"]
mod openapi;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;
#[path = "../support/redis_view.rs"]
mod redis_view;
mod support;

mod access;
mod asking;
mod bad_events;
mod bad_requests;
mod cache_keys;
mod caches;
mod cloud_events;
mod commands;
mod dead_letters;
mod deployed;
mod documented;
mod entity_ids;
mod events;
mod expiry;
mod explaining;
mod follow_ups;
mod forms;
mod generations;
mod holders;
mod http_caches;
mod integrating;
mod invalidations;
mod jobs;
mod letters;
mod lost_index;
mod observing;
mod overhead;
mod proxies;
mod pubsub;
mod purge_targets;
mod purging;
mod rates;
mod rechecks;
mod refusing;
mod reloading;
mod resolver;
mod revoking;
mod spilling;
mod stale_reads;
mod starting;
mod stopping;
mod stream;
mod tokens;
mod tracing;
