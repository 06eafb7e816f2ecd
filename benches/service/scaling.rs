//! What the capacity model (`scripts/capacity`, docs/scaling.md) needs to know beside the promises, and a run that it is
//! checked against.

use std::time::Duration;

use crate::{
    Settings,
    events::{ENTITIES, TOKENS, batches, mixed, now, read},
    filled::{Filler, Known, config_of, entity},
    http::Requests,
    machine::{Cores, Redis, Server, Traffic},
    stats::Row,
    sustained::{at_most, at_pace},
};

/// Entities of an invalidation, and holders of each.
const ENTITIES_ASKED: usize = 1_000;
const HOLDERS: usize = 10;
/// Reads in a request of the run that the model is checked against, and how many of its events are updates.
const BATCH: u64 = 100;
const READS_PER_UPDATE: u64 = 100;
/// How long a copy lives in it: as many reads as there are relationships come in that time.
const LIFE_S: u64 = 300;

/// Figures that promise nothing.
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = invalidations(settings).await;
    rows.extend(reads(settings).await);
    rows.extend(tenth(settings).await);
    rows
}

fn row(work: &str, unit: &'static str, value: f64) -> Row {
    Row { number: 14, work: work.to_owned(), unit, service: value, ..Row::default() }
}

/// What many small invalidations cost, each.
async fn invalidations(settings: &Settings) -> Vec<Row> {
    let redis = Redis::start(Cores::Free);
    let service = Server::decache(&config_of(&redis, "pool_size: 16"), Cores::Free).await;
    let client = reqwest::Client::new();
    let filler = Filler::new(&redis, true);
    let asked: Vec<_> = (0..ENTITIES_ASKED)
        .map(|number| serde_json::json!({"resource_type": "Posts", "entity_id": number.to_string()}))
        .collect();
    let (mut cpu, mut redis_cpu, mut received, mut sent) = (Duration::ZERO, Duration::ZERO, 0, 0);
    for _ in 0..settings.rounds * 2 {
        for number in 0..ENTITIES_ASKED {
            filler.hold(&entity("Posts", &number.to_string()), HOLDERS).await;
        }
        let before = (service.cpu(), redis.cpu(), Traffic::of(&redis));
        let request = client.post(service.url("/v1/invalidations"));
        let answer = request.json(&serde_json::json!({"entities": asked})).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        service.idle(&client).await;
        cpu += service.cpu() - before.0;
        redis_cpu += redis.cpu() - before.1;
        let traffic = Traffic::of(&redis).since(before.2);
        (received, sent) = (received + traffic.0, sent + traffic.1);
    }
    let count = (settings.rounds * 2 * ENTITIES_ASKED) as f64;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count;
    let what = format!("invalidation with {HOLDERS} holders");
    vec![
        Row {
            cpu: Some(each(cpu)),
            cpu_of_redis: Some(each(redis_cpu)),
            ..row(&format!("{what}, CPU"), "us", each(cpu))
        },
        row(&format!("{what}, bytes to Redis"), "bytes", received as f64 / count),
        row(&format!("{what}, bytes from Redis"), "bytes", sent as f64 / count),
    ]
}

/// What recorded reads send to Redis and have from it.
async fn reads(settings: &Settings) -> Vec<Row> {
    let redis = Redis::start(Cores::Free);
    let service = Server::decache(&config_of(&redis, "pool_size: 16"), Cores::Free).await;
    let requests = Requests::events(batches(200, 500, now()), "application/json");
    let before = Traffic::of(&redis);
    let done = at_most((&service, &redis), &requests, (500, 0), settings.time).await;
    let (received, sent) = Traffic::of(&redis).since(before);
    vec![
        row("recorded read, bytes of the event", "bytes", read(0, now()).len() as f64),
        row("recorded read, bytes to Redis", "bytes", received as f64 / done.reads as f64),
        row("recorded read, bytes from Redis", "bytes", sent as f64 / done.reads as f64),
    ]
}

/// A service at a tenth of a load that the model is asked about: as many relationships, read again as often as they end.
async fn tenth(settings: &Settings) -> Vec<Row> {
    let redis = Redis::start(Cores::Free);
    let empty = used_memory(&redis);
    let filler = Filler::new(&redis, true);
    let known: Vec<Known> = (0..TOKENS).map(|token| filler.known(format!("tok-{token:05}"))).collect();
    let relationship = |n: u64| {
        let (id, token) = (mixed(n) % ENTITIES, mixed(n ^ 0x5555) % TOKENS);
        (entity("Posts", &id.to_string()), known[token as usize].clone())
    };
    filler.record((0..settings.tenth).map(relationship)).await;
    let memory = used_memory(&redis) - empty;
    let service = Server::decache(&config_of(&redis, "pool_size: 16"), Cores::Free).await;
    // Let it have done what it does after a start.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rate = settings.tenth as f64 / LIFE_S as f64;
    let read_again = Requests::events(batches(settings.tenth / BATCH, BATCH, now()), "application/json");
    let update = |n: u64| {
        let id = mixed(n) % ENTITIES;
        format!(r#"{{"action_type":"Update","resource_type":"Posts","entity_id":{id}}}"#)
    };
    let updates = Requests::events((0..10_000).map(update), "application/json");
    let before = (service.cpu(), redis.cpu(), Traffic::of(&redis));
    let mut load = at_pace(&service, &read_again, rate / BATCH as f64);
    load.extend(at_pace(&service, &updates, rate / READS_PER_UPDATE as f64));
    let time = settings.time * 5;
    tokio::time::sleep(time).await;
    let cores = |cpu: Duration| cpu.as_secs_f64() / time.as_secs_f64();
    let (ours, of_redis) = (cores(service.cpu() - before.0), cores(redis.cpu() - before.1));
    let (received, sent) = Traffic::of(&redis).since(before.2);
    load.iter().for_each(tokio::task::JoinHandle::abort);
    vec![
        row("at a tenth, relationships", "", settings.tenth as f64),
        row("at a tenth, entities", "", ENTITIES as f64),
        row("at a tenth, holders", "", TOKENS as f64),
        row("at a tenth, reads", "/s", rate),
        row("at a tenth, reads in a request", "", BATCH as f64),
        row("at a tenth, updates", "/s", rate / READS_PER_UPDATE as f64),
        row("at a tenth, cores of the service", "", ours),
        row("at a tenth, cores of Redis", "", of_redis),
        row("at a tenth, memory of Redis", "MiB", memory / (1 << 20) as f64),
        row("at a tenth, to Redis", "bytes/s", received as f64 / time.as_secs_f64()),
        row("at a tenth, from Redis", "bytes/s", sent as f64 / time.as_secs_f64()),
    ]
}

fn used_memory(redis: &Redis) -> f64 {
    let text = crate::resp::Raw::connect(redis.server.port).told("memory", "used_memory_human:");
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}
