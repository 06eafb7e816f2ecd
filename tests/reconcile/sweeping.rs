//! A sweep deletes what templates and variant patterns name, and nothing else.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use decache::{
    caches::{Cache, CacheError, Caches, CopyKey, redis::RedisCache},
    clock::Clock,
    config::resources::{ResourceConfig, ResourcesConfig},
    metrics::Metrics,
    reconcile::{Sweep, SweepError, Swept},
    redis_pool::RedisPool,
    resource::Resources,
};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{redis_server::RedisServer, redis_view::RedisView};

const STORE_PREFIX: &str = "decache:";

/// Copies, and what stands between them.
const COPIES: [&str; 4] = [
    "api:/posts/42?access_token=tok-alice",
    "api:/posts/a/b?access_token=tok-bob",
    "api:/feeds/7/73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049",
    "api:/posts/42?page=2&access_token=tok-alice",
];
const OTHERS: [&str; 9] = [
    "/posts/42?access_token=tok-alice",
    "api:/posts/42",
    "api:/posts/42?access_token=",
    "api:/posts/?access_token=tok-alice",
    "api:/posts/42?lang=en&access_token=tok-alice",
    "api:/feeds/7/alice",
    "api:/feeds/7/73475CB40A568E8DA8A045CED110137E159F890AC4DA883B6B17DC651B3A8049",
    "api:session:tok-alice",
    "decache:{Posts:42}:stale",
];

fn resources() -> Resources {
    let resource = |cache_key: &str, pattern: Option<&str>| ResourceConfig {
        cache_keys: vec![cache_key.to_owned()],
        variant_patterns: pattern.map(str::to_owned).into_iter().collect(),
        ttl: Duration::from_secs(300),
        guard: Duration::ZERO,
        horizon: Duration::from_secs(3600),
        recheck: Duration::ZERO,
        require_read_time: false,
    };
    let posts = resource("/posts/{entity_id}?access_token={access_token}", Some("/posts/*\\?page=[0-9]*"));
    let feeds = resource("/feeds/{entity_id}/{access_token:sha256}", None);
    let config = ResourcesConfig([("Posts".to_owned(), posts), ("Feeds".to_owned(), feeds)].into());
    Resources::compile(&config, STORE_PREFIX).unwrap()
}

fn redis_cache(name: &str, server: &RedisServer, key_prefix: &str) -> Box<dyn Cache> {
    let pool = RedisPool::new(&server.url(), 2, Duration::from_secs(10)).unwrap();
    let cache = RedisCache::new(name.to_owned(), pool, key_prefix.to_owned());
    Box::new(cache.beside_store(STORE_PREFIX))
}

fn caches(caches: Vec<Box<dyn Cache>>) -> Caches {
    Caches::new(caches, Arc::new(Metrics::new().unwrap()))
}

/// A server that holds copies and other keys.
async fn filled() -> RedisServer {
    let server = RedisServer::start();
    let view = RedisView::of(&server.url());
    for key in COPIES.iter().chain(&OTHERS) {
        view.set(key, "x").await;
    }
    server
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

struct Kit {
    caches: Caches,
    resources: Resources,
    dry_run: bool,
    cancelled: CancellationToken,
    told: Mutex<Vec<Swept>>,
}

impl Kit {
    fn of(caches: Caches) -> Self {
        Self {
            caches,
            resources: resources(),
            dry_run: false,
            cancelled: CancellationToken::new(),
            told: Mutex::default(),
        }
    }

    async fn sweep(&self, name: Option<&str>) -> Result<Swept, SweepError> {
        let progress = |swept: &Swept| self.told.lock().unwrap().push(swept.clone());
        let sweep = Sweep {
            caches: &self.caches,
            resources: &self.resources,
            clock: Clock::start(),
            dry_run: self.dry_run,
            progress: &progress,
            cancelled: &self.cancelled,
        };
        match name {
            Some(name) => sweep.one(name).await,
            None => sweep.all().await,
        }
    }
}

#[tokio::test]
async fn a_sweep_deletes_the_copies_of_templates_and_patterns_and_nothing_that_resembles_them() {
    let server = filled().await;
    let kit = Kit::of(caches(vec![redis_cache("api", &server, "api:")]));
    let swept = kit.sweep(Some("api")).await.unwrap();
    assert_eq!((swept.matched, swept.deleted), (4, 4));
    assert_eq!(RedisView::of(&server.url()).keys().await, set(&OTHERS));
    assert_eq!(kit.told.lock().unwrap().last(), Some(&swept));
}

#[tokio::test]
async fn a_dry_run_counts_and_deletes_nothing() {
    let server = filled().await;
    let kit = Kit { dry_run: true, ..Kit::of(caches(vec![redis_cache("api", &server, "api:")])) };
    let swept = kit.sweep(None).await.unwrap();
    assert_eq!((swept.matched, swept.deleted), (4, 0));
    assert_eq!(RedisView::of(&server.url()).keys().await.len(), COPIES.len() + OTHERS.len());
}

#[tokio::test]
async fn the_stores_own_keys_are_spared_whatever_prefix_a_cache_has() {
    let server = RedisServer::start();
    let view = RedisView::of(&server.url());
    let keys = ["decache:/posts/42?access_token=tok-alice", "deca/posts/42?access_token=tok-alice"];
    for key in keys {
        view.set(key, "x").await;
    }
    let kit =
        Kit::of(caches(vec![redis_cache("sub", &server, "decache:"), redis_cache("api", &server, "deca")]));
    assert_eq!(kit.sweep(None).await.unwrap().deleted, 1);
    assert_eq!(view.keys().await, set(&keys[..1]));
}

#[tokio::test]
async fn many_copies_go_in_steps_that_are_told() {
    let server = RedisServer::start();
    let fill = "for i = 1, 20000 do redis.call('SET', '/posts/' .. i .. '?access_token=tok-' .. i, 'x') end";
    RedisView::of(&server.url()).tell(&["EVAL", fill, "0"]).await;
    let kit = Kit::of(caches(vec![redis_cache("api", &server, "")]));
    assert_eq!(kit.sweep(None).await.unwrap().deleted, 20_000);
    assert!(kit.told.lock().unwrap().len() > 20, "a step is bounded");
    assert!(RedisView::of(&server.url()).keys().await.is_empty());
}

#[tokio::test]
async fn one_cache_is_swept_by_name_and_the_others_are_left() {
    let servers = [filled().await, filled().await];
    let kit = Kit::of(caches(vec![
        redis_cache("one", &servers[0], "api:"),
        redis_cache("two", &servers[1], "api:"),
    ]));
    kit.sweep(Some("two")).await.unwrap();
    assert_eq!(RedisView::of(&servers[0].url()).keys().await.len(), COPIES.len() + OTHERS.len());
    assert_eq!(RedisView::of(&servers[1].url()).keys().await, set(&OTHERS));
    let unknown = kit.sweep(Some("three")).await.unwrap_err();
    assert!(matches!(unknown, SweepError::UnknownCache(name) if name == "three"));
}

#[tokio::test]
async fn a_cache_that_is_away_fails_the_sweep_after_the_others_were_swept() {
    let (mut away, there) = (RedisServer::start(), filled().await);
    away.stop();
    let kit = Kit::of(caches(vec![redis_cache("away", &away, "api:"), redis_cache("there", &there, "api:")]));
    let failed = kit.sweep(None).await.unwrap_err();
    assert!(matches!(failed, SweepError::Cache { name, .. } if name == "away"));
    assert_eq!(RedisView::of(&there.url()).keys().await, set(&OTHERS));
}

#[tokio::test]
async fn a_cancelled_sweep_ends_after_the_step_under_way() {
    let server = filled().await;
    let kit = Kit::of(caches(vec![redis_cache("api", &server, "api:")]));
    kit.cancelled.cancel();
    assert!(matches!(kit.sweep(None).await, Err(SweepError::Cancelled)));
    assert_eq!(kit.told.lock().unwrap().len(), 1);
}

/// A cache such as an HTTP one: it deletes what it is told to, and tells nothing.
struct Silent;

impl Cache for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(std::future::ready(Ok(keys.len())))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_cache_that_does_not_tell_what_it_holds_is_named() {
    let server = filled().await;
    let kit = Kit::of(caches(vec![Box::new(Silent), redis_cache("api", &server, "api:")]));
    let swept = kit.sweep(None).await.unwrap();
    assert_eq!((swept.unscannable.as_slice(), swept.deleted), (["silent".to_owned()].as_slice(), 4));
    assert!(matches!(kit.sweep(Some("silent")).await, Err(SweepError::Unscannable(_))));
}
