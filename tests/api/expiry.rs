//! A read that nobody got to in time is not worth recording any more: its copy goes (DESIGN 7, rule 8).

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, now, read},
};

#[tokio::test]
async fn a_read_that_a_worker_gets_to_too_late_loses_its_copy() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let setup = Setup::redis(&index).cache("api", &cache, "").job(0, json!({ "expires": 0 }));
    let app = TestApp::start(setup).await;
    RedisView::of(&cache.url()).set(&copy_key("42", "alice"), "the post").await;
    let answer = app.post_events_and_wait(&read(42, "alice")).await.success(200);
    assert_eq!(answer["jobs"][0]["outcome"], "expired");
    let expired = app.jobs("?state=expired").await.success(200);
    assert_eq!(expired["items"][0]["id"], answer["jobs"][0]["id"]);
    assert!(RedisView::of(&cache.url()).keys().await.is_empty());
    assert_eq!(app.count("42").await, 0);
    app.counted_jobs(r#"state="expired",type="cache""#, 1.0).await;
}

#[tokio::test]
async fn a_read_that_waited_for_the_store_longer_than_it_is_worth_is_evicted() {
    let (mut index, cache) = (RedisServer::start(), RedisServer::start());
    let setup = Setup::redis(&index).cache("api", &cache, "").job(0, json!({ "expires": "300ms" }));
    let app = TestApp::start(setup.with("workers", json!({ "max_attempts": 1000 }))).await;
    RedisView::of(&cache.url()).set(&copy_key("42", "alice"), "the post").await;
    index.stop();
    let answer = app.post_events_and_wait(&read(42, "alice")).await.success(200);
    assert_eq!(answer["jobs"][0]["outcome"], "expired");
    assert!(RedisView::of(&cache.url()).keys().await.is_empty());
    index.restart();
    // It has come back empty.
    let losses = async || (app.metric("decache_index_losses_total").await > 0.0).then_some(());
    crate::process::poll("the loss is noticed", losses).await;
    app.in_trouble(&[]).await;
    assert_eq!(app.count("42").await, 0);
}

#[tokio::test]
async fn a_relationship_ends_with_its_copy() {
    let app = TestApp::embedded().await;
    let mut event = read(42, "alice");
    event["expires_in"] = json!(0.5);
    let posted = now();
    app.done(&json!([event, read(42, "bob")])).await;
    let bob = app.look_up("tok-bob").await.success(200)["holder"].clone();
    crate::process::poll("alice's copy has ended", async || (app.count("42").await == 1).then_some(())).await;
    let holders = app.holders("Posts", "42").await.success(200);
    assert_eq!(holders["items"][0]["holder"], bob);
    let ends: jiff::Timestamp = holders["items"][0]["expires_at"].as_str().unwrap().parse().unwrap();
    let lives = u64::try_from(ends.as_millisecond()).unwrap() - posted;
    assert!((300_000..360_000).contains(&lives), "bob's has the resource's ttl: {lives} ms");
}
