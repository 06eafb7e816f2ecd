//! Logout: every copy of one holder goes (DESIGN 7, rule 10).

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, now, read, run, token, update, with, without},
};

const VARIANT: &str = "/posts/1?access_token={access_token}&page=2";

fn variant_key(user: &str) -> String {
    VARIANT.replace("{access_token}", &token(user))
}

/// The ids of what a user holds, from all pages, each once.
async fn held_by(app: &TestApp, user: &str, limit: usize) -> BTreeSet<String> {
    let (mut held, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = app.held_by(user, &format!("?limit={limit}{cursor}")).await.success(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "a page of {}", items.len());
        for item in items {
            let shown = format!(
                "{}{}",
                item["entity_id"].as_str().unwrap(),
                item["cache_key"].as_str().unwrap_or("")
            );
            assert!(held.insert(shown), "twice: {item}");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return held,
        }
    }
}

/// Alice and bob each have copies of three posts and a variant.
async fn two_users(setup: Setup, cache: &RedisServer) -> TestApp {
    let app = TestApp::start(setup.cache("api", cache, "")).await;
    let copies = RedisView::of(&cache.url());
    for user in ["alice", "bob"] {
        copies.set(&variant_key(user), "page 2").await;
        app.done(&with(read(1, user), "cache_key", VARIANT)).await;
        for post in 1..=3 {
            copies.set(&copy_key(&post.to_string(), user), "the post").await;
            app.done(&read(post, user)).await;
        }
    }
    app
}

fn copies_of(user: &str) -> BTreeSet<String> {
    let posts = (1..=3).map(|post| copy_key(&post.to_string(), user));
    posts.chain([variant_key(user)]).collect()
}

async fn a_revoked_holder_loses_every_copy_and_nobody_else_any(setup: Setup) {
    let cache = RedisServer::start();
    let (app, copies) = (two_users(setup, &cache).await, RedisView::of(&cache.url()));
    let held = held_by(&app, "alice", 3).await;
    assert_eq!(held, ["1", "2", "3", &format!("1{VARIANT}")].map(str::to_owned).into());

    let answer = app.revoke_and_wait("alice").await;
    let tally = ["matched", "deleted", "absent", "failed"].map(|field| answer[field].as_u64().unwrap());
    assert_eq!(tally, [4, 4, 0, 0], "{answer}");
    let job = &answer["jobs"][0];
    assert_eq!((&job["outcome"], &job["holder"]), (&json!("done"), &json!(app.holder_of("alice").await)));
    assert_eq!(copies.keys().await, copies_of("bob"));
    assert_eq!(held_by(&app, "alice", 10).await, BTreeSet::new());
    assert_eq!(held_by(&app, "bob", 10).await, held);
    for post in ["2", "3"] {
        let holders = app.holders("Posts", post).await.success(200);
        assert_eq!(holders["items"].as_array().unwrap().len(), 1);
        assert_eq!(holders["items"][0]["user_id"], "bob");
    }
    assert!(
        app.entity("Posts", "1").await.success(200)["last_invalidated"].is_null(),
        "the posts are as they were"
    );

    let again = app.revoke_and_wait("alice").await;
    assert_eq!((&again["matched"], &again["deleted"]), (&json!(0), &json!(0)));
    let stranger = app.revoke_and_wait("nobody").await;
    assert_eq!(stranger["matched"], 0);
    assert_eq!(copies.keys().await, copies_of("bob"));
}

#[tokio::test]
async fn a_revoked_holder_loses_every_copy_and_nobody_else_any_with_the_embedded_store() {
    a_revoked_holder_loses_every_copy_and_nobody_else_any(Setup::embedded()).await;
}

#[tokio::test]
async fn a_revoked_holder_loses_every_copy_and_nobody_else_any_with_redis() {
    let index = RedisServer::start();
    a_revoked_holder_loses_every_copy_and_nobody_else_any(Setup::redis(&index)).await;
}

async fn reads_from_before_a_revocation_are_evicted_whenever_they_are_told_of(setup: Setup) {
    let cache = RedisServer::start();
    let (app, copies) = (TestApp::start(setup.cache("api", &cache, "")).await, RedisView::of(&cache.url()));
    let generation = app.entity("Posts", "3").await.success(200)["generation"].clone();
    app.revoke_and_wait("alice").await;
    let revoked = now();
    poll("it is later", async || (now() > revoked).then_some(())).await;
    let asked = app.entity("Posts", "5").await.success(200)["generation"].clone();
    let under = |post: u64, generation: Value| {
        with(without(read(post, "alice"), "occurred_at"), "generation", generation)
    };
    let reads = [
        with(read(1, "alice"), "occurred_at", ago(10)),
        without(read(2, "alice"), "occurred_at"),
        under(3, generation),
        read(4, "alice"),
        under(5, asked),
        with(read(1, "bob"), "occurred_at", ago(10)),
    ];
    for event in &reads {
        let (post, user) = (event["entity_id"].to_string(), event["user_id"].as_str().unwrap());
        copies.set(&copy_key(&post, user), "the post").await;
    }
    app.done(&reads.into_iter().collect()).await;
    let kept = [copy_key("4", "alice"), copy_key("5", "alice"), copy_key("1", "bob")];
    assert_eq!(copies.keys().await, kept.into(), "no generation helps against it, and it is alice's alone");
    assert_eq!(held_by(&app, "alice", 10).await, ["4", "5"].map(str::to_owned).into());
    let evicted = app.metric("decache_evictions_total{reason=\"revoked\"}").await;
    assert!((evicted - 3.0).abs() < 0.5, "{evicted}");
}

#[tokio::test]
async fn reads_from_before_a_revocation_are_evicted_with_the_embedded_store() {
    reads_from_before_a_revocation_are_evicted_whenever_they_are_told_of(Setup::embedded()).await;
}

#[tokio::test]
async fn reads_from_before_a_revocation_are_evicted_with_redis() {
    let index = RedisServer::start();
    reads_from_before_a_revocation_are_evicted_whenever_they_are_told_of(Setup::redis(&index)).await;
}

#[tokio::test]
async fn pages_pass_over_what_was_invalidated() {
    let index = RedisServer::start();
    for setup in [Setup::embedded(), Setup::redis(&index)] {
        let app = TestApp::start(setup).await;
        app.done(&(0..300).map(|post| read(post, "alice")).collect()).await;
        app.done(&(0..300).filter(|post| post % 3 != 0).map(update).collect()).await;
        let left: BTreeSet<_> = (0..300).step_by(3).map(|post| post.to_string()).collect();
        for limit in [1, 7, 100, 1000] {
            assert_eq!(held_by(&app, "alice", limit).await, left, "limit {limit}");
        }
    }
}

#[tokio::test]
async fn a_revocation_waits_for_a_cache_that_is_away_and_outlives_a_crash() {
    let (mut cache, index) = (RedisServer::start(), RedisServer::start());
    let mut app = two_users(Setup::redis(&index), &cache).await;
    cache.stop();
    let url = format!("/v1/holders/{}", app.holder_of("alice").await);
    let queued = app.send(Method::DELETE, &url, &[], "").await.success(202);
    let id = queued["jobs"][0]["id"].as_str().unwrap().to_owned();
    let failing = app.job_once(&id, "tried often", |job| job["attempts"].as_u64() > Some(9)).await;
    assert_eq!((&failing["job_type"], &failing["resource_type"]), (&json!("revoke"), &json!("holder")));
    assert!(failing["last_error"].as_str().unwrap().starts_with("cache api: cache unavailable"), "{failing}");
    assert_eq!(held_by(&app, "alice", 10).await.len(), 4, "what is not gone is not forgotten");
    app.process.kill();
    app.ended().await;
    app.start_again().await;
    // It comes back empty; what counts is that the work is done then, and what was to be forgotten is.
    cache.restart();
    RedisView::of(&cache.url()).set(&copy_key("2", "alice"), "the post").await;
    poll("nothing is held", async || held_by(&app, "alice", 10).await.is_empty().then_some(())).await;
    assert_eq!(RedisView::of(&cache.url()).keys().await, BTreeSet::new());
    app.job_once(&id, "done", |job| job["state"] == "done").await;
    assert_eq!(held_by(&app, "bob", 10).await.len(), 4);
}

#[tokio::test]
async fn a_holder_of_very_many_entities_is_revoked_in_turns() {
    const MANY: u64 = 9_000;
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    for from in (0..MANY).step_by(1_000) {
        app.done(&(from..from + 1_000).map(|post| read(post, "alice")).collect()).await;
    }
    app.done(&read(0, "bob")).await;
    RedisView::of(&cache.url()).set(&copy_key("8999", "alice"), "the post").await;
    let answer = app.revoke_and_wait("alice").await;
    assert_eq!((&answer["matched"], &answer["deleted"]), (&json!(MANY), &json!(1)), "{answer}");
    assert_eq!(held_by(&app, "alice", 1000).await, BTreeSet::new());
    assert_eq!((app.count("0").await, app.count("8999").await), (1, 0));
    assert!(RedisView::of(&cache.url()).keys().await.is_empty());
}

#[tokio::test]
async fn a_revocation_without_the_holders_token_waits_until_it_is_known_again() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let app = two_users(Setup::redis(&index), &cache).await;
    let holder = app.holder_of("alice").await;
    RedisView::of(&index.url()).tell(&["DEL", &format!("decache:{{holder:{holder}}}:token")]).await;
    let queued = app.send(Method::DELETE, &format!("/v1/holders/{holder}"), &[], "").await.success(202);
    let id = queued["jobs"][0]["id"].as_str().unwrap();
    let failing = app.job_once(id, "tried", |job| job["attempts"].as_u64() > Some(0)).await;
    assert_eq!(failing["last_error"], "the holder has no readable vault entry");
    assert_eq!(held_by(&app, "alice", 10).await.len(), 4, "their copies live, and so they are tracked");
    app.done(&read(4, "alice")).await;
    app.job_once(id, "done", |job| job["state"] == "done").await;
    assert_eq!(RedisView::of(&cache.url()).keys().await, copies_of("bob"));
}

/// A logout is of a type that has no copies, and needs no entry in `resources`.
fn with_logout() -> Setup {
    let topic = json!([
        { "match": { "action_type": "Read" }, "job_properties": { "job_type": "cache", "priority": 1 } },
        { "match": { "action_type": "Logout" }, "job_properties": { "job_type": "revoke", "superceedable": true } },
    ]);
    let rules = json!([
        { "action_type": "Read", "resource_type": "Posts", "topic": "pp-cache" },
        { "action_type": "Logout", "resource_type": "Sessions", "topic": "pp-cache" },
    ]);
    Setup::embedded()
        .with("job_scheduler", json!({ "job_rules": rules, "enricher": { "topics": { "pp-cache": topic } } }))
}

fn logout(user: &str) -> Value {
    json!({ "action_type": "Logout", "resource_type": "Sessions", "entity_id": 1, "payload": { "access_token": token(user) } })
}

#[tokio::test]
async fn a_logout_event_revokes_its_tokens_holder() {
    let (code, output, _) = run(with_logout().command(&["check"]), "");
    assert_eq!((code, output.contains("Sessions")), (Some(0), false), "{output}");
    let cache = RedisServer::start();
    let app = two_users(with_logout(), &cache).await;
    app.done(&read(1, "carol")).await;
    let answer = app.done(&json!([logout("alice"), logout("carol")])).await;
    assert!(answer["jobs"].as_array().unwrap().iter().all(|job| job["supersedes"].is_null()), "{answer}");
    assert_eq!(RedisView::of(&cache.url()).keys().await, copies_of("bob"));
    assert_eq!(app.count("1").await, 2, "bob's post and its second page");
    let refused = app.post_events(&without(logout("bob"), "payload")).await;
    assert_eq!(refused.status, 422);
    let detail = refused.body["rejected"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("access_token is missing: a rule makes a revoke job"), "{detail}");
    assert_eq!(held_by(&app, "bob", 10).await.len(), 4);
}

#[tokio::test]
async fn without_an_index_by_holder_nobody_is_revoked_and_the_rest_works() {
    let off = |setup: Setup| setup.with("store", json!({ "by_holder": false }));
    let (code, _, error) = run(off(with_logout()).command(&["check"]), "");
    assert_eq!(code, Some(1));
    assert!(
        error.contains("pp-cache[1].job_properties.job_type: a revoke job needs store.by_holder"),
        "{error}"
    );

    let cache = RedisServer::start();
    let app = two_users(off(Setup::embedded()), &cache).await;
    let url = format!("/v1/holders/{}", app.holder_of("alice").await);
    for answer in [app.send(Method::DELETE, &url, &[], "").await, app.held_by("alice", "").await] {
        assert_eq!((answer.status, answer.problem().0), (501, "not-by-holder"));
    }
    app.done(&update(2)).await;
    assert_eq!(app.count("2").await, 0);
    assert_eq!(app.count("1").await, 4);
}
