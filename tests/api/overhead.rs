//! What the protocol costs in commands of the index Redis: the table in docs/consistency.md, counted anew.

use std::collections::BTreeMap;

use deadpool_redis::redis::{Client, cmd};
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Setup, TestApp, read, update},
};

/// Reads of a request, and of one batch of a worker.
const READS: usize = 512;
const REQUESTS: usize = 5;
/// What the monitor asks in the meantime, and connections when they are made or taken.
const BESIDE: [&str; 8] = ["auth", "client", "hello", "info", "ping", "select", "setrange", "config"];

/// Commands by clients, and commands of scripts, for one thing of many that were done.
struct Cost {
    by_clients: f64,
    in_scripts: f64,
}

async fn commands(index: &RedisServer) -> BTreeMap<String, f64> {
    let client = Client::open(index.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let stats: String = cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let counts = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().unwrap()))
    });
    counts.filter(|(name, _)| !BESIDE.contains(&&*name.to_lowercase())).collect()
}

/// What was done between two counts, for each of `things`.
fn cost(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, things: usize) -> Cost {
    let done = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    let all: f64 = after.keys().map(|name| done(name)).sum();
    // Only clients call scripts, and with each pipeline they read the marker; the vault is read by nobody else either.
    let by_clients: f64 = ["evalsha", "script|load", "mget"].iter().map(|name| done(name)).sum();
    Cost { by_clients: by_clients / things as f64, in_scripts: (all - by_clients) / things as f64 }
}

async fn read_all(app: &TestApp, post: impl Fn(usize) -> String) {
    for request in 0..REQUESTS {
        let reads = (0..READS).map(|n| request * READS + n).map(|n| read(post(n), &format!("user-{n}")));
        app.done(&reads.collect::<Value>()).await;
    }
}

/// The row of the table for this work: at most so many commands by clients, and in scripts.
fn documented(work: &str) -> Cost {
    let page = include_str!("../../docs/consistency.md");
    let row = page.lines().find(|line| line.starts_with(&format!("| {work} |")));
    let row = row.unwrap_or_else(|| panic!("no row for: {work}"));
    let numbers: Vec<f64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    Cost { by_clients: numbers[0], in_scripts: numbers[1] }
}

/// Documented is what it costs, rounded up: no less, and hardly more.
#[track_caller]
fn assert_documented(work: &str, counted: &Cost) {
    let documented = documented(work);
    // How full batches are, a loaded machine decides.
    for (counted, documented, least) in
        [(counted.by_clients, documented.by_clients, 0.4), (counted.in_scripts, documented.in_scripts, 0.8)]
    {
        let is_true = counted <= documented && counted >= least * documented;
        assert!(is_true, "{work}: {counted}, not {documented}");
    }
}

/// A read of one among few entities, one of an entity of its own, a removed copy, and an invalidation that finds nobody.
async fn counted(by_holder: bool) -> [Cost; 4] {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let setup =
        Setup::redis(&index).cache("api", &cache, "").with("store", json!({ "by_holder": by_holder }));
    let app = TestApp::start(setup.with("workers", json!({ "batch": READS }))).await;
    let (reads, updates) = (READS * REQUESTS, |name: &str, count| -> Value {
        (0..count).map(|n| update(format!("{name}-{n}"))).collect()
    });
    let start = commands(&index).await;
    read_all(&app, |n| format!("post-{}", n % 10)).await;
    let of_few = commands(&index).await;
    read_all(&app, |n| format!("lone-{n}")).await;
    let of_many = commands(&index).await;
    app.done(&updates("post", 10)).await;
    let removed = commands(&index).await;
    app.done(&updates("nobody", 200)).await;
    let vain = commands(&index).await;
    [
        cost(&start, &of_few, reads),
        cost(&of_few, &of_many, reads),
        cost(&of_many, &removed, reads),
        cost(&removed, &vain, 200),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_costs_what_its_page_says() {
    let works = [
        "a read of an entity with many holders",
        "a read of an entity that nobody else holds",
        "a copy that is removed, of 256 of an entity",
        "an invalidation of what nobody holds",
    ];
    for (by_holder, suffix) in [(true, ""), (false, ", without `by_holder`")] {
        let all = counted(by_holder).await;
        for (work, counted) in works.iter().zip(&all) {
            println!("{work}{suffix}: {:.3} {:.3}", counted.by_clients, counted.in_scripts);
        }
        for (work, counted) in works.iter().zip(&all).take(if by_holder { 4 } else { 2 }) {
            assert_documented(&format!("{work}{suffix}"), counted);
        }
    }
}
