//! Stopping: what is ready is finished, what is stored stays, and nobody waits longer than they were told.

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, read, until_closed, update, with},
};

impl TestApp {
    /// Waits until it takes no more connections.
    async fn stopped_listening(&self) {
        let address = self.url.strip_prefix("http://").unwrap();
        let refused = async || TcpStream::connect(address).await.is_err().then_some(());
        poll("no connection is taken any more", refused).await;
    }
}

#[tokio::test]
async fn sigterm_finishes_the_work_that_is_ready() {
    let cache = RedisServer::start();
    let copies = RedisView::of(&cache.url());
    let mut app = TestApp::start(Setup::embedded().cache("api", &cache, "")).await;
    let reads: Value = (0..500).map(|n| read(42, &format!("user-{n}"))).collect();
    app.done(&reads).await;
    for n in 0..500 {
        copies.set(&copy_key("42", &format!("user-{n}")), "the post").await;
    }
    let late: Value = (0..500).map(|n| read(43, &format!("user-{n}"))).collect();
    app.post_events(&late).await.success(202);
    app.post_events(&update(42)).await.success(202);
    assert_eq!(app.process.terminate().await.code(), Some(0));
    assert!(copies.keys().await.is_empty(), "a 202 is a promise");
    assert!(!app.process.output().contains("could not be done"), "{}", app.process.output());
    app.start_again().await;
    assert_eq!((app.count("42").await, app.count("43").await), (0, 500));
}

#[tokio::test]
async fn jobs_that_are_not_due_are_told_of_and_do_not_hold_it_up() {
    let setup = Setup::embedded().job(1, json!({ "due": 3600 })).with("server", json!({ "grace": 3600 }));
    let setup = setup.with("journal", json!({ "level": "none" }));
    let mut app = TestApp::start(setup).await;
    app.post_events(&json!([update(42), update(43)])).await.success(202);
    assert_eq!(app.process.terminate().await.code(), Some(0));
    let output = app.process.output();
    assert!(output.contains("are lost: there is no journal") && output.contains("jobs=2"), "{output}");
}

/// A request that waits for a job of the next hour, on a service that would wait for it.
async fn a_request_that_waits(app: &TestApp) -> TcpStream {
    let body = update(42).to_string();
    let mut connection = app.connect().await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: wait=60\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    connection.write_all(request.as_bytes()).await.unwrap();
    poll("it is taken", async || (app.queue().await["queued"] == 1).then_some(())).await;
    connection
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let setup = Setup::embedded().job(1, json!({ "due": 3600 })).with("server", json!({ "grace": 3600 }));
    let mut app = TestApp::start(setup).await;
    let mut waiting = a_request_that_waits(&app).await;
    app.process.ask_to_stop();
    app.stopped_listening().await;
    app.process.ask_to_stop();
    let status = app.ended().await;
    assert_eq!(status.code(), Some(1), "it did not end well");
    assert!(app.process.output().contains("ended at once, by a second signal"));
    assert_eq!(until_closed(&mut waiting).await, "");
}

#[tokio::test]
async fn after_the_grace_period_it_ends_whoever_still_waits() {
    let setup = Setup::embedded().job(1, json!({ "due": 3600 })).with("server", json!({ "grace": "300ms" }));
    let mut app = TestApp::start(setup).await;
    let _waiting = a_request_that_waits(&app).await;
    assert_eq!(app.process.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn what_the_embedded_store_knows_survives_a_restart() {
    let mut app = TestApp::embedded().await;
    let changed = ago(10);
    app.done(&json!([read(42, "alice"), with(update(43), "occurred_at", changed)])).await;
    let before = (app.holders("Posts", "42").await.text, app.entity("Posts", "43").await.success(200));
    app.restart().await;
    let after = (app.holders("Posts", "42").await.text, app.entity("Posts", "43").await.success(200));
    assert_eq!(after.0, before.0, "the holder, by name");
    assert_eq!(after.1["last_invalidated"], before.1["last_invalidated"]);
    assert!(after.1["generation"].as_u64() >= before.1["generation"].as_u64());
    app.done(&with(read(43, "bob"), "occurred_at", changed)).await;
    assert_eq!(app.count("43").await, 0, "a read from before the write is stale still");
}

#[tokio::test]
async fn what_the_embedded_store_has_recorded_survives_a_kill() {
    let cache = RedisServer::start();
    let mut app = TestApp::start(Setup::embedded().cache("api", &cache, "")).await;
    for n in 0..20 {
        app.done(&read(42, &format!("user-{n}"))).await;
    }
    app.process.kill();
    app.start_again().await;
    assert_eq!(app.count("42").await, 20);
    RedisView::of(&cache.url()).set(&copy_key("42", "user-7"), "the post").await;
    app.done(&update(42)).await;
    assert!(RedisView::of(&cache.url()).keys().await.is_empty());
}
