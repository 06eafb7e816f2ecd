//! Events that are not valid, and strange ones that are.

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, now, read, token, update, with, without},
};

#[tokio::test]
async fn each_field_that_is_wrong_is_named_and_everything_else_goes_on() {
    let app = TestApp::embedded().await;
    let cases = bad_events();
    let mut events: Vec<Value> = cases.iter().map(|(event, _)| event.clone()).collect();
    events.push(read(42, "alice"));
    let answer = app.post_events_and_wait(&json!(events)).await.success(200);
    assert_eq!(answer["accepted"], 1, "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    for ((index, (event, expected)), rejected) in cases.iter().enumerate().zip(rejected) {
        assert_eq!(rejected["index"], index, "{event} is taken");
        let detail = rejected["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{event}: {detail}");
    }
    for (event, expected) in cases {
        let answer = app.post_events(&event).await;
        assert_eq!((answer.status, answer.problem().0), (422, "no-valid-event"), "{event}");
        assert!(answer.problem().1.contains(expected), "{answer:?}");
    }
    assert_eq!(app.count("42").await, 1);
    assert_eq!(app.readiness().await["status"], "ok");
}

/// Each with a part of what is said of it.
fn bad_events() -> Vec<(Value, &'static str)> {
    let alice = || read(42, "alice");
    let id = |id: Value| with(alice(), "entity_id", id);
    let time = |time: Value| with(alice(), "occurred_at", time);
    let life = |life: Value| with(alice(), "expires_in", life);
    let payload = |payload: Value| with(alice(), "payload", payload);
    vec![
        (without(alice(), "action_type"), "action_type is missing"),
        (with(alice(), "action_type", ""), "action_type must be"),
        (without(alice(), "resource_type"), "resource_type is missing"),
        (with(alice(), "resource_type", "Po sts"), "resource_type must be"),
        (without(alice(), "entity_id"), "entity_id is missing"),
        (id(json!("")), "entity_id must not be empty"),
        (id(json!("x".repeat(1025))), "at most 1024 bytes long, and has 1025"),
        (id(json!("x".repeat(10_000))), "at most 1024 bytes long, and has 10000"),
        (id(json!("a\nb")), "entity_id must not hold control characters"),
        (id(json!("a\u{0}b")), "entity_id must not hold control characters"),
        (id(json!(1.5)), "entity_id must be a string, or an integer"),
        (id(json!(1e30)), "entity_id must be a string, or an integer"),
        (id(json!(true)), "entity_id must be a string or an integer"),
        (id(json!({})), "entity_id must be a string or an integer"),
        (time(json!(1_795_341_600)), "seconds?"),
        (time(json!("yesterday")), "occurred_at must be an RFC 3339 time"),
        (time(json!("2026-11-22")), "occurred_at must be an RFC 3339 time"),
        (time(json!("1969-12-31T23:59:59Z")), "occurred_at must not be before 1970"),
        (time(json!(-1)), "occurred_at must not be before 1970"),
        (life(json!(0)), "expires_in must be"),
        (life(json!(-1)), "expires_in must be"),
        (life(json!(31_622_401)), "expires_in must be"),
        (life(json!("300")), "expires_in must be"),
        (payload(json!({ "entity_id": 43 })), "entity_id and payload.entity_id differ"),
        (payload(json!({ "access_token": token("bob") })), "access_token and payload.access_token differ"),
        (payload(json!({ "user_id": "bob" })), "user_id and payload.user_id differ"),
        (payload(json!({ "entity_id": "" })), "payload.entity_id must not be empty"),
        (payload(json!([1])), "payload must be an object"),
        (without(alice(), "access_token"), "access_token is missing"),
        (with(alice(), "access_token", ""), "access_token must not be empty"),
        (with(alice(), "access_token", token(&"x".repeat(8189))), "access_token must be at most 8192 bytes"),
        (with(alice(), "access_token", token("a\r\nb")), "access_token must not hold control characters"),
        (with(alice(), "access_token", json!([token("a")])), "access_token must be a string"),
        (with(alice(), "generation", -1), "generation must be an integer"),
        (with(alice(), "acess_token", token("alice")), "acess_token is not a field of an event"),
        (with(alice(), &token("alice"), true), "the event has an unknown field"),
    ]
}

#[tokio::test]
async fn an_event_that_is_nested_too_deeply_is_refused_by_itself() {
    let app = TestApp::embedded().await;
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "in": inner }));
    let (deep, too_deep) = (with(read(42, "alice"), "payload", nested(63)), nested(65));
    let answer = app.done(&json!([too_deep, deep])).await;
    assert!(answer["rejected"][0]["detail"].as_str().unwrap().contains("nested too deeply"), "{answer}");
    assert_eq!(app.post_events(&too_deep).await.problem().0, "invalid-body");
    assert_eq!(app.count("42").await, 1);
}

#[tokio::test]
async fn a_field_that_stands_twice_is_refused() {
    let app = TestApp::embedded().await;
    let twice = r#"{"action_type":"Update","action_type":"Read","resource_type":"Posts","entity_id":42}"#;
    let answer =
        app.send(reqwest::Method::POST, "/v1/events", &[("content-type", "application/json")], twice).await;
    assert_eq!(answer.problem(), ("no-valid-event", "action_type stands twice in the event"));
}

#[tokio::test]
async fn numbers_at_their_limits_are_ids_and_lives_and_the_same_as_their_text() {
    let app = TestApp::embedded().await;
    let ids = [json!(-7), json!(i64::MIN), json!(1_u64 << 63), json!(u64::MAX), json!(0)];
    let events: Vec<_> =
        ids.iter().map(|id| with(read(id.clone(), "alice"), "expires_in", 31_622_400)).collect();
    app.done(&json!(events)).await;
    app.done(&with(read("-7", "bob"), "expires_in", 0.001)).await;
    for id in ids {
        let holders = app.holders("Posts", &id.to_string()).await.success(200);
        assert_eq!(holders["items"][0]["user_id"], "alice", "{id}");
    }
    let text = app.holders("Posts", "-7").await.text;
    assert!(text.contains("alice"), "an integer is its decimal text: {text}");
}

#[tokio::test]
async fn a_read_of_1970_is_taken_and_its_copy_evicted() {
    let cache = RedisServer::start();
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(Setup::embedded().cache("api", &cache, "")).await;
    copies.set(&copy_key("42", "alice"), "the post").await;
    app.done(&with(read(42, "alice"), "occurred_at", "1970-01-01T00:00:00Z")).await;
    assert!(copies.keys().await.is_empty());
    assert_eq!(app.count("42").await, 0);
    assert_eq!(app.metric(r#"decache_evictions_total{reason="older_than_horizon"}"#).await, 1.0);
}

#[tokio::test]
async fn what_happened_in_2099_counts_as_of_its_arrival() {
    let app = TestApp::embedded().await;
    let in_2099 = "2099-01-01T00:00:00Z";
    app.done(&with(update(42), "occurred_at", in_2099)).await;
    let invalidated = app.entity("Posts", "42").await.success(200)["last_invalidated"].clone();
    assert!(invalidated.as_str().unwrap() < "2099", "{invalidated}");
    app.done(&with(read(43, "alice"), "occurred_at", in_2099)).await;
    assert_eq!(app.count("43").await, 1);
    assert_eq!(app.metric("decache_future_events_total").await, 2.0);
}

/// Such a read may have waited for longer than any guard before it arrived.
#[tokio::test]
async fn a_read_from_a_clock_that_is_an_hour_ahead_is_not_trusted_where_there_was_a_write() {
    let app = TestApp::embedded().await;
    app.done(&with(update(42), "occurred_at", ago(60))).await;
    app.done(&with(read(42, "alice"), "occurred_at", now() + 3_600_000)).await;
    assert_eq!(app.count("42").await, 0);
    assert_eq!(app.metric("decache_evictions_total{reason=\"undated\"}").await, 1.0);
    app.done(&with(read(42, "bob"), "occurred_at", now() + 100)).await;
    assert_eq!(app.count("42").await, 1, "clocks may be a little apart");
}

/// Whatever it says of a read, the marks that would judge that read have ended.
#[tokio::test]
async fn a_read_from_a_clock_that_is_an_hour_behind_is_evicted_and_told_of() {
    let server = RedisServer::start();
    let app = TestApp::start(Setup::embedded().cache("api", &server, "")).await;
    let (cache, an_hour) = (RedisView::of(&server.url()), 3_600_000);
    cache.set(&copy_key("42", "alice"), "the post").await;
    app.done(&with(read(42, "alice"), "occurred_at", now() - an_hour)).await;
    assert_eq!((app.count("42").await, cache.keys().await.len()), (0, 0));
    assert_eq!(app.metric("decache_evictions_total{reason=\"older_than_horizon\"}").await, 1.0);
    // One that is behind by less may be of before a write, though it is not.
    app.done(&with(update(43), "occurred_at", now() - 60_000)).await;
    cache.set(&copy_key("43", "alice"), "the post").await;
    app.done(&with(read(43, "alice"), "occurred_at", now() - an_hour / 2)).await;
    assert_eq!((app.count("43").await, cache.keys().await.len()), (0, 0));
    assert_eq!(app.metric("decache_evictions_total{reason=\"stale\"}").await, 1.0);
}

#[tokio::test]
async fn a_resource_may_refuse_reads_that_do_not_say_when_they_began() {
    let strict = json!({ "Posts": { "require_read_time": true } });
    let app = TestApp::start(Setup::embedded().with("resources", strict)).await;
    let undated = without(read(42, "alice"), "occurred_at");
    let answer = app.post_events(&undated).await;
    assert!(answer.problem().1.starts_with("occurred_at is missing"), "{answer:?}");
    app.done(&json!([with(undated, "resource_type", "Comments"), read(42, "alice")])).await;
    assert_eq!(app.metric("decache_undated_reads_total").await, 1.0);
}
