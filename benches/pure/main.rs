//! What the pure parts cost: `cargo bench --bench pure`, and a part of it by its name behind a second `--`.
//!
//! No I/O, one thread: what these say is what a core can do at most. `scripts/test` runs each once (`--test`), so that
//! none breaks unseen; no figure is looked at there.

#![expect(clippy::unwrap_used, reason = "a program for people that gives up where it cannot go on")]

mod events;
mod queue;

use mimalloc::MiMalloc;

/// The service's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    divan::main();
}
