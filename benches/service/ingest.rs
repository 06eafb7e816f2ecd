//! Taking events: requests with one event, and with many.
//!
//! Bursts are measured twice. Due at once, their jobs are done while they are taken: on as many cores as there are here, what takes
//! and what does share them with Redis and with the clients, and the figure is of all of these together. Due a minute later, they
//! are taken, kept and queued in the same way, and nothing is done meanwhile: it is the figure of what takes events.

use std::sync::Arc;

use crate::{
    Settings, bare,
    events::{batches, now, read},
    http::{Load, Requests, load},
    machine::{Cores, Redis, Server, peak_mib},
    stats::{Row, median},
};

const CONNECTIONS: usize = 64;
/// Reads of a burst, no two alike.
const BURST: u64 = 200_000;

/// The service as it is run in production, and events of which every read is recorded.
pub(crate) fn config(redis: &Redis, store: &str) -> String {
    format!(
        r#"
server: {{ bind: "127.0.0.1:0" }}
secret: {{ file: "FOLDER/secret" }}
journal: {{ level: fsync, path: "FOLDER/journal" }}
store: {{ kind: redis, url: "{url}", {store} }}
resources: {{ Posts: {{ cache_keys: ["/posts/{{entity_id}}?access_token={{access_token}}"], ttl: 300 }} }}
caches: [ {{ name: api, kind: redis, url: "{url}" }} ]
job_scheduler:
  job_rules:
    - {{ action_type: "Read", resource_type: "Posts", topic: "pp-cache" }}
    - {{ action_type: "Update|Delete", resource_type: "Posts", topic: "pp-cache" }}
  enricher:
    topics:
      pp-cache:
        - match: {{ action_type: "Read", resource_type: "Posts" }}
          job_properties: {{ superceedable: true, job_type: cache, priority: 1 }}
        - match: {{ action_type: "Update|Delete", resource_type: "Posts" }}
          job_properties: {{ superceedable: true, job_type: invalidate, priority: 0 }}
"#,
        url = redis.server.url()
    )
}

/// Rows 1 and 2.
pub(crate) async fn rows(settings: &Settings, cores: Cores) -> Vec<Row> {
    let at = now();
    let single = Requests::events((0..20_000).map(|n| read(n, at)), "application/json");
    let mut rows = vec![
        Case {
            number: 1,
            what: "one event per POST, 64 connections".to_owned(),
            events: 1,
            least: 0.75,
            dearest: Some(1.4),
            is_due: true,
        }
        .row(settings, cores, &single)
        .await,
    ];
    for (size, form, is_due) in [
        (100, "array", true),
        (100, "array", false),
        (100, "NDJSON", false),
        (500, "array", true),
        (500, "array", false),
    ] {
        let requests = burst(size, form, at);
        let when = if is_due { "at once" } else { "later" };
        let what = format!("batches of {size} ({form}), due {when}");
        let case = Case { number: 2, what, events: size, least: 0.5, dearest: None, is_due };
        rows.push(case.row(settings, cores, &requests).await);
    }
    rows
}

/// Bodies with so many reads each, in one of the forms.
fn burst(size: u64, form: &str, at: u64) -> Arc<Requests> {
    if form == "array" {
        return Requests::events(batches(BURST / size, size, at), "application/json");
    }
    let lines = (0..BURST / size).map(|batch| {
        let reads: Vec<String> = (batch * size..(batch + 1) * size).map(|n| read(n, at)).collect();
        reads.join("\n")
    });
    Requests::events(lines, "application/x-ndjson")
}

struct Case {
    number: u32,
    what: String,
    /// In one request.
    events: u64,
    /// Of the limit's rate.
    least: f64,
    /// Of the limit's CPU time per request.
    dearest: Option<f64>,
    /// Whether its jobs are done as they come, and not a minute later.
    is_due: bool,
}

/// One program's part of a round.
struct Measured {
    rate: f64,
    /// CPU time per event, in microseconds.
    cpu: f64,
    cpu_of_redis: f64,
    load: Load,
}

impl Case {
    async fn row(&self, settings: &Settings, cores: Cores, requests: &Arc<Requests>) -> Row {
        let redis = Redis::start(cores);
        let mut config = config(&redis, "pool_size: 16");
        if !self.is_due {
            config = config.replace("priority: 1 }", "priority: 1, due: 60 }");
        }
        let service = Server::decache(&config, cores).await;
        let limit = Server::of_ours(bare::ROLE, cores).await;
        let client = reqwest::Client::new();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            ours.push(self.measure(settings, &service, &redis, requests).await);
            if self.is_due {
                service.idle(&client).await;
            }
            theirs.push(self.measure(settings, &limit, &redis, requests).await);
        }
        let ratio = median(ours.iter().zip(&theirs).map(|(one, other)| one.rate / other.rate));
        let dearness = median(ours.iter().zip(&theirs).map(|(one, other)| one.cpu / other.cpu));
        let last = &ours[ours.len() / 2].load;
        Row {
            number: self.number,
            work: self.what.clone(),
            pinned: cores != Cores::Free,
            unit: "events/s",
            service: median(ours.iter().map(|one| one.rate)),
            limit: Some(median(theirs.iter().map(|one| one.rate))),
            ratio: Some(ratio),
            cpu: Some(median(ours.iter().map(|one| one.cpu))),
            cpu_of_limit: Some(median(theirs.iter().map(|one| one.cpu))),
            cpu_of_redis: Some(median(ours.iter().map(|one| one.cpu_of_redis))),
            latency: Some([500, 990, 999].map(|share| last.per_mille(share))),
            peak_mib: Some(peak_mib(service.pid())),
            promise: self.dearest.map_or_else(
                || format!(">= {}", self.least),
                |dearest| format!(">= {}, CPU <= {dearest} x ({dearness:.2})", self.least),
            ),
            is_kept: Some(ratio >= self.least && self.dearest.is_none_or(|dearest| dearness <= dearest)),
            ..Row::default()
        }
    }

    async fn measure(
        &self,
        settings: &Settings,
        server: &Server,
        redis: &Redis,
        requests: &Arc<Requests>,
    ) -> Measured {
        let (before, redis_before) = (server.cpu(), redis.cpu());
        let load = load(&server.address, requests, CONNECTIONS, settings.time, "202").await;
        let events = (load.requests as u64 * self.events) as f64;
        let per_event = |cpu: std::time::Duration| cpu.as_secs_f64() * 1e6 / events;
        Measured {
            rate: load.per_second() * self.events as f64,
            cpu: per_event(server.cpu() - before),
            cpu_of_redis: per_event(redis.cpu() - redis_before),
            load,
        }
    }
}
