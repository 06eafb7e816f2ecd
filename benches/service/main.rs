//! How fast the service is, against what is possible: `scripts/bench`.
//!
//! Each figure stands beside a limit that was measured by turns with it (A B A B) on the same machine: a bare axum handler,
//! or a Redis client that sends the commands that the work needs and does nothing else. Medians of the rounds.
//! `--quick` takes two minutes and leaves out `growth` and `peers`, which `--only` runs; `--json FILE` writes the figures for
//! programs, `--markdown` prints them for a page, `--plot FILE` draws how cost grows. `--from FILE` does that with figures of
//! earlier runs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that gives up where it cannot go on"
)]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use mimalloc::MiMalloc;

mod bare;
mod events;
mod fan_out;
mod filled;
mod growth;
mod http;
mod index;
mod ingest;
mod latency;
mod machine;
mod memory;
mod peers;
#[expect(dead_code, reason = "what tests of processes need besides")]
#[path = "../../tests/support/process.rs"]
mod process;
mod queue;
mod record;
#[expect(dead_code, reason = "what tests of servers need besides")]
#[path = "../../tests/support/redis_server.rs"]
mod redis_server;
mod report;
mod resp;
mod scaling;
mod start;
mod stats;
mod sustained;

use machine::Cores;
use report::Report;
use stats::Row;

/// The service's, so that limits and what is measured in this process have no other.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Smaller sizes and fewer rounds.
    #[arg(long)]
    quick: bool,
    /// One part of it, or some.
    #[arg(long)]
    only: Vec<Part>,
    /// The figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The table in Markdown.
    #[arg(long)]
    markdown: bool,
    /// An SVG of how cost grows.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Figures of an earlier run (`--json`), instead of measuring. Of several the last one counts.
    #[arg(long)]
    from: Vec<PathBuf>,
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
    Latency,
    Memory,
    Growth,
    Scaling,
    Peers,
}

const PARTS: [Part; 10] = [
    Part::Queue,
    Part::Start,
    Part::Ingest,
    Part::Record,
    Part::FanOut,
    Part::Latency,
    Part::Memory,
    Part::Scaling,
    Part::Growth,
    Part::Peers,
];

impl Part {
    /// Whether `--quick` runs it unasked: it is not worth much at sizes that are quick.
    fn is_quick(self) -> bool {
        !matches!(self, Self::Growth | Self::Peers)
    }

    async fn rows(self, settings: &Settings, cores: Cores) -> Vec<Row> {
        match (self, cores) {
            (Self::Ingest, _) => ingest::rows(settings, cores).await,
            (Self::Record, _) => record::rows(settings, cores).await,
            (Self::FanOut, _) => fan_out::rows(settings, cores).await,
            (Self::Latency, _) => latency::rows(settings, cores).await,
            // What these are about is no matter of cores.
            (_, Cores::First) => Vec::new(),
            (Self::Queue, _) => queue::rows(settings).await,
            (Self::Start, _) => start::rows(settings).await,
            (Self::Memory, _) => [index::rows(settings).await, memory::rows(settings).await].concat(),
            (Self::Growth, _) => growth::rows(settings).await,
            (Self::Scaling, _) => scaling::rows(settings).await,
            (Self::Peers, _) => peers::rows(settings).await,
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    rounds: usize,
    /// Of one program's part of a round.
    time: Duration,
    relationships: u64,
    holders: &'static [usize],
    queued: &'static [usize],
    jobs: usize,
    /// Of the fan-out that is under way beside row 7, and of the one whose memory is measured.
    large: usize,
    very_large: usize,
    /// Entities that are changed beside it, at most.
    changes: usize,
    /// Relationships of the run that the capacity model is checked against.
    tenth: u64,
    relationships_held: &'static [u64],
    jobs_queued: &'static [u64],
    rules: &'static [usize],
    rounds_of_peers: usize,
    /// Jobs that a peer is given, which takes longer for as many.
    jobs_of_peers: usize,
}

impl Settings {
    const QUICK: Self = Self {
        rounds: 2,
        time: Duration::from_secs(1),
        relationships: 200_000,
        holders: &[100, 10_000, 100_000],
        queued: &[0, 100_000],
        jobs: 200_000,
        large: 200_000,
        very_large: 1_000_000,
        changes: 500,
        tenth: 300_000,
        relationships_held: &[1_000, 100_000],
        jobs_queued: &[1, 100_000],
        rules: &[1, 100],
        rounds_of_peers: 1,
        jobs_of_peers: 6_000,
    };
    const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(3),
        relationships: 1_000_000,
        holders: &[100, 10_000, 100_000, 1_000_000],
        queued: &[0, 10_000, 100_000, 1_000_000],
        jobs: 1_000_000,
        large: 1_000_000,
        very_large: 10_000_000,
        changes: 2_000,
        tenth: 1_000_000,
        relationships_held: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
        jobs_queued: &[1, 1_000, 100_000, 1_000_000],
        rules: &[1, 10, 100, 2_000],
        rounds_of_peers: 3,
        jobs_of_peers: 20_000,
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
    let mut report = match arguments.from.as_slice() {
        [] => Report::new(measured(arguments).await),
        files => Report::read(files),
    };
    report.sort();
    if arguments.markdown {
        print!("{}", report.markdown());
    } else {
        stats::print(report.rows.iter().map(|keyed| &keyed.row));
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json()).unwrap();
    }
    if let Some(file) = &arguments.plot {
        report.plot(file);
    }
}

async fn measured(arguments: &Arguments) -> Vec<Row> {
    let settings = if arguments.quick { Settings::QUICK } else { Settings::FULL };
    let wanted = |part: &Part| match arguments.only.as_slice() {
        [] => !arguments.quick || part.is_quick(),
        only => only.contains(part),
    };
    let parts: Vec<Part> = PARTS.into_iter().filter(wanted).collect();
    let bar = ProgressBar::new(parts.len() as u64 * 2)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {elapsed}").unwrap());
    let mut rows = Vec::new();
    for part in parts {
        for cores in [Cores::First, Cores::Free] {
            bar.set_message(format!("{part:?}"));
            rows.extend(part.rows(&settings, cores).await);
            bar.inc(1);
        }
        // What is measured stays, whatever becomes of the rest.
        if let Some(file) = &arguments.json {
            std::fs::write(file, Report::new(rows.clone()).json()).unwrap();
        }
    }
    bar.finish_and_clear();
    rows
}
