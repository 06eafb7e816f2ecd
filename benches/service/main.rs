//! How fast the service is, against what is possible: `scripts/bench`.
//!
//! Each figure stands beside a limit that was measured by turns with it (A B A B) on the same machine: a bare axum handler,
//! or a Redis client that sends the commands that the work needs and does nothing else. Medians of the rounds.
//! `--quick` takes two minutes; `--only fan-out` runs one part; `--json FILE` writes the table for programs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that gives up where it cannot go on"
)]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

mod bare;
mod events;
mod fan_out;
mod http;
mod ingest;
mod machine;
#[expect(dead_code, reason = "what tests of processes need besides")]
#[path = "../../tests/support/process.rs"]
mod process;
mod queue;
mod record;
#[expect(dead_code, reason = "what tests of servers need besides")]
#[path = "../../tests/support/redis_server.rs"]
mod redis_server;
mod resp;
mod start;
mod stats;

use machine::Cores;

#[derive(Parser)]
struct Arguments {
    /// Smaller sizes and fewer rounds.
    #[arg(long)]
    quick: bool,
    /// One part of it.
    #[arg(long)]
    only: Vec<Part>,
    /// The table as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// To be a limit instead.
    #[arg(hide = true)]
    role: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    Ingest,
    Record,
    FanOut,
    Queue,
    Start,
}

const PARTS: [Part; 5] = [Part::Queue, Part::Start, Part::Ingest, Part::Record, Part::FanOut];

/// How much is measured.
pub(crate) struct Settings {
    rounds: usize,
    /// Of one program's part of a round.
    time: Duration,
    relationships: u64,
    holders: &'static [usize],
    queued: &'static [usize],
    jobs: usize,
}

impl Settings {
    const QUICK: Self = Self {
        rounds: 2,
        time: Duration::from_secs(1),
        relationships: 200_000,
        holders: &[100, 10_000, 100_000],
        queued: &[0, 100_000],
        jobs: 200_000,
    };
    const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(3),
        relationships: 1_000_000,
        holders: &[100, 10_000, 100_000, 1_000_000],
        queued: &[0, 10_000, 100_000, 1_000_000],
        jobs: 1_000_000,
    };
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.role.as_deref() {
        None => runtime.block_on(measure(&arguments)),
        Some(bare::ROLE) => runtime.block_on(bare::serve()),
        Some(role) => panic!("unknown: {role}"),
    }
}

async fn measure(arguments: &Arguments) {
    let settings = if arguments.quick { Settings::QUICK } else { Settings::FULL };
    let parts: Vec<Part> =
        PARTS.into_iter().filter(|part| arguments.only.is_empty() || arguments.only.contains(part)).collect();
    let bar = ProgressBar::new(parts.len() as u64 * 2)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {elapsed}").unwrap());
    let mut rows = Vec::new();
    for part in parts {
        for cores in [Cores::First, Cores::Free] {
            bar.set_message(format!("{part:?}"));
            rows.extend(match part {
                Part::Ingest => ingest::rows(&settings, cores).await,
                Part::Record => record::rows(&settings, cores).await,
                Part::FanOut => fan_out::rows(&settings, cores).await,
                Part::Queue if cores == Cores::Free => queue::rows(&settings).await,
                Part::Start if cores == Cores::Free => start::rows(&settings).await,
                Part::Queue | Part::Start => Vec::new(),
            });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    rows.sort_by_key(|row| (row.number, row.pinned));
    stats::print(&rows);
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_vec_pretty(&rows).unwrap()).unwrap();
    }
}
