//! In-process caches that listen on a Redis channel (DESIGN 8).

use deadpool_redis::redis;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Setup, TestApp, copy_key, read, update},
};

fn setup(server: &RedisServer) -> Setup {
    let cache = json!([{ "name": "processes", "kind": "pubsub", "url": server.url(), "channel": "removed", "key_prefix": "v2:", "timeout": 1 }]);
    Setup::embedded().with("caches", cache)
}

/// The next message that names keys.
async fn keys(messages: &mut redis::aio::PubSub) -> Vec<String> {
    let mut messages = messages.on_message();
    loop {
        let message: String = messages.next().await.expect("a message").get_payload().unwrap();
        let keys: Vec<String> = serde_json::from_str(&message).expect("a list of keys");
        if !keys.is_empty() {
            return keys;
        }
    }
}

#[tokio::test]
async fn a_subscriber_hears_the_real_keys_of_what_changed() {
    let server = RedisServer::start();
    let app = TestApp::start(setup(&server)).await;
    let mut messages = redis::Client::open(server.url()).unwrap().get_async_pubsub().await.unwrap();
    messages.subscribe("removed").await.unwrap();
    app.done(&json!([read(42, "alice"), read(42, "bob"), read(43, "alice")])).await;
    app.done(&update(42)).await;
    let mut heard = keys(&mut messages).await;
    heard.sort_unstable();
    assert_eq!(heard, ["alice", "bob"].map(|user| format!("v2:{}", copy_key("42", user))));
    assert_eq!(app.metric(r#"decache_copies_total{cache="processes",outcome="deleted"}"#).await, 2.0);
}

#[tokio::test]
async fn what_nobody_hears_is_done_and_what_redis_does_not_take_is_tried_again() {
    let mut server = RedisServer::start();
    let app = TestApp::start(setup(&server)).await;
    app.done(&read(42, "alice")).await;
    app.done(&update(42)).await;
    assert_eq!(app.metric(r#"decache_copies_total{cache="processes",outcome="absent"}"#).await, 1.0);
    app.done(&read(43, "alice")).await;
    server.stop();
    let job = app.post_events(&update(43)).await.success(202)["jobs"][0]["id"].as_str().unwrap().to_owned();
    app.job_once(&job, "tried twice", |job: &Value| job["attempts"].as_u64() > Some(2)).await;
    assert_eq!(app.count("43").await, 1);
    server.restart();
    app.job_once(&job, "done", |job| job["state"] == "done").await;
    assert_eq!(app.count("43").await, 0);
}
