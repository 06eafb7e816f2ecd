//! Starting while something is missing, and working when it comes.

use std::{os::unix::fs::PermissionsExt, process::Command};

use serde_json::{Value, json};

use crate::{
    process::{self, Process},
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, update},
};

#[tokio::test]
async fn without_its_redis_it_starts_accepts_says_degraded_and_works_when_it_comes() {
    let (mut index, cache) = (RedisServer::start(), RedisServer::start());
    index.stop();
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    let copies = RedisView::of(&cache.url());
    copies.set(&copy_key("42", "alice"), "the post").await;
    let answer = app.post_events(&json!([read(42, "alice"), read(43, "bob")])).await.success(202);
    let reasons = app.in_trouble(&["store", "workers"]).await;
    assert!(reasons.to_string().contains("store unavailable"), "{reasons}");
    assert_eq!(app.readiness().await["status"], "degraded");
    app.get("/livez").await.success(200);
    for unreadable in [app.entity("Posts", "42").await, app.holders("Posts", "42").await] {
        assert_eq!((unreadable.status, unreadable.problem().0), (503, "store-unavailable"));
        assert_eq!(unreadable.header("retry-after"), "1");
    }
    assert_eq!(app.queue().await["queued"], 2, "they wait, and use up no attempt");

    index.restart();
    let id = answer["jobs"][0]["id"].as_str().unwrap();
    let job = app.job_once(id, "done", |job| job["state"] == "done").await;
    assert_eq!(job["attempts"], 0);
    app.in_trouble(&[]).await;
    app.done(&update(42)).await;
    assert!(copies.keys().await.is_empty());
}

/// As a replica does, or a server that is out of memory: it answers, and takes nothing.
#[tokio::test]
async fn a_redis_that_answers_and_refuses_to_be_written_is_degraded_too() {
    let index = RedisServer::start();
    let redis = RedisView::of(&index.url());
    redis.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let app = TestApp::start(Setup::redis(&index)).await;
    let answer = app.post_events(&read(42, "alice")).await.success(202);
    let reasons = app.in_trouble(&["store", "workers"]).await;
    assert!(reasons.to_string().contains("OOM"), "{reasons}");
    redis.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    app.job_once(answer["jobs"][0]["id"].as_str().unwrap(), "done", |job| job["state"] == "done").await;
    app.in_trouble(&[]).await;
}

#[tokio::test]
async fn without_a_cache_that_is_configured_it_starts_and_says_degraded() {
    let mut cache = RedisServer::start();
    cache.stop();
    let app = TestApp::start(Setup::embedded().cache("api", &cache, "")).await;
    app.in_trouble(&["cache:api"]).await;
    app.done(&read(42, "alice")).await;
    cache.restart();
    app.in_trouble(&[]).await;
    app.done(&update(42)).await;
}

#[tokio::test]
async fn the_secret_is_made_at_the_first_start_for_its_owner_alone() {
    let app = TestApp::embedded().await;
    let secret = app.setup.directory().join("secret");
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&secret).unwrap();
    assert!(!app.process.output().contains(text.trim()));
}

#[tokio::test]
async fn without_any_configuration_it_keeps_what_it_has_in_a_folder_of_its_own() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(process::decache());
    command.current_dir(&directory).env("DECACHE__SERVER__BIND", "127.0.0.1:0");
    let mut decache = Process::start("decache", &mut command);
    let url = decache.listening().await;
    let mut answer: Value = reqwest::get(format!("{url}/readyz")).await.unwrap().json().await.unwrap();
    assert_eq!(answer["configuration"].take()["generation"], 1);
    assert_eq!(answer, json!({ "status": "ok", "journal": "fsync", "configuration": null }));
    assert!(decache.terminate().await.success());
    assert!(directory.path().join("data/secret").exists());
}
