//! What a relationship costs in Redis: `cargo bench --bench redis_memory`.
//!
//! Starts a redis-server of its own, records holders through the real store, and prints bytes per relationship, the vault
//! apart: what `MEMORY USAGE` says of all of an entity's keys, and how `used_memory` grew, which counts the tables of
//! keys and expiries too. Then the same for what each holder holds (`store.by_holder`), beside the relationship itself.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that gives up where it cannot go on"
)]

use std::time::Duration;

use deadpool_redis::redis::{self, FromRedisValue};
use decache::{
    clock::Clock,
    event::Entity,
    redis_pool::RedisPool,
    relations::{Member, Recording, Relations, Sealed, redis::RedisStore},
    secret::HolderId,
};

#[expect(dead_code, reason = "what tests of servers need besides")]
#[path = "../tests/support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

/// Holders of an entity, and how many entities have so many.
const CASES: [(usize, usize); 5] = [(10, 5_000), (100, 500), (10_000, 10), (100_000, 2), (1_000_000, 1)];
/// Entities of a holder, and how many holders have so many.
const BY_HOLDER: [(usize, usize); 4] = [(1, 50_000), (20, 5_000), (200, 500), (10_000, 10)];
const BATCH: usize = 512;

#[tokio::main]
async fn main() {
    println!(
        "{:>9} {:>9} {:>14} {:>14} {:>9}",
        "holders", "entities", "MEMORY USAGE", "used_memory", "buckets"
    );
    for (holders, entities) in CASES {
        let server = RedisServer::start();
        let redis = Client(RedisPool::new(&server.url(), 4, Duration::from_secs(60)).unwrap());
        let store = RedisStore::new(redis.0.clone(), "decache:").by_holder(false);
        // Scripts, connections and buffers are there before the measuring begins.
        record(&store, BATCH, 1).await;
        redis.ask::<()>(&["FLUSHALL", "SYNC"]).await;
        let empty = redis.settled_memory().await;
        record(&store, holders, entities).await;
        redis.drop_keys("decache:{holder:*").await;
        let relationships = (holders * entities) as f64;
        let used = (redis.settled_memory().await - empty) as f64 / relationships;
        let keys = redis.keys("decache:{Posts:*").await;
        let usage = redis.memory_usage(&keys).await as f64 / relationships;
        let buckets = keys.iter().filter(|key| key.contains("}:h:")).count();
        println!("{holders:>9} {entities:>9} {usage:>14.1} {used:>14.1} {buckets:>9}");
    }
    println!("\n{:>9} {:>9} {:>14} {:>14}", "entities", "holders", "MEMORY USAGE", "used_memory");
    for (entities, holders) in BY_HOLDER {
        let (with, usage) = by_holder(entities, holders, true).await;
        let (without, _) = by_holder(entities, holders, false).await;
        println!("{entities:>9} {holders:>9} {usage:>14.1} {:>14.1}", with - without);
    }
}

/// What a relationship costs, the vault with it: `used_memory`, and the holders' entries alone by `MEMORY USAGE`.
async fn by_holder(entities: usize, holders: usize, by_holder: bool) -> (f64, f64) {
    let server = RedisServer::start();
    let redis = Client(RedisPool::new(&server.url(), 4, Duration::from_secs(60)).unwrap());
    let store = RedisStore::new(redis.0.clone(), "decache:").by_holder(by_holder);
    record_numbered(&store, BATCH, |n| (n, n)).await;
    redis.ask::<()>(&["FLUSHALL", "SYNC"]).await;
    let empty = redis.settled_memory().await;
    record_numbered(&store, entities * holders, |n| (n % holders, n / holders)).await;
    let relationships = (entities * holders) as f64;
    let keys = redis.keys("decache:{holder:*}:entities:*").await;
    let usage = redis.memory_usage(&keys).await as f64 / relationships;
    ((redis.settled_memory().await - empty) as f64 / relationships, usage)
}

async fn record(store: &RedisStore, holders: usize, entities: usize) {
    record_numbered(store, holders * entities, |n| (n, n % entities)).await;
}

/// Records so many relationships, each of the numbered holder and the numbered entity that `numbers` gives.
async fn record_numbered(store: &RedisStore, count: usize, numbers: impl Fn(usize) -> (usize, usize)) {
    let expires_at = Clock::start().now().after(Duration::from_secs(3600));
    let one = |n: usize| {
        let (holder, entity) = numbers(n);
        let id = *blake3::hash(&holder.to_be_bytes()).as_bytes().first_chunk().unwrap();
        Recording {
            entity: Entity { resource_type: "Posts".into(), id: entity.to_string().into() },
            member: Member { holder: HolderId(id), variant: None },
            expires_at,
            vault: Sealed(Vec::new()),
            names_holder: false,
        }
    };
    let all: Vec<usize> = (0..count).collect();
    for batch in all.chunks(BATCH) {
        store.record(&batch.iter().map(|n| one(*n)).collect::<Vec<_>>()).await.unwrap();
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

    async fn memory_usage(&self, keys: &[String]) -> u64 {
        let mut total = 0;
        for keys in keys.chunks(1_000) {
            let mut pipeline = redis::pipe();
            for key in keys {
                pipeline.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0);
            }
            total += self.0.query::<Vec<u64>>(&pipeline).await.unwrap().iter().sum::<u64>();
        }
        total
    }
}
