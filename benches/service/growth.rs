//! Whether recording costs more as there is more of something: the share of the limit that it reaches, at several sizes.

use crate::{
    Settings,
    events::{ENTITIES, TOKENS, batches, mixed, now, read},
    filled::{Filler, Known, config_of, entity},
    http::{Connection, Requests},
    machine::{Cores, Redis, Server},
    record::needed,
    resp::{Pipeline, Raw},
    stats::{Row, median},
    sustained::{Sustained, at_most},
};

/// Reads in a request, and relationships of a pipeline of the raw client.
const BATCH: u64 = 500;
/// Requests, at most, whose reads are posted again and again.
const REQUESTS: u64 = 400;

/// What there is much of.
#[derive(Clone, Copy, Default)]
struct Size {
    relationships: u64,
    queued: u64,
    rules: usize,
}

const ORDINARY: Size = Size { relationships: 1_000, queued: 0, rules: 1 };

/// Row 12.
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let of_relationships =
        settings.relationships_held.iter().map(|&relationships| Size { relationships, ..ORDINARY });
    let of_queued = settings.jobs_queued.iter().map(|&queued| Size { queued, ..ORDINARY });
    let of_rules = settings.rules.iter().map(|&rules| Size { rules, ..ORDINARY });
    let mut rows = Vec::new();
    rows.extend(
        series(settings, "relationships in the index", of_relationships, 0.8, |it| it.relationships).await,
    );
    rows.extend(series(settings, "jobs queued", of_queued, 0.8, |it| it.queued).await);
    rows.extend(series(settings, "rules", of_rules, 0.5, |it| it.rules as u64).await);
    rows
}

/// Each size's share of the limit is compared with the first's, which it has to reach this part of.
async fn series(
    settings: &Settings,
    of: &str,
    sizes: impl Iterator<Item = Size>,
    least: f64,
    amount: impl Fn(Size) -> u64,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for size in sizes {
        let (ours, theirs) = at(settings, size).await;
        let ratio = median(ours.iter().zip(&theirs).map(|(one, other)| one.rate / other));
        let first = rows.first().and_then(|row| row.ratio);
        let of_first = first.map(|first| ratio / first);
        rows.push(Row {
            number: 12,
            work: format!("recording with {} {of}", amount(size)),
            unit: "/s",
            service: median(ours.iter().map(|one| one.rate)),
            limit: Some(median(theirs)),
            ratio: Some(ratio),
            cpu: Some(median(ours.iter().map(|one| one.cpu))),
            cpu_of_redis: Some(median(ours.iter().map(|one| one.cpu_of_redis))),
            promise: of_first
                .map(|share| format!("the first one's ratio x {least} at least ({share:.2})"))
                .unwrap_or_default(),
            is_kept: of_first.map(|share| share >= least),
            size: Some((of.to_owned(), amount(size))),
            ..Row::default()
        });
    }
    rows
}

/// Reads of relationships that are there already, by the service and by the raw client, each with a Redis of its own that
/// holds so many.
async fn at(settings: &Settings, size: Size) -> (Vec<Sustained>, Vec<f64>) {
    let redis = Redis::start(Cores::Free);
    fill(&redis, size.relationships).await;
    let service = Server::decache(&configuration(&redis, size.rules), Cores::Free).await;
    queue(&service, size.queued).await;
    let (other, raw) = filled_by_hand(size.relationships);
    let requests = size.relationships.div_ceil(BATCH).min(REQUESTS);
    let events = Requests::events(batches(requests, BATCH, now()), "application/json");
    let pipelines: Vec<Pipeline> = (0..requests).map(pipeline).collect();
    let (mut ours, mut theirs, mut raw) = (Vec::new(), Vec::new(), raw);
    for _ in 0..settings.rounds {
        ours.push(at_most((&service, &redis), &events, (BATCH, size.queued), settings.time).await);
        theirs.push(by_hand(settings, &mut raw, &pipelines));
    }
    drop(other);
    (ours, theirs)
}

/// Every read is a job of its own, however soon it comes again, for the raw client repeats its commands as well. Rules for
/// other resources stand before those that match, and jobs of `Later` wait.
fn configuration(redis: &Redis, rules: usize) -> String {
    let others: String = (1..rules)
        .map(|n| {
            format!(
                "    - {{ action_type: \"^(Read)$\", resource_type: \"Others{n}\", topic: \"pp-cache\" }}\n"
            )
        })
        .collect();
    let kinds: String = (1..rules)
        .map(|n| {
            format!(
                "        - match: {{ action_type: \"Read\", resource_type: \"Others{n}\" }}\n          job_properties: {{ superceedable: true, job_type: invalidate, priority: 1 }}\n"
            )
        })
        .collect();
    let resources: String = (1..rules)
        .map(|n| {
            format!(
                "Others{n}: {{ cache_keys: [\"/others{n}/{{entity_id}}?access_token={{access_token}}\"], ttl: 300 }}, "
            )
        })
        .collect();
    config_of(redis, "pool_size: 16, by_holder: false")
        .replace(
            "superceedable: true, job_type: cache, priority: 1",
            "superceedable: false, job_type: cache, priority: 1",
        )
        .replace("  job_rules:\n", &format!("  job_rules:\n{LATER_RULE}{others}"))
        .replace("      pp-cache:\n", &format!("      pp-cache:\n{LATER_KIND}{kinds}"))
        .replace("store:", "queue: { capacity: 2000000, max_bytes: 4GiB }\nstore:")
        .replace("resources: {", &format!("resources: {{ {LATER_RESOURCE}, {resources}"))
}

const LATER_RESOURCE: &str =
    r#"Later: { cache_keys: ["/later/{entity_id}?access_token={access_token}"], ttl: 300 }"#;
const LATER_RULE: &str = "    - { action_type: \"Read\", resource_type: \"Later\", topic: \"pp-cache\" }\n";
const LATER_KIND: &str = r#"        - match: { action_type: "Read", resource_type: "Later" }
          job_properties: { superceedable: false, job_type: cache, priority: 1, due: 3600 }
"#;

async fn queue(service: &Server, jobs: u64) {
    let mut connection = Connection::to(&service.address).await;
    for first in (0..jobs).step_by(BATCH as usize) {
        let reads: Vec<String> = (first..(first + BATCH).min(jobs)).map(|n| read(n, now())).collect();
        let body = format!("[{}]", reads.join(",")).replace("Posts", "Later");
        for request in Requests::events([body], "application/json").each() {
            connection.ask(request, "HTTP/1.1 202").await;
        }
    }
}

/// The relationships that the events are of.
async fn fill(redis: &Redis, relationships: u64) {
    let filler = Filler::new(redis, false);
    let known: Vec<Known> = (0..TOKENS).map(|token| filler.known(format!("tok-{token:05}"))).collect();
    let relationship = |n: u64| {
        let (id, token) = (mixed(n) % ENTITIES, mixed(n ^ 0x5555) % TOKENS);
        (entity("Posts", &id.to_string()), known[token as usize].clone())
    };
    filler.record((0..relationships).map(relationship)).await;
}

fn filled_by_hand(relationships: u64) -> (Redis, Raw) {
    let redis = Redis::start(Cores::Free);
    let mut raw = Raw::connect(redis.server.port);
    (0..relationships.div_ceil(BATCH)).for_each(|batch| raw.send(&pipeline(batch)));
    (redis, raw)
}

fn pipeline(batch: u64) -> Pipeline {
    let mut pipeline = Pipeline::default();
    (batch * BATCH..(batch + 1) * BATCH).for_each(|n| needed(&mut pipeline, n, false));
    pipeline
}

/// Relationships a second.
fn by_hand(settings: &Settings, raw: &mut Raw, pipelines: &[Pipeline]) -> f64 {
    let began = std::time::Instant::now();
    let mut sent = 0;
    raw.send_each(pipelines.iter().cycle().take_while(|_| {
        sent += BATCH;
        began.elapsed() < settings.time
    }));
    sent as f64 / began.elapsed().as_secs_f64()
}
