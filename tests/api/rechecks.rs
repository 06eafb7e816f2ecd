//! Caches that fill after the event was posted are emptied again (DESIGN 7, rule 11).

use serde_json::json;

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, now, read, update, with},
};

/// Long enough for what is done before it, on a loaded machine too.
const RECHECK: &str = "3s";

struct Late {
    app: TestApp,
    cache: RedisServer,
}

impl Late {
    async fn with(setup: Setup) -> Self {
        let cache = RedisServer::start();
        let setup =
            setup.with("resources", json!({ "Posts": { "recheck": RECHECK } })).cache("api", &cache, "");
        Self { app: TestApp::start(setup).await, cache }
    }

    fn copies(&self) -> RedisView {
        RedisView::of(&self.cache.url())
    }

    async fn fill(&self, user: &str) {
        self.copies().set(&copy_key("42", user), "the post").await;
    }

    /// Alice reads, a few milliseconds before anything else happens.
    async fn read_before(&self) {
        self.app.done(&read(42, "alice")).await;
        let read_by = now();
        poll("the clock has moved on", async || (now() > read_by + 5).then_some(())).await;
    }

    async fn has(&self, users: &[&str]) {
        let keys = users.iter().map(|user| copy_key("42", user)).collect();
        assert_eq!(self.copies().keys().await, keys);
    }

    /// Waits until all copies are gone, and who held one before the update.
    async fn emptied(&self) {
        poll("no copy is left", async || self.copies().keys().await.is_empty().then_some(())).await;
        poll("she is forgotten", async || (!self.holders().await.contains("alice")).then_some(())).await;
    }

    async fn holders(&self) -> String {
        self.app.holders("Posts", "42").await.success(200).to_string()
    }
}

async fn fills_late(late: Late) {
    late.fill("alice").await;
    late.read_before().await;
    late.app.done(&update(42)).await;
    late.has(&[]).await;
    assert_eq!(late.app.count("42").await, 1, "her relationship is kept until then");
    // Whoever waited for the update has not waited for the recheck.
    assert_eq!(late.app.queue().await["queued"], 1);
    late.fill("alice").await;
    late.fill("bob").await;
    late.app.done(&read(42, "bob")).await;
    late.fill("carol").await;
    late.app.done(&with(read(42, "carol"), "occurred_at", ago(60))).await;
    late.has(&["alice", "bob"]).await;
    late.fill("carol").await;
    let holders = late.app.count("42").await;
    assert_eq!(holders, 3, "whoever reads meanwhile is tracked until the copy is gone");
    late.emptied().await;
    poll("nothing is left to do", async || (late.app.queue().await["queued"] == 0).then_some(())).await;
}

#[tokio::test]
async fn what_a_cache_has_filled_after_the_update_is_gone_after_the_recheck() {
    fills_late(Late::with(Setup::embedded()).await).await;
}

#[tokio::test]
async fn so_it_is_with_the_index_in_redis() {
    let index = RedisServer::start();
    fills_late(Late::with(Setup::redis(&index)).await).await;
}

async fn fills_late_after_a_logout(late: Late) {
    late.fill("alice").await;
    late.read_before().await;
    late.app.revoke_and_wait("alice").await;
    late.has(&[]).await;
    assert_eq!(late.app.count("42").await, 1, "her relationship is kept until then");
    late.fill("alice").await;
    late.emptied().await;
    let held = late.app.held_by("alice", "").await.success(200);
    assert_eq!(held["items"], json!([]));
}

#[tokio::test]
async fn what_a_cache_has_filled_after_a_logout_is_gone_after_the_recheck() {
    fills_late_after_a_logout(Late::with(Setup::embedded()).await).await;
}

#[tokio::test]
async fn so_it_is_after_a_logout_with_the_index_in_redis() {
    let index = RedisServer::start();
    fills_late_after_a_logout(Late::with(Setup::redis(&index)).await).await;
}

#[tokio::test]
async fn a_recheck_that_waits_outlives_the_process() {
    let mut late = Late::with(Setup::embedded()).await;
    late.fill("alice").await;
    late.read_before().await;
    late.app.done(&update(42)).await;
    late.app.process.kill();
    late.app.start_again().await;
    late.fill("alice").await;
    assert_eq!(late.app.count("42").await, 1);
    late.emptied().await;
}

/// What the flush took was recorded, and judged, before it: nothing tells of the copy any more.
#[tokio::test]
async fn what_a_cache_has_filled_after_a_loss_of_the_index_was_answered_is_gone_too() {
    let index = RedisServer::start();
    let late = Late::with(Setup::redis(&index)).await;
    late.read_before().await;
    late.fill("bob").await;
    RedisView::of(&index.url()).tell(&["FLUSHALL"]).await;
    poll("what can be found is gone", async || late.copies().keys().await.is_empty().then_some(())).await;
    late.fill("alice").await;
    late.emptied().await;
    poll("the loss is answered", async || {
        (late.app.metric("decache_index_incomplete").await == 0.0).then_some(())
    })
    .await;
    assert!(late.app.process.output().contains(r#""copies":2"#), "both are told of");
}
