//! Servers that three real sentinels tell of, and that fail over under load.

use std::{net::TcpListener, process::Command, sync::Arc};

use deadpool_redis::redis::{Client, FromRedisValue, cmd};

use crate::{
    ledger::Ledger,
    load::Load,
    process::{Process, poll},
    proxy::{Mode, Proxy},
    redis_process::Redis,
    service::Service,
    setup::{Setup, Store},
};

const SENTINELS: usize = 3;
const QUORUM: &str = "2";

/// Sentinels that watch some primaries, each with one replica.
struct Sentinels {
    ports: Vec<u16>,
    _processes: Vec<Process>,
    _folder: tempfile::TempDir,
}

impl Sentinels {
    async fn watch(masters: &[(&str, &Redis)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut ports, mut processes) = (Vec::new(), Vec::new());
        while ports.len() < SENTINELS {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut lines = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.path().display());
            for (name, redis) in masters {
                lines += &format!(
                    "sentinel monitor {name} 127.0.0.1 {} {QUORUM}\nsentinel down-after-milliseconds {name} 500\n\
                     sentinel failover-timeout {name} 5000\n",
                    redis.port
                );
            }
            let file = folder.path().join(format!("{port}.conf"));
            std::fs::write(&file, lines).unwrap();
            let mut command = Command::new("redis-server");
            let mut process = Process::start("sentinel", command.arg(file).arg("--sentinel"));
            let answers = poll("a sentinel answers or ends", async || {
                if process.has_ended() {
                    return Some(false);
                }
                ask::<String>(port, &["PING"]).await.ok().map(|_| true)
            });
            if answers.await {
                ports.push(port);
                processes.push(process);
            }
        }
        let sentinels = Self { ports, _processes: processes, _folder: folder };
        for (name, _) in masters {
            sentinels.know_all(name).await;
        }
        sentinels
    }

    /// Waits until each knows the replica and the other sentinels: before that none can fail over.
    async fn know_all(&self, master: &str) {
        for port in &self.ports {
            poll("the sentinels know one another", async || {
                let said: std::collections::BTreeMap<String, String> =
                    ask(*port, &["SENTINEL", "MASTER", master]).await.ok()?;
                let number = |field: &str| said[field].parse::<usize>().unwrap();
                (number("num-slaves") == 1 && number("num-other-sentinels") == SENTINELS - 1).then_some(())
            })
            .await;
        }
    }

    /// What decache's configuration says of them.
    fn settings(&self, master: &str) -> String {
        let urls: Vec<String> = self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        serde_json::json!({ "master": master, "urls": urls }).to_string()
    }

    async fn all(&self, words: &[&str]) {
        for port in &self.ports {
            ask::<String>(*port, words).await.unwrap();
        }
    }
}

async fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> deadpool_redis::redis::RedisResult<T> {
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut command = cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    command.query_async(&mut client.get_multiplexed_async_connection().await?).await
}

fn failovers(component: &str) -> String {
    format!(r#"decache_failovers_total{{component="{component}"}}"#)
}

async fn noticed(service: &Service, component: &str) {
    poll("the failover is noticed", async || {
        (service.metric(&failovers(component)).await == 1.0).then_some(())
    })
    .await;
}

/// The index and a cache, whose only address is what the sentinels tell. The host in a URL beside them leads nowhere.
async fn setup(sentinels: &Sentinels) -> Setup {
    let nowhere = "redis://nowhere.invalid:1/0";
    let cache =
        format!("[{{ name: api, kind: redis, sentinel: {}, timeout: 500ms }}]", sentinels.settings("cache"));
    Setup::new(Store::Redis(nowhere.to_owned()), nowhere.to_owned())
        .set("STORE__SENTINEL", &sentinels.settings("index"))
        .set("STORE__TIMEOUT", "2s")
        .set("CACHES", &cache)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_and_a_cache_that_fail_over_under_load_are_found_again_and_nothing_is_lost() {
    let (mut index, mut cache) = (Redis::start().await, Redis::start().await);
    let (_index_replica, cache_replica) = (index.replica().await, cache.replica().await);
    let sentinels = Sentinels::watch(&[("index", &index), ("cache", &cache)]).await;
    // The API has a client of its own that follows.
    let to_cache = Proxy::start(Mode::To(cache.port)).await;
    let ledger = Arc::new(Ledger::new(to_cache.url()));
    let setup = setup(&sentinels).await;
    let service = Service::ready(&setup).await;
    service.wait_for("all is well", |readiness| readiness.word == "ok").await;
    let load = Load::start(&ledger, 4, 21);
    load.go_to(&service.url);
    ledger.accept(60).await;
    index.kill();
    noticed(&service, "store").await;
    ledger.accept(60).await;
    cache.kill();
    noticed(&service, "cache:api").await;
    to_cache.set(Mode::To(cache_replica.port));
    ledger.accept(60).await;
    load.stop().await;
    service.wait_until_done().await;
    ledger.assert_all_done(&service, "two failovers by sentinels").await;
    assert_eq!(service.metric("decache_index_losses_total").await, 0.0);
}

/// Nobody tells it: it is there, answers, and takes itself for the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_the_sentinels_have_left_behind_is_used_no_more() {
    let (index, cache) = (Redis::start().await, Redis::start().await);
    let (index_replica, _cache_replica) = (index.replica().await, cache.replica().await);
    let sentinels = Sentinels::watch(&[("index", &index), ("cache", &cache)]).await;
    let ledger = Arc::new(Ledger::new(cache.url()));
    let setup = setup(&sentinels).await;
    let service = Service::ready(&setup).await;
    ledger.accepted_read(&service, 4).await;
    service.wait_until_done().await;
    index_replica.promote().await;
    sentinels.all(&["SENTINEL", "REMOVE", "index"]).await;
    let port = index_replica.port.to_string();
    sentinels.all(&["SENTINEL", "MONITOR", "index", "127.0.0.1", &port, QUORUM]).await;
    noticed(&service, "store").await;
    let post = ledger.accepted_read(&service, 4).await;
    service.wait_until_done().await;
    let keys = format!("decache:*{post}*");
    let there: Vec<String> = index_replica.ask(&["KEYS", &keys]).await;
    let left_behind: Vec<String> = index.ask(&["KEYS", &keys]).await;
    assert!(!there.is_empty() && left_behind.is_empty(), "{there:?} {left_behind:?}");
    ledger.assert_all_done(&service, "a primary left behind").await;
}
