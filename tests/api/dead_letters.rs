//! A read that cannot be recorded loses its copy, and only then is its job a dead letter (DESIGN 7, rule 8).

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read},
};

/// A service that gives up after two attempts, with an index and a cache that holds alice's and bob's copies.
async fn filled(index: &RedisServer, cache: &RedisServer) -> TestApp {
    let setup = Setup::redis(index).cache("api", cache, "").with("workers", json!({ "max_attempts": 2 }));
    let app = TestApp::start(setup).await;
    for user in ["alice", "bob"] {
        RedisView::of(&cache.url()).set(&copy_key("42", user), "the post").await;
    }
    app
}

#[tokio::test]
async fn a_read_that_the_store_cannot_take_is_evicted_and_its_job_kept_as_a_dead_letter() {
    let (mut index, cache) = (RedisServer::start(), RedisServer::start());
    let app = filled(&index, &cache).await;
    index.stop();
    let answer = app.post_events_and_wait(&json!([read(42, "alice"), read(43, "carol")])).await.success(200);
    assert_eq!(answer["jobs"][0]["outcome"], "dead");
    assert_eq!(RedisView::of(&cache.url()).keys().await, [copy_key("42", "bob")].into());
    let dead = app.jobs("?state=dead").await.success(200);
    let ids: Vec<_> = dead["items"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, [&answer["jobs"][0]["id"], &answer["jobs"][1]["id"]]);
    let job = &dead["items"][0];
    assert_eq!((&job["attempts"], &job["entity_id"]), (&json!(2), &json!("42")));
    assert!(job["last_error"].as_str().unwrap().starts_with("store unavailable"), "{job}");
    assert_eq!(app.queue().await["dead"], 2);
    app.counted_jobs(r#"state="dead",type="cache""#, 2.0).await;
    app.said("are dead letters; their copies were evicted").await;

    index.restart();
    app.in_trouble(&[]).await;
    app.done(&read(44, "dave")).await;
    assert_eq!(app.queue().await["dead"], 2, "they stay to be looked at");
}

#[tokio::test]
async fn a_job_is_dead_only_after_its_copy_is_gone() {
    let (mut index, cache) = (RedisServer::start(), RedisServer::start());
    let app = filled(&index, &cache).await;
    let copies = RedisView::of(&cache.url());
    copies.tell(&["ACL", "SETUSER", "default", "-unlink"]).await;
    index.stop();
    let answer = app.post_events(&read(42, "alice")).await.success(202);
    let id = answer["jobs"][0]["id"].as_str().unwrap();
    // More often than it may fail.
    let waiting = app.job_once(id, "tried often", |job| job["attempts"].as_u64() > Some(4)).await;
    assert_ne!(waiting["state"], "dead", "{waiting}");
    assert_eq!(waiting["last_error"], "cache api: cache unavailable: NOPERM");
    assert_eq!(app.queue().await["dead"], 0);
    copies.tell(&["ACL", "SETUSER", "default", "+unlink"]).await;
    app.job_once(id, "dead", |job| job["state"] == "dead").await;
    assert_eq!(copies.keys().await, [copy_key("42", "bob")].into());
}
