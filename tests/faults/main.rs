//! Faults, injected into real processes, and what is counted after them: what decache has answered 202 for against what
//! became of it.
//!
//! Each test prints its counts (`cargo test --test faults -- --nocapture`). `scripts/soak` runs more rounds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it has counted, in its helpers too"
)]

#[path = "../support/process.rs"]
mod process;

mod damage;
mod disk;
mod fan_out;
mod kill;
mod least_rights;
mod ledger;
mod limits;
mod load;
mod losses;
mod one_cache;
mod overload;
mod proxy;
mod redis_faults;
mod redis_process;
mod resolving;
mod sentinel;
mod service;
mod setup;
mod start_up;
mod stopping;
mod world;
