//! The promise, on real parts: two decache and two API processes on three Redis servers, users who read and write, and faults
//! one after the other. At the end the cache is compared with the database, from outside: no copy is older than the last
//! write of its post, and every copy is tracked for as long as it lives.
//!
//! `DECACHE_CHAOS_REQUESTS` (6000) says how long it goes on, `DECACHE_SEED` what users do.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it has counted, in its helpers too"
)]

#[path = "../support/example.rs"]
mod example;
#[path = "../support/process.rs"]
mod process;

mod check;
mod faults;
mod redis;
mod stage;
mod users;

use crate::{stage::Stage, users::Users};

#[tokio::test(flavor = "multi_thread")]
async fn no_stale_copy_and_no_untracked_one_is_left_whatever_dies_meanwhile() {
    let requests = number("DECACHE_CHAOS_REQUESTS").unwrap_or(6_000);
    let seed = number("DECACHE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("chaos: {requests} requests, DECACHE_SEED={seed}");
    let mut stage = Stage::set().await;
    let users = Users::start(&stage.api_urls(), requests, seed);
    faults::inject(&mut stage, &users, requests).await;
    let accepted = users.done().await;
    stage.come_to_rest().await;
    check::check(&stage, &accepted).await;
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}
