//! Recording relationships, from the request to the index in Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Settings,
    events::{ENTITIES, TOKENS, batches, mixed, now},
    http::{Requests, load},
    ingest::config,
    machine::{Cores, Redis, Server, peak_mib},
    resp::{Pipeline, Raw},
    stats::{Row, median},
};

/// Events in a request, and commands for as many relationships that the raw client sends together.
const BATCH: u64 = 500;
/// Clients wait while more jobs than this are queued: they are recorded as fast as they come, and no faster.
const QUEUED: u64 = 20_000;
const EXPIRY: &[u8] = b"4000000000";

/// Rows 3 and 4, without `by_holder` and with it.
pub(crate) async fn rows(settings: &Settings, cores: Cores) -> Vec<Row> {
    let mut rows = Vec::new();
    for by_holder in [false, true] {
        rows.extend(measure(settings, cores, by_holder).await);
    }
    rows
}

/// How one program did.
#[derive(Clone, Copy)]
struct Recorded {
    rate: f64,
    cpu: f64,
    cpu_of_redis: f64,
}

async fn measure(settings: &Settings, cores: Cores, by_holder: bool) -> Vec<Row> {
    let (mut ours, mut raw, mut lone, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for round in 0..settings.rounds {
        let redis = Redis::start(cores);
        let config = config(&redis, &format!("by_holder: {by_holder}"));
        let service = Server::decache(&config, cores).await;
        ours.push(through_the_service(settings, &service, &redis, round).await);
        peak = peak_mib(service.pid());
        drop(service);
        raw.push(by_hand(settings, &redis, |pipeline, n| needed(pipeline, n, by_holder)));
        lone.push(by_hand(settings, &redis, zadd));
    }
    let pairs = || ours.iter().zip(&raw);
    let ratio = median(pairs().map(|(one, other)| one.rate / other.rate));
    let dearness = median(ours.iter().zip(&lone).map(|(one, other)| one.cpu_of_redis / other.cpu_of_redis));
    let with = if by_holder { "by_holder" } else { "without by_holder" };
    let rate = median(ours.iter().map(|one| one.rate));
    let recorded = Row {
        number: 3,
        work: format!("reads until recorded, {with}"),
        pinned: cores != Cores::Free,
        unit: "/s",
        service: rate,
        limit: Some(median(raw.iter().map(|one| one.rate))),
        ratio: Some(ratio),
        cpu: Some(median(ours.iter().map(|one| one.cpu))),
        cpu_of_redis: Some(median(ours.iter().map(|one| one.cpu_of_redis))),
        cpu_of_redis_for_limit: Some(median(raw.iter().map(|one| one.cpu_of_redis))),
        peak_mib: Some(peak),
        promise: format!(
            ">= 0.75, >= {:.0} /s where ZADD does {:.0}",
            150.0 / 365.0 * median(lone.iter().map(|one| one.rate)),
            median(lone.iter().map(|one| one.rate))
        ),
        is_kept: (!by_holder)
            .then_some(ratio >= 0.75 && rate >= 150.0 / 365.0 * median(lone.iter().map(|one| one.rate))),
        ..Row::default()
    };
    let dear = Row {
        number: 4,
        work: format!("Redis CPU per relationship, {with}"),
        unit: "ns",
        service: median(ours.iter().map(|one| one.cpu_of_redis)) * 1000.0,
        limit: Some(median(lone.iter().map(|one| one.cpu_of_redis)) * 1000.0),
        ratio: Some(dearness),
        pinned: cores != Cores::Free,
        promise: "<= 2 x a ZADD".to_owned(),
        is_kept: (!by_holder).then_some(dearness <= 2.0),
        ..Row::default()
    };
    vec![recorded, dear]
}

/// Posts for as long as a round is, and waits until all of it is recorded.
async fn through_the_service(settings: &Settings, service: &Server, redis: &Redis, round: usize) -> Recorded {
    let client = reqwest::Client::new();
    let at = now();
    let first = round as u64 * 1_000_000;
    let bodies = batches(settings.relationships / BATCH, BATCH, at + first);
    let requests: Vec<Arc<Requests>> =
        bodies.chunks(40).map(|bodies| Requests::events(bodies.to_vec(), "application/json")).collect();
    let (began, cpu, redis_cpu) = (Instant::now(), service.cpu(), redis.cpu());
    let mut posted = 0;
    for requests in requests.iter().cycle() {
        if began.elapsed() >= settings.time * 2 {
            break;
        }
        let load = load(&service.address, requests, 4, Duration::from_millis(25), "202").await;
        posted += load.requests as u64 * BATCH;
        while service.queued(&client).await > QUEUED {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    service.idle(&client).await;
    let took = began.elapsed();
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / posted as f64;
    Recorded {
        rate: posted as f64 / took.as_secs_f64(),
        cpu: each(service.cpu() - cpu),
        cpu_of_redis: each(redis.cpu() - redis_cpu),
    }
}

/// What a client does that has nothing but the commands to send.
fn by_hand(settings: &Settings, redis: &Redis, command: impl Fn(&mut Pipeline, u64)) -> Recorded {
    let mut raw = Raw::connect(redis.server.port);
    raw.one(&[b"FLUSHALL"]);
    let pipelines: Vec<Pipeline> = (0..settings.relationships / BATCH)
        .map(|batch| {
            let mut pipeline = Pipeline::default();
            (batch * BATCH..(batch + 1) * BATCH).for_each(|n| command(&mut pipeline, n));
            pipeline
        })
        .collect();
    let (began, cpu) = (Instant::now(), redis.cpu());
    let mut sent = 0;
    raw.send_each(pipelines.iter().cycle().take_while(|_| {
        sent += BATCH;
        began.elapsed() < settings.time * 2
    }));
    let took = began.elapsed();
    Recorded {
        rate: sent as f64 / took.as_secs_f64(),
        cpu: 0.0,
        cpu_of_redis: (redis.cpu() - cpu).as_secs_f64() * 1e6 / sent as f64,
    }
}

/// One relationship: the member with its expiry, the key's, what tells whether the read is stale, and the vault's entry. The
/// service needs fewer: it reads `stale` for 64 reads at once, remembers what the vault holds, and moves a key's expiry only now and
/// then; but each of its commands is called by a script, for no expiry may be shortened, and that costs more than being sent alone.
pub(crate) fn needed(pipeline: &mut Pipeline, n: u64, by_holder: bool) {
    let (entity, token) = (mixed(n) % ENTITIES, mixed(n ^ 0x5555) % TOKENS);
    let bucket = format!("decache:{{Posts:{entity}}}:h:0");
    let field = (u128::from(token) * 0x9e37_79b9_7f4a_7c15).to_be_bytes();
    pipeline.add(&[b"HSET", bucket.as_bytes(), &field, b"eeeessss"]);
    pipeline.add(&[b"EXPIREAT", bucket.as_bytes(), EXPIRY]);
    pipeline.add(&[b"GET", format!("decache:{{Posts:{entity}}}:stale").as_bytes()]);
    pipeline.add(&[b"GET", format!("decache:{{holder:{token:032x}}}:token").as_bytes()]);
    if by_holder {
        let entries = format!("decache:{{holder:{token:032x}}}:entities:0");
        pipeline.add(&[b"HSET", entries.as_bytes(), format!("Posts:{entity}").as_bytes(), b"eeeessss"]);
        pipeline.add(&[b"EXPIREAT", entries.as_bytes(), EXPIRY]);
        pipeline.add(&[b"GET", format!("decache:{{holder:{token:032x}}}:stale").as_bytes()]);
    }
}

fn zadd(pipeline: &mut Pipeline, n: u64) {
    let (entity, token) = (mixed(n) % ENTITIES, mixed(n ^ 0x5555) % TOKENS);
    pipeline.add(&[
        b"ZADD",
        format!("tag:{entity}").as_bytes(),
        EXPIRY,
        format!("/posts/{entity}?access_token=tok-{token:05}").as_bytes(),
    ]);
}
