//! How soon the copies of what has changed are gone, while the service has much else to do.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::{
    Settings,
    events::{batches, now},
    filled::{Filler, config_of, copies, entity},
    http::{Connection, Requests},
    machine::{Cores, Redis, Server},
    resp::Raw,
    stats::{Row, median, per_mille},
    sustained::{at_most, at_pace},
};

/// Reads in a request of the load beside it.
const BATCH: u64 = 100;
/// Between two changes, so that none waits for the one before it.
const PAUSE: Duration = Duration::from_millis(5);
/// What ids of changed entities begin with, beside those that the load reads.
const CHANGED: &str = "changed-";

/// Row 7.
pub(crate) async fn rows(settings: &Settings, cores: Cores) -> Vec<Row> {
    let mut rows = Vec::new();
    for holders in [10, 1_000] {
        rows.extend(with_holders(settings, cores, holders).await);
    }
    rows
}

/// A second resource, whose fan-outs are less urgent than everything else.
fn config(redis: &Redis) -> String {
    let less_urgent = r#"        - match: { action_type: "Update", resource_type: "Archive" }
          job_properties: { superceedable: true, job_type: invalidate, priority: 5 }
"#;
    config_of(redis, "pool_size: 16")
        .replace(
            "resources: {",
            r#"resources: { Archive: { cache_keys: ["/archive/{entity_id}?access_token={access_token}"], ttl: 3600 },"#,
        )
        .replace(
            "  job_rules:\n",
            "  job_rules:\n    - { action_type: \"Update\", resource_type: \"Archive\", topic: \"pp-cache\" }\n",
        )
        + less_urgent
}

async fn with_holders(settings: &Settings, cores: Cores, holders: usize) -> Vec<Row> {
    let redis = Redis::start(cores);
    let service = Server::decache(&config(&redis), cores).await;
    let reads = Requests::events(batches(40, BATCH, now()), "application/json");
    let most = at_most((&service, &redis), &reads, (BATCH, 0), settings.time * 2).await.rate;
    let filler = Filler::new(&redis, true);
    let changes = (200_000 / holders).min(settings.changes);
    for change in 0..changes {
        filler.hold(&entity("Posts", &format!("{CHANGED}{change}")), holders).await;
        copies(&redis, &format!("/posts/{CHANGED}{change}"), holders);
    }
    filler.hold(&entity("Archive", "1"), settings.large).await;
    copies(&redis, "/archive/1", settings.large);
    let load = at_pace(&service, &reads, most / 2.0 / BATCH as f64);
    let seen = change_all(&redis, &service, holders, changes).await;
    load.iter().for_each(tokio::task::JoinHandle::abort);
    let what = format!("last copy deleted, {holders} holders, {} fan-out beside", settings.large);
    [
        ("event accepted", true, seen.iter().map(|one| one.1).collect()),
        ("event sent", false, seen.iter().map(|one| one.0).collect()),
    ]
    .map(|(since, promised, micros): (_, _, Vec<u32>)| {
        row(&format!("{since} to {what}"), promised, micros, cores)
    })
    .into()
}

fn row(work: &str, promised: bool, mut micros: Vec<u32>, cores: Cores) -> Row {
    micros.sort_unstable();
    let [p50, p99, p999] = [500, 990, 999].map(|share| per_mille(&micros, share));
    Row {
        number: 7,
        work: work.to_owned(),
        pinned: cores != Cores::Free,
        unit: "ms p50",
        service: median([p50]),
        latency: Some([p50, p99, p999]),
        promise: if promised { format!("p50 <= 1, p99 <= 8 (of {})", micros.len()) } else { String::new() },
        is_kept: promised.then_some(p50 <= 1.0 && p99 <= 8.0),
        ..Row::default()
    }
}

/// Changes one entity after the other for as long as the large fan-out is under way. Microseconds from each event's being
/// sent, and from its being accepted, to the deletion of the last copy.
async fn change_all(redis: &Redis, service: &Server, holders: usize, changes: usize) -> Vec<(u32, u32)> {
    let mut gone = watch(redis, holders);
    let mut connection = Connection::to(&service.address).await;
    let mut slow = Connection::to(&service.address).await;
    let large = tokio::spawn(async move {
        slow.ask(&update("Archive", "1", "prefer: wait=60\r\n"), "HTTP/1.1 20").await;
    });
    let mut seen = Vec::new();
    for change in 0..changes {
        tokio::time::sleep(PAUSE).await;
        if large.is_finished() {
            break;
        }
        let sent = Instant::now();
        connection.ask(&update("Posts", &format!("{CHANGED}{change}"), ""), "HTTP/1.1 202").await;
        let accepted = Instant::now();
        let (number, at) = gone.recv().await.unwrap();
        assert_eq!(number, change, "the copies of another");
        let micros = |from: Instant| at.saturating_duration_since(from).as_micros() as u32;
        seen.push((micros(sent), micros(accepted)));
    }
    large.await.unwrap();
    seen
}

fn update(resource_type: &str, id: &str, header: &str) -> Vec<u8> {
    let body = format!(r#"{{"action_type":"Update","resource_type":"{resource_type}","entity_id":"{id}"}}"#);
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: b\r\n{header}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Tells which entity has lost its last copy, and when, in the words of Redis itself: it publishes each deletion, which
/// slows it down a little, to the service's disadvantage.
fn watch(redis: &Redis, holders: usize) -> mpsc::UnboundedReceiver<(usize, Instant)> {
    Raw::connect(redis.server.port).one(&[b"CONFIG", b"SET", b"notify-keyspace-events", b"Kg"]);
    let prefix = format!("__keyspace@0__:/posts/{CHANGED}");
    let mut stream = TcpStream::connect(("127.0.0.1", redis.server.port)).unwrap();
    stream.write_all(format!("PSUBSCRIBE {prefix}*\r\n").as_bytes()).unwrap();
    let mut buffer = vec![0; 1 << 16];
    // The answer to the subscription: nothing is missed after it.
    assert!(stream.read(&mut buffer).unwrap() > 0, "redis-server hung up");
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        let mut text = String::new();
        // Until the server goes.
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            let at = Instant::now();
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            let complete = text.rfind('\n').map_or(0, |end| end + 1);
            for line in text[..complete].lines() {
                let Some((number, _)) = line.strip_prefix(&prefix).and_then(|rest| rest.split_once('?'))
                else {
                    continue;
                };
                let number = number.parse().unwrap();
                let count = counts.entry(number).or_default();
                *count += 1;
                if *count == holders && tell.send((number, at)).is_err() {
                    return;
                }
            }
            text.drain(..complete);
        }
    });
    told
}
