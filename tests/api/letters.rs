//! Dead letters: listed, tried again, discarded, one or all of one reason, and for good.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, update},
};

const UNKNOWN: &str = "019ab0b8-c9c0-7d0e-a9f5-2b8a8f0d7a11";

/// Gives up after two attempts. Its index takes nothing at first, so every read of these posts is a dead letter.
pub(crate) async fn with_letters(
    index: &RedisServer,
    cache: &RedisServer,
    posts: u64,
) -> (TestApp, Vec<String>) {
    let setup = Setup::redis(index).cache("api", cache, "").with("workers", json!({ "max_attempts": 2 }));
    let app = TestApp::start(setup.with("queue", json!({ "finished": 100_000 }))).await;
    app.done(&read("before", "alice")).await;
    takes_nothing(index, true).await;
    let events: Vec<Value> = (0..posts).map(|post| read(post, "alice")).collect();
    let answer = app.post_events_and_wait(&events.into()).await.success(200);
    let jobs = answer["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["outcome"] == "dead"), "{answer}");
    let ids = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    takes_nothing(index, false).await;
    (app, ids)
}

async fn takes_nothing(index: &RedisServer, it_does: bool) {
    let sign = if it_does { '-' } else { '+' };
    let rules = ["eval", "evalsha"].map(|command| format!("{sign}{command}"));
    RedisView::of(&index.url()).tell(&["ACL", "SETUSER", "default", &rules[0], &rules[1]]).await;
}

async fn retry(app: &TestApp, id: &str) -> crate::support::Answer {
    app.send(Method::POST, &format!("/v1/jobs/{id}/retry"), &[], "").await
}

async fn discard(app: &TestApp, id: &str) -> crate::support::Answer {
    app.send(Method::DELETE, &format!("/v1/jobs/{id}"), &[], "").await
}

async fn all(app: &TestApp, what: &str, request: Value) -> Value {
    app.post(&format!("/v1/jobs/{what}"), &[], &request).await.success(200)
}

#[tokio::test]
async fn a_dead_letter_is_listed_with_its_reason_and_tried_again_with_fresh_attempts() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (app, ids) = with_letters(&index, &cache, 2).await;
    let listed = app.jobs("?state=dead&reason=store_refused&resource_type=Posts").await.success(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let letter = &listed["items"][0];
    assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("store_refused"), &json!(2)));
    assert!(letter["finished_at"].is_string() && letter["last_error"].is_string(), "{letter}");
    assert_eq!(app.jobs("?state=dead&reason=no_resource").await.success(200)["items"], json!([]));
    assert_eq!(app.jobs("?state=dead&topic=other").await.success(200)["items"], json!([]));
    assert_eq!(app.queue().await["dead_by_reason"], json!({ "store_refused": 2 }));
    assert_eq!(app.metric(r#"decache_dead_letters{reason="store_refused"}"#).await, 2.0);

    assert_eq!(retry(&app, &ids[0]).await.success(202), json!({ "id": ids[0], "supersedes": null }));
    let done = app.job_once(&ids[0], "done", |job| job["state"] == "done").await;
    assert_eq!((&done["attempts"], &done["reason"]), (&json!(0), &json!(null)));
    assert_eq!(app.count("0").await, 1, "the relationship is recorded");
    let again = retry(&app, &ids[0]).await;
    assert_eq!((again.status, again.problem()), (409, ("job-not-dead", "the job is done, not dead")));
    assert_eq!(app.metric(r#"decache_dead_letters_settled_total{fate="retried"}"#).await, 1.0);
}

#[tokio::test]
async fn a_dead_letter_is_discarded_once_and_what_is_none_cannot_be() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (app, ids) = with_letters(&index, &cache, 1).await;
    assert_eq!(discard(&app, &ids[0]).await.success(200)["state"], "dead");
    for id in [&*ids[0], UNKNOWN, "nobody"] {
        for answer in [discard(&app, id).await, retry(&app, id).await] {
            assert_eq!((answer.status, answer.problem().0), (404, "unknown-job"), "{id}");
        }
    }
    let done = app.done(&read(7, "bob")).await;
    let answer = discard(&app, done["jobs"][0]["id"].as_str().unwrap()).await;
    assert_eq!((answer.status, answer.problem().0), (409, "job-not-dead"));
}

/// It is judged by the time that its event carried: a write has come in between.
#[tokio::test]
async fn a_read_that_is_stale_by_now_is_evicted_and_not_recorded_when_it_is_tried_again() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (app, ids) = with_letters(&index, &cache, 1).await;
    app.done(&update(0)).await;
    let copies = RedisView::of(&cache.url());
    copies.set(&copy_key("0", "alice"), "filled late, and stale").await;
    retry(&app, &ids[0]).await.success(202);
    app.job_once(&ids[0], "done", |job| job["state"] == "done").await;
    assert_eq!(app.count("0").await, 0);
    assert_eq!(copies.keys().await, BTreeSet::new());
}

#[tokio::test]
async fn all_dead_letters_of_one_reason_are_tried_again_or_discarded_at_once() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (app, ids) = with_letters(&index, &cache, 30).await;
    let request = |topic: &str| json!({ "state": "dead", "reason": "store_refused", "topic": topic });
    assert_eq!(all(&app, "discard", request("other")).await, json!({ "discarded": 0, "remaining": 0 }));
    discard(&app, &ids[3]).await.success(200);
    assert_eq!(all(&app, "retry", request("pp-cache")).await, json!({ "retried": 29, "remaining": 0 }));
    for id in ids.iter().filter(|id| **id != ids[3]) {
        app.job_once(id, "done", |job| job["state"] == "done").await;
    }
    let none = json!({ "state": "dead", "reason": "store_refused" });
    assert_eq!(all(&app, "discard", none).await, json!({ "discarded": 0, "remaining": 0 }));
}

#[tokio::test]
async fn a_request_that_does_not_say_exactly_what_it_means_changes_nothing() {
    let app = TestApp::embedded().await;
    for request in [
        json!({}),
        json!({ "state": "dead" }),
        json!({ "reason": "store_refused" }),
        json!({ "state": "done", "reason": "store_refused" }),
        json!({ "state": "dead", "reason": "bad_luck" }),
        json!({ "state": "dead", "reason": "store_refused", "topic": null }),
        json!({ "state": "dead", "reason": "store_refused", "resource_type": "" }),
        json!({ "state": "dead", "reason": "store_refused", "reasn": 1 }),
    ] {
        for what in ["retry", "discard"] {
            let answer = app.post(&format!("/v1/jobs/{what}"), &[], &request).await;
            assert_eq!((answer.status, answer.problem().0), (400, "invalid-body"), "{request}");
        }
    }
}

#[tokio::test]
async fn what_became_of_a_dead_letter_outlives_a_kill_right_after_the_answer() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (mut app, ids) = with_letters(&index, &cache, 4).await;
    let before = app.job(&ids[3]).await.success(200);
    takes_nothing(&index, true).await;
    retry(&app, &ids[0]).await.success(202);
    discard(&app, &ids[1]).await.success(200);
    app.process.kill();
    takes_nothing(&index, false).await;
    app.start_again().await;
    app.job_once(&ids[0], "done, or not known any more", |job| job["state"] == "done").await;
    assert_eq!(app.job(&ids[1]).await.status, 404);
    let dead = app.jobs("?state=dead").await.success(200);
    let left: Vec<_> = dead["items"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(left, [&ids[2], &ids[3]]);
    assert_eq!(app.job(&ids[3]).await.success(200), before, "a letter tells the same after a restart");
}

#[tokio::test]
async fn one_request_takes_care_of_a_bounded_number_and_says_how_many_are_left() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (app, _) = with_letters(&index, &cache, 10_000).await;
    takes_nothing(&index, true).await;
    let more: Vec<Value> = (10_000..10_020).map(|post| read(post, "alice")).collect();
    app.post_events_and_wait(&more.into()).await.success(200);
    takes_nothing(&index, false).await;
    let request = json!({ "state": "dead", "reason": "store_refused" });
    let bob = read(1_000_000, "bob");
    let (settled, done) = tokio::join!(all(&app, "discard", request.clone()), app.done(&bob));
    assert_eq!(settled, json!({ "discarded": 10_000, "remaining": 20 }));
    assert_eq!(done["accepted"], 1);
    assert_eq!(all(&app, "retry", request).await, json!({ "retried": 20, "remaining": 0 }));
}
