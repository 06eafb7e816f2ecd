//! How soon the service takes events, and how little it needs while it has nothing to do or very much.

use std::time::Duration;

use crate::{
    Settings,
    events::{batches, now},
    http::{Requests, load},
    ingest::config,
    machine::{Cores, Redis, Server, resident_mib},
    stats::{Row, median},
};

/// Rows 9 and 11.
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let mut starts = Vec::new();
    for _ in 0..settings.rounds * 2 {
        let (_redis, service) = start(|config| config).await;
        starts.push(service.started_in.as_secs_f64() * 1000.0);
    }
    let started = median(starts);
    let (_redis, service) = start(|config| config).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = resident_mib(service.pid());
    drop(service);
    let each = bytes_a_job(settings).await;
    vec![
        row(11, "start with an empty journal until it listens", started, "ms", 50.0),
        row(9, "memory of an idle service", idle, "MiB", 20.0),
        row(9, &format!("memory of each of {} queued jobs", settings.jobs), each, "bytes", 300.0),
    ]
}

fn row(number: u32, work: &str, value: f64, unit: &'static str, most: f64) -> Row {
    let promise = format!("<= {most} {unit}");
    Row {
        number,
        work: work.to_owned(),
        unit,
        service: value,
        promise,
        is_kept: Some(value <= most),
        ..Row::default()
    }
}

/// Each with a Redis of its own: it has a secret of its own, and refuses what was filled under another.
async fn start(change: impl FnOnce(String) -> String) -> (Redis, Server) {
    let redis = Redis::start(Cores::Free);
    let service = Server::decache(&change(config(&redis, "pool_size: 16")), Cores::Free).await;
    (redis, service)
}

/// Of reads that are not due yet.
async fn bytes_a_job(settings: &Settings) -> f64 {
    let later = |config: String| {
        let due_later =
            config.replace("job_type: cache, priority: 1", "job_type: cache, priority: 1, due: 3600");
        // As many as the default lets in are not enough: they are put in by bursts.
        due_later.replace("store:", "queue: { capacity: 2000000, max_bytes: 4GiB }\nstore:")
    };
    let (_redis, service) = start(later).await;
    let client = reqwest::Client::new();
    let before = resident_mib(service.pid());
    let mut at = 0;
    while service.queued(&client).await < settings.jobs as u64 {
        let bodies =
            batches(200, 500, now()).into_iter().map(|body| body.replace("tok-", &format!("tok-{at}-")));
        let requests = Requests::events(bodies, "application/json");
        load(&service.address, &requests, 1, Duration::from_millis(500), "202").await;
        at += 1;
    }
    let jobs = service.queued(&client).await;
    (resident_mib(service.pid()) - before) * 1024.0 * 1024.0 / jobs as f64
}
