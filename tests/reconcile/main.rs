//! Index and caches compared, on real Redis servers: what a sweep deletes and spares, and what `decache reconcile` does
//! beside a running service and without one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../support/process.rs"]
#[expect(dead_code, reason = "shared with suites that use another part of it")]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;
#[path = "../support/redis_view.rs"]
#[expect(dead_code, reason = "shared with the end-to-end test, which uses another part of it")]
mod redis_view;

mod reconciling;
mod sweeping;
mod world;
