//! The index is lost while there are caches that nobody can look into: such a cache is emptied as a whole, or readiness says that
//! stale copies may live in it (DESIGN 7, rule 13).

use deadpool_redis::redis;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::{
    process::poll,
    purge_targets::{PURGED, Target},
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, read},
};

const NO: Option<&str> = Some("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");

/// decache with its index in a Redis and with this cache, which knows of a copy.
async fn holding(index: &RedisServer, on_loss: &str, cache: Value) -> TestApp {
    let setup =
        Setup::redis(index).with("store", json!({ "on_loss": on_loss })).with("caches", json!([cache]));
    let app = TestApp::start(setup).await;
    app.done(&read(42, "alice")).await;
    app
}

async fn lose(index: &RedisServer) {
    RedisView::of(&index.url()).tell(&["FLUSHALL"]).await;
}

/// What readiness says of the index, once it says this.
async fn told(app: &TestApp, what: &str) {
    poll(what, async || {
        let readiness = app.readiness().await;
        let mut reasons = readiness["reasons"].as_array()?.iter();
        let detail = reasons.find(|it| it["component"] == "index")?["detail"].as_str()?;
        detail.contains(what).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_is_emptied_as_a_whole_after_a_loss_and_until_then_readiness_names_it() {
    for on_loss in ["evict", "rebuild"] {
        let (index, target) = (RedisServer::start(), Target::start(NO));
        let url = |path: &str| format!("http://{}{path}", target.address);
        let cache = json!({
            "name": "proxy", "kind": "http", "url": url("{key}"), "timeout": 1,
            "purge_all": { "method": "BAN", "url": url("/all") },
        });
        let app = holding(&index, on_loss, cache).await;
        lose(&index).await;
        told(&app, "cache proxy: ").await;
        assert_eq!(app.metric("decache_index_incomplete").await, 1.0, "{on_loss}");
        let refused = target.asked("BAN /all ");
        assert!(refused > 0, "{on_loss}");
        target.answers(PURGED);
        app.in_trouble(&[]).await;
        assert!(target.asked("BAN /all ") > refused, "{on_loss}: it is asked until it has done it");
        assert_eq!(app.metric("decache_index_losses_total").await, 1.0, "{on_loss}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_emptied_is_named_for_as_long_as_its_copies_live_over_a_restart_too() {
    for on_loss in ["evict", "rebuild"] {
        let (index, target) = (RedisServer::start(), Target::start(PURGED));
        let url = format!("http://{}{{key}}", target.address);
        let cache = json!({ "name": "proxy", "kind": "http", "url": url, "timeout": 1 });
        let mut app = holding(&index, on_loss, cache).await;
        lose(&index).await;
        let untold = "lost: proxy neither tell what they hold nor can be emptied: stale copies in them may live until 2";
        told(&app, untold).await;
        app.said("a cache does not tell what it holds").await;
        app.restart().await;
        told(&app, untold).await;
        assert_eq!(app.readiness().await["status"], "degraded", "events are taken all the while");
        app.done(&read(43, "alice")).await;
    }
}

#[tokio::test]
async fn processes_that_listen_are_told_to_drop_everything_after_a_loss() {
    let (index, server) = (RedisServer::start(), RedisServer::start());
    let cache = json!({ "name": "processes", "kind": "pubsub", "url": server.url(), "channel": "removed", "timeout": 1 });
    let app = holding(&index, "evict", cache).await;
    let mut messages = redis::Client::open(server.url()).unwrap().get_async_pubsub().await.unwrap();
    messages.subscribe("removed").await.unwrap();
    lose(&index).await;
    let mut messages = messages.on_message();
    while messages.next().await.expect("a message").get_payload_bytes() != b"null" {}
    app.in_trouble(&[]).await;
}
