//! Other queues and another cache invalidation, each in the hands of a small program of its own (`benches/peers`).
//!
//! A job's body is the same event everywhere. What the peers' jobs do is nothing; what ours do is to be recorded in Redis.
//! `fsync`: a job is on the disk before its client hears of it. `buffered`: at most the last moments are lost in a crash of
//! the machine.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    Settings,
    events::{batches, now},
    fan_out::{Bystander, of_size, seen},
    http::{Connection, Requests},
    ingest::config,
    machine::{Cores, Redis, Server},
    redis_server::RedisServer,
    stats::{Row, median},
};

mod beanstalkd;

/// Events of a request of ours.
const BATCH: u64 = 500;
/// Clients of ours at once.
const CONNECTIONS: usize = 8;
/// How long a peer's program may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Jobs a second.
#[derive(Clone, Copy)]
struct Speed {
    added: f64,
    finished: f64,
}

/// What a peer's program prints: how long it took, in seconds.
#[derive(Deserialize)]
struct Took {
    added: f64,
    finished: f64,
}

#[derive(Deserialize)]
struct Removed {
    removed: f64,
}

#[derive(Clone, Copy)]
enum Peer {
    BullMq,
    Celery,
    Beanstalkd,
}

/// Row 13, and what django-cacheops has to say to rows 5 and 6.
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for durability in ["fsync", "buffered"] {
        for peer in [Peer::BullMq, Peer::Celery, Peer::Beanstalkd] {
            rows.extend(against(settings, peer, durability).await);
        }
    }
    for &holders in settings.holders.iter().filter(|holders| (10_000..=100_000).contains(*holders)) {
        rows.extend(cacheops(settings, holders).await);
    }
    rows
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::BullMq => "BullMQ",
            Self::Celery => "Celery",
            Self::Beanstalkd => "beanstalkd",
        }
    }

    fn measure(self, settings: &Settings, durability: &str) -> Speed {
        let jobs = settings.jobs_of_peers;
        let (program, jobs) = match self {
            Self::BullMq => (program("node", "bullmq.mjs"), jobs),
            Self::Celery => (program("python", "celery_jobs.py"), jobs / 2),
            Self::Beanstalkd => {
                return beanstalkd::measure(jobs * if durability == "fsync" { 1 } else { 10 }, durability);
            }
        };
        let redis = kept_on_disk(durability);
        let Took { added, finished } =
            serde_json::from_str(&last_line(program, redis.port, jobs, || ())).unwrap();
        Speed { added: jobs as f64 / added, finished: jobs as f64 / finished }
    }
}

/// By turns, as everything else.
async fn against(settings: &Settings, peer: Peer, durability: &'static str) -> Vec<Row> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds_of_peers {
        ours.push(of_ours(settings, durability).await);
        theirs.push(peer.measure(settings, durability));
    }
    let row = |what: &str, of: fn(&Speed) -> f64| {
        let ratio = median(ours.iter().zip(&theirs).map(|(one, other)| of(one) / of(other)));
        Row {
            number: 13,
            work: format!("{}, {durability}: jobs {what}", peer.name()),
            unit: "/s",
            service: median(ours.iter().map(of)),
            limit: Some(median(theirs.iter().map(of))),
            ratio: Some(ratio),
            promise: ">= 10 x".to_owned(),
            is_kept: Some(ratio >= 10.0),
            ..Row::default()
        }
    };
    vec![row("added", |speed| speed.added), row("finished", |speed| speed.finished)]
}

/// Jobs are finished while others are added, so both take longer than they would alone.
async fn of_ours(settings: &Settings, durability: &str) -> Speed {
    let redis = Redis::start(Cores::Free);
    let config = config(&redis, "by_holder: false").replace("level: fsync", &format!("level: {durability}"));
    let service = Server::decache(&config, Cores::Free).await;
    let jobs = settings.jobs as u64;
    let requests = Requests::events(batches(jobs / BATCH, BATCH, now()), "application/json");
    let client = reqwest::Client::new();
    let began = Instant::now();
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let (requests, address) = (requests.clone(), service.address.clone());
            tokio::spawn(async move {
                let mut connection = Connection::to(&address).await;
                for request in requests.each().skip(first).step_by(CONNECTIONS) {
                    connection.ask(request, "HTTP/1.1 202").await;
                }
            })
        })
        .collect();
    for connection in connections {
        connection.await.unwrap();
    }
    let added = began.elapsed();
    service.idle(&client).await;
    let rate = |took: Duration| jobs as f64 / took.as_secs_f64();
    Speed { added: rate(added), finished: rate(began.elapsed()) }
}

/// A redis-server that keeps what it is told as a journal of that level does.
fn kept_on_disk(durability: &str) -> RedisServer {
    let sync = if durability == "fsync" { "always" } else { "everysec" };
    let options = ["--appendonly", "yes", "--appendfsync", sync];
    RedisServer::start_with("--port", options.map(Into::into).to_vec())
}

/// The peers' interpreters and packages are where `scripts/bench` has put them.
fn program(interpreter: &str, file: &str) -> Command {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let installed = repository.join("target/peers");
    let interpreter = match interpreter {
        "python" => installed.join("venv/bin/python"),
        other => PathBuf::from(other),
    };
    let mut command = Command::new("timeout");
    command
        .arg(PATIENCE.as_secs().to_string())
        .arg(interpreter)
        .arg(repository.join("benches/peers").join(file));
    command.env("NODE_PATH", installed.join("node_modules"));
    command
}

/// Runs a peer's program and returns the last line that it prints. Where it says `filled`, it waits until `look` has
/// been called.
fn last_line(mut program: Command, port: u16, size: usize, look: impl FnOnce()) -> String {
    program.args([port.to_string(), size.to_string()]);
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = program.spawn().unwrap();
    let (mut input, mut last, mut look) = (process.stdin.take().unwrap(), String::new(), Some(look));
    for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if line == "filled" {
            look.take().into_iter().for_each(|look| look());
            input.write_all(b"\n").unwrap();
        } else if line.starts_with('{') {
            last = line;
        }
    }
    let status = process.wait().unwrap();
    assert!(status.success() && !last.is_empty(), "{program:?} ended with {status}");
    last
}

async fn cacheops(settings: &Settings, holders: usize) -> Vec<Row> {
    let (mut ours, mut theirs, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds_of_peers {
        let one_round = Settings { rounds: 1, ..*settings };
        ours.push(of_size(&one_round, Cores::Free, holders).await[0].service);
        let redis = Redis::start(Cores::Free);
        let mut bystander = None;
        let look = || bystander = Some(Bystander::watch(redis.server.port));
        let line = last_line(program("python", "cacheops_fan_out.py"), redis.server.port, holders, look);
        let Removed { removed } = serde_json::from_str(&line).unwrap();
        theirs.push(holders as f64 / removed);
        waits.extend(bystander.unwrap().leave());
    }
    waits.sort_unstable();
    let ratio = median(ours.iter().zip(&theirs).map(|(one, other)| one / other));
    vec![
        Row {
            number: 5,
            work: format!("django-cacheops, {holders} holders, copies deleted"),
            unit: "/s",
            service: median(ours),
            limit: Some(median(theirs)),
            ratio: Some(ratio),
            promise: "> 1".to_owned(),
            is_kept: Some(ratio > 1.0),
            ..Row::default()
        },
        seen(
            &waits,
            &format!("another client's GET beside django-cacheops, {holders} holders"),
            Cores::Free,
            false,
        ),
    ]
}
