//! The contract that every store keeps (DESIGN 6 and 7), and what the embedded one adds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[macro_use]
mod contract;
mod embedded;
mod marker;
mod redis;
#[path = "../support/redis_server.rs"]
mod redis_server;
