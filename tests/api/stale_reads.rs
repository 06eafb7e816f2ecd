//! Copies that were read before a write do not survive it, whenever their events come (DESIGN 7, rules 3 to 5).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, read, update, with, without},
};

/// A cache with copies of post 42, which was changed ten seconds ago.
struct Changed {
    app: TestApp,
    cache: RedisServer,
    at: u64,
}

impl Changed {
    async fn with(setup: Setup) -> Self {
        let cache = RedisServer::start();
        let (app, at) = (TestApp::start(setup.cache("api", &cache, "")).await, ago(10));
        app.done(&with(update(42), "occurred_at", at)).await;
        Self { app, cache, at }
    }

    /// Each user's copy comes into the cache, and its event to decache only then.
    async fn reads(&self, events: &[(&str, Value)]) {
        for (user, _) in events {
            self.copies().set(&copy_key("42", user), "the post").await;
        }
        self.app.done(&events.iter().map(|(_, event)| event.clone()).collect()).await;
    }

    /// Exactly these users still have a copy, and exactly they are listed.
    async fn kept(&self, users: &[&str]) {
        let keys: BTreeSet<_> = users.iter().map(|user| copy_key("42", user)).collect();
        assert_eq!(self.copies().keys().await, keys);
        let holders = self.app.holders("Posts", "42").await.success(200);
        let listed: BTreeSet<_> = holders["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["user_id"].as_str().unwrap())
            .collect();
        assert_eq!(listed, users.iter().copied().collect());
    }

    async fn evicted(&self, reason: &str) -> f64 {
        self.app.metric(&format!("decache_evictions_total{{reason=\"{reason}\"}}")).await
    }

    fn copies(&self) -> RedisView {
        RedisView::of(&self.cache.url())
    }
}

fn began(user: &'static str, at: u64) -> (&'static str, Value) {
    (user, with(read(42, user), "occurred_at", at))
}

#[tokio::test]
async fn a_read_that_began_before_the_write_or_with_it_loses_its_copy_and_a_later_one_keeps_it() {
    let index = RedisServer::start();
    let post = Changed::with(Setup::redis(&index)).await;
    let at = post.at;
    post.reads(&[began("before", at - 1), began("with", at), began("after", at + 1)]).await;
    post.kept(&["after"]).await;
    assert_eq!(post.evicted("stale").await, 2.0);
    let entity = post.app.entity("Posts", "42").await.success(200);
    assert!(entity["generation"].as_u64().unwrap() > at, "{entity}");
    assert!(!entity["last_invalidated"].is_null());
}

#[tokio::test]
async fn within_the_guard_a_read_counts_as_before_the_write() {
    let guard = json!({ "Posts": { "guard": "2s" } });
    let post = Changed::with(Setup::embedded().with("resources", guard)).await;
    let at = post.at;
    post.reads(&[began("within", at + 2000), began("beyond", at + 2001)]).await;
    post.kept(&["beyond"]).await;
}

#[tokio::test]
async fn a_read_that_says_nothing_of_its_time_is_evicted_where_there_was_a_write() {
    let post = Changed::with(Setup::embedded()).await;
    let undated = without(read(42, "undated"), "occurred_at");
    post.reads(&[("undated", undated.clone()), began("dated", post.at + 1)]).await;
    post.kept(&["dated"]).await;
    assert_eq!(post.evicted("undated").await, 1.0);
    post.app.done(&with(undated, "entity_id", 43)).await;
    assert_eq!(post.app.count("43").await, 1, "nobody has changed that one");
    assert_eq!(post.app.metric("decache_undated_reads_total").await, 2.0);
}

#[tokio::test]
async fn a_read_that_is_told_of_later_than_the_horizon_is_evicted() {
    let horizon = json!({ "Posts": { "horizon": 5 } });
    let post = Changed::with(Setup::embedded().with("resources", horizon)).await;
    post.reads(&[began("late", ago(6)), began("fresh", ago(1))]).await;
    post.kept(&["fresh"]).await;
    assert_eq!(post.evicted("older_than_horizon").await, 1.0);
}

#[tokio::test]
async fn a_write_is_never_too_old() {
    let post = Changed::with(Setup::embedded()).await;
    post.reads(&[began("alice", post.at + 1)]).await;
    post.app.done(&with(update(42), "occurred_at", "1970-01-01T00:00:00Z")).await;
    post.kept(&[]).await;
    post.reads(&[began("bob", post.at)]).await;
    post.kept(&[]).await;
    assert_eq!(post.evicted("stale").await, 1.0, "the older write has not moved the mark back");
}

#[tokio::test]
async fn a_generation_stands_for_the_time() {
    let post = Changed::with(Setup::embedded()).await;
    let under = async |user: &'static str| {
        let generation = post.app.entity("Posts", "42").await.success(200)["generation"].clone();
        (user, with(without(read(42, user), "occurred_at"), "generation", generation))
    };
    let (early, kept) = (under("early").await, under("kept").await);
    post.reads(&[kept]).await;
    post.kept(&["kept"]).await;
    post.app.done(&update(42)).await;
    post.reads(&[early, under("late").await]).await;
    post.kept(&["late"]).await;
    assert_eq!(post.evicted("generation").await, 1.0);
}

/// A mark that was made under a shorter `horizon` may have gone before a read comes that it would have caught.
#[tokio::test]
async fn after_the_horizon_was_raised_no_read_of_before_is_trusted() {
    let posts = |horizon: &str| {
        let key = "/posts/{entity_id}?access_token={access_token}";
        json!({ "Posts": { "cache_keys": [key], "ttl": 300, "guard": 0, "horizon": horizon } })
    };
    for server in [None, Some(RedisServer::start())] {
        let setup = server.as_ref().map_or_else(Setup::embedded, Setup::redis);
        let cache = RedisServer::start();
        let mut app = TestApp::start(setup.with("resources", posts("30m")).cache("api", &cache, "")).await;
        let kept = async |app: &TestApp, user: &str, at: u64| {
            let copies = RedisView::of(&cache.url());
            copies.set(&copy_key("43", user), "the post").await;
            app.done(&with(read(43, user), "occurred_at", at)).await;
            copies.keys().await.contains(&copy_key("43", user))
        };
        app.restart().await;
        assert!(kept(&app, "alice", ago(10)).await, "nothing was raised");
        app.setup.change("resources", posts("1h"));
        for _ in 0..2 {
            app.restart().await;
            assert!(!kept(&app, "bob", ago(10)).await);
            assert!(kept(&app, "carol", ago(0)).await);
        }
    }
}
