//! What a relationship costs in Redis.
//!
//! `MEMORY USAGE` says what all of an entity's keys take. How `used_memory` has grown counts the tables of keys and
//! expiries too, which double where they are full: it is somewhere between that and twice as much, as the number of keys
//! happens to be.

use std::time::Duration;

use deadpool_redis::redis::{self, FromRedisValue};
use decache::redis_pool::RedisPool;

use crate::{
    Settings,
    filled::{Filler, entity},
    machine::{Cores, Redis},
    stats::Row,
};

/// Holders of an entity, how many entities have so many, and the bytes that are promised.
const CASES: [(usize, usize, f64); 4] =
    [(10, 5_000, 45.0), (100, 500, 34.0), (10_000, 10, 34.0), (1_000_000, 1, 34.0)];
/// Entities of a holder, and how many holders have so many.
const BY_HOLDER: [(usize, usize); 2] = [(20, 5_000), (200, 500)];

/// Row 8, and what the vault and the index by holder take beside it.
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for (holders, entities, most) in CASES.into_iter().filter(|case| case.0 <= settings.very_large) {
        rows.extend(of_size(holders, entities, most).await);
    }
    for (entities, holders) in BY_HOLDER {
        let more = by_holder(entities, holders, true).await - by_holder(entities, holders, false).await;
        rows.push(Row {
            number: 14,
            work: format!("by_holder, more memory a relationship, holders with {entities} entities"),
            unit: "bytes",
            service: more,
            ..Row::default()
        });
    }
    rows
}

async fn of_size(holders: usize, entities: usize, most: f64) -> Vec<Row> {
    let redis = Redis::start(Cores::Free);
    let (filler, client) = warm(&redis, false).await;
    let empty = client.settled_memory().await;
    record(&filler, entities, holders).await;
    let with_vault = client.settled_memory().await;
    client.drop_keys("decache:{holder:*").await;
    let used = client.settled_memory().await;
    let relationships = (holders * entities) as f64;
    let usage = client.memory_usage("decache:{Posts:*").await as f64;
    let promised = |work: String, bytes: f64| Row {
        number: 8,
        work,
        unit: "bytes",
        service: bytes / relationships,
        promise: format!("<= {most}"),
        is_kept: Some(bytes / relationships <= most),
        ..Row::default()
    };
    let what = format!("a relationship's memory, {holders} holders");
    vec![
        promised(format!("{what}, MEMORY USAGE"), usage),
        promised(format!("{what}, used_memory"), (used - empty) as f64),
        Row {
            number: 14,
            work: format!("a holder's vault entry, {holders} holders"),
            unit: "bytes",
            service: (with_vault - used) as f64 / holders as f64,
            ..Row::default()
        },
    ]
}

/// `used_memory` for each relationship, the vault with it.
async fn by_holder(entities: usize, holders: usize, by_holder: bool) -> f64 {
    let redis = Redis::start(Cores::Free);
    let (filler, client) = warm(&redis, by_holder).await;
    let empty = client.settled_memory().await;
    record(&filler, entities, holders).await;
    (client.settled_memory().await - empty) as f64 / (entities * holders) as f64
}

/// Scripts, connections and buffers are there before the measuring begins.
async fn warm(redis: &Redis, by_holder: bool) -> (Filler, Client) {
    let filler = Filler::new(redis, by_holder);
    record(&filler, 1, 512).await;
    let client = Client(filler.pool.clone());
    client.ask::<()>(&["FLUSHALL", "SYNC"]).await;
    (filler, client)
}

/// Each holder of each entity, one entity after the other.
async fn record(filler: &Filler, entities: usize, holders: usize) {
    for number in 0..entities {
        filler.hold(&entity("Posts", &number.to_string()), holders).await;
    }
}

struct Client(RedisPool);

impl Client {
    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut pipeline = redis::pipe();
        let command = pipeline.cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        self.0.query::<(T,)>(&pipeline).await.unwrap().0
    }

    async fn used_memory(&self) -> i64 {
        self.ask::<()>(&["MEMORY", "PURGE"]).await;
        let info: String = self.ask(&["INFO", "memory"]).await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.trim().parse().unwrap()
    }

    /// `used_memory` when it no longer falls: the tables shrink bit by bit after the vault has gone.
    async fn settled_memory(&self) -> i64 {
        let (mut least, mut unchanged) = (self.used_memory().await, 0);
        while unchanged < 20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.used_memory().await;
            unchanged = if now < least { 0 } else { unchanged + 1 };
            least = least.min(now);
        }
        least
    }

    async fn keys(&self, pattern: &str) -> Vec<String> {
        self.ask(&["KEYS", pattern]).await
    }

    async fn drop_keys(&self, pattern: &str) {
        for keys in self.keys(pattern).await.chunks(1_000) {
            let words: Vec<&str> = std::iter::once("DEL").chain(keys.iter().map(String::as_str)).collect();
            self.ask::<u64>(&words).await;
        }
    }

    async fn memory_usage(&self, pattern: &str) -> u64 {
        let mut total = 0;
        for keys in self.keys(pattern).await.chunks(1_000) {
            let mut pipeline = redis::pipe();
            for key in keys {
                pipeline.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0);
            }
            total += self.0.query::<Vec<u64>>(&pipeline).await.unwrap().iter().sum::<u64>();
        }
        total
    }
}
