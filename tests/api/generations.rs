//! Generations: asked for in Redis as docs/generation.md says, and what a wrong one does (DESIGN 7, rule 4).

use deadpool_redis::redis::{Client, pipe};
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, update, with, without},
};

/// As an API asks that has only read docs/generation.md.
async fn asked_in_redis(index: &RedisServer, resource_type: &str, entity_id: &str) -> u64 {
    let escaped = entity_id.replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
    let mut connection = Client::open(index.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut pipeline = pipe();
    pipeline.cmd("GET").arg(format!("decache:{{{resource_type}:{escaped}}}:stale")).cmd("TIME");
    let (record, (seconds, micros)): (Option<String>, (u64, u64)) =
        pipeline.query_async(&mut connection).await.unwrap();
    let first = record.map_or(0, |record| record.split(' ').next().unwrap().parse().unwrap());
    first.max(seconds * 1000 + micros / 1000)
}

async fn asked(app: &TestApp, entity_id: &str) -> u64 {
    app.entity("Posts", entity_id).await.success(200)["generation"].as_u64().unwrap()
}

fn under(generation: u64, entity_id: &str, user: &str) -> Value {
    with(without(read(entity_id, user), "occurred_at"), "generation", generation)
}

#[tokio::test]
async fn redis_gives_the_generation_that_http_gives() {
    let index = RedisServer::start();
    let app = TestApp::start(Setup::redis(&index)).await;
    for id in ["42", "}:stale", "{a} 100% \u{fc}", "%7B"] {
        let before = asked(&app, id).await;
        let never_changed = asked_in_redis(&index, "Posts", id).await;
        assert!((before..=asked(&app, id).await).contains(&never_changed), "{id}");
        app.done(&json!([read(id, "alice"), update(id)])).await;
        let record = RedisView::of(&index.url()).keys().await;
        let before = asked(&app, id).await;
        let changed = asked_in_redis(&index, "Posts", id).await;
        assert!((before..=asked(&app, id).await).contains(&changed), "{id}: {record:?}");
        assert!(changed > never_changed);
        app.done(&json!([under(never_changed, id, "early"), under(changed, id, "late")])).await;
        let holders = app.holders("Posts", id).await.success(200);
        let users: Vec<_> = holders["items"].as_array().unwrap().iter().map(|it| &it["user_id"]).collect();
        assert_eq!(users, ["late"], "{id}");
    }
}

async fn a_made_up_one(setup: Setup) {
    let cache = RedisServer::start();
    let app = TestApp::start(setup.cache("api", &cache, "")).await;
    let copies = RedisView::of(&cache.url());
    for user in ["made-up", "given"] {
        copies.set(&copy_key("42", user), "the post").await;
    }
    let given = asked(&app, "42").await;
    // Nobody has changed it: even so, what it vouches for nobody knows.
    app.done(&json!([under(given + 86_400_000, "42", "made-up"), under(given, "42", "given")])).await;
    assert_eq!(copies.keys().await, [copy_key("42", "given")].into());
    assert_eq!(app.count("42").await, 1);
    assert_eq!(app.metric(r#"decache_evictions_total{reason="made_up_generation"}"#).await, 1.0);
}

#[tokio::test]
async fn a_generation_that_was_never_given_out_makes_no_copy_look_fresh() {
    a_made_up_one(Setup::embedded()).await;
}

#[tokio::test]
async fn nor_does_one_with_the_index_in_redis() {
    let index = RedisServer::start();
    a_made_up_one(Setup::redis(&index)).await;
}
