//! Invalidations that people ask for.

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, read, update, with},
};

fn posts(ids: &[u64]) -> Value {
    let entity = |id: &u64| json!({ "resource_type": "Posts", "entity_id": id });
    json!({ "entities": ids.iter().map(entity).collect::<Vec<_>>() })
}

#[tokio::test]
async fn a_dry_run_counts_and_touches_nothing() {
    let cache = RedisServer::start();
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(Setup::embedded().cache("api", &cache, "")).await;
    copies.set(&copy_key("42", "alice"), "the post").await;
    app.done(&json!([read(42, "alice"), read(42, "bob"), read(43, "alice")])).await;
    for headers in [&[][..], &[("prefer", "wait=5")]] {
        let request = with(posts(&[42, 43, 44]), "dry_run", true);
        let answer = app.post("/v1/invalidations", headers, &request).await.success(200);
        let matched: Vec<_> =
            answer["entities"].as_array().unwrap().iter().map(|it| &it["matched"]).collect();
        assert_eq!((&answer["dry_run"], &answer["matched"]), (&json!(true), &json!(3)));
        assert_eq!(matched, [2, 1, 0]);
    }
    assert_eq!((app.count("42").await, copies.keys().await.len()), (2, 1));
    assert!(app.entity("Posts", "42").await.success(200)["last_invalidated"].is_null());
}

#[tokio::test]
async fn who_waits_is_told_what_it_came_to_over_all_entities() {
    let cache = RedisServer::start();
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(Setup::embedded().cache("api", &cache, "")).await;
    for (post, user) in [("42", "alice"), ("42", "bob"), ("43", "alice")] {
        copies.set(&copy_key(post, user), "the post").await;
    }
    app.done(&json!([read(42, "alice"), read(42, "bob"), read(42, "carol"), read(43, "alice")])).await;
    let answer = app.invalidate_and_wait(&posts(&[42, 44, 42])).await;
    assert_eq!(answer.header("preference-applied"), "wait=60");
    let answer = answer.success(200);
    let jobs = answer["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["outcome"] == "done"), "{answer}");
    let entities: Vec<_> = jobs.iter().map(|job| &job["entity"]).collect();
    assert_eq!(entities, [0, 1, 2]);
    assert_eq!(jobs[2]["supersedes"], jobs[0]["id"], "the same entity twice is one piece of work");
    let tally = ["matched", "deleted", "absent", "failed"].map(|field| answer[field].as_u64().unwrap());
    assert_eq!(tally, [3, 2, 1, 0], "what was done once is counted once: {answer}");
    assert_eq!(copies.keys().await, [copy_key("43", "alice")].into());
}

#[tokio::test]
async fn who_does_not_wait_finds_the_tally_with_the_job() {
    let app = TestApp::embedded().await;
    app.done(&json!([read(42, "alice"), read(42, "bob")])).await;
    let answer = app.invalidate(&posts(&[42])).await.success(202);
    let id = answer["jobs"][0]["id"].as_str().unwrap();
    let job = app.job_once(id, "done", |job| job["state"] == "done").await;
    assert_eq!(job["tally"], json!({ "matched": 2, "deleted": 0, "absent": 0, "failed": 0 }));
    assert_eq!((&job["job_type"], &job["topic"]), (&json!("invalidate"), &json!("invalidations")));
}

#[tokio::test]
async fn what_was_read_before_it_is_stale_and_it_does_not_stop_events() {
    let app = TestApp::embedded().await;
    app.invalidate_and_wait(&posts(&[42])).await.success(200);
    app.done(&with(read(42, "alice"), "occurred_at", ago(1))).await;
    assert_eq!(app.count("42").await, 0);
    app.done(&update(42)).await;
}

#[tokio::test]
async fn a_request_with_something_wrong_in_it_is_refused_whole() {
    let app = TestApp::embedded().await;
    app.done(&read(42, "alice")).await;
    let entity = |resource_type: &str, id: Value| json!({ "resource_type": resource_type, "entity_id": id });
    let good = entity("Posts", json!(42));
    let answer = app
        .invalidate(&json!({ "entities": [good, entity("Posts", json!("")), entity("P/", json!(1))] }))
        .await;
    assert_eq!((answer.status, answer.problem().0), (422, "invalid-entity"));
    let rejected: Vec<_> =
        answer.body["rejected"].as_array().unwrap().iter().map(|it| &it["index"]).collect();
    assert_eq!(rejected, [1, 2]);
    for dry_run in [true, false] {
        let request = json!({ "entities": [good, entity("Users", json!(42))], "dry_run": dry_run });
        let answer = app.invalidate_and_wait(&request).await;
        assert_eq!((answer.status, answer.problem().0), (422, "invalid-entity"));
        let detail = "resource_type Users has no entry in resources";
        assert_eq!(answer.body["rejected"], json!([{ "index": 1, "detail": detail }]));
    }
    let many = vec![good.clone(); 1001];
    for (request, status, problem) in [
        (json!({ "entities": many }), 413, "batch-too-long"),
        (json!({ "entities": [] }), 400, "invalid-body"),
        (json!({}), 400, "invalid-body"),
        (json!([good]), 400, "invalid-body"),
        (json!({ "entities": [good], "dryrun": true }), 400, "invalid-body"),
        (
            json!({ "entities": [{ "resource_type": "Posts", "entity_id": 42, "access_token": "tok-alice" }] }),
            400,
            "invalid-body",
        ),
    ] {
        let answer = app.invalidate_and_wait(&request).await;
        assert_eq!((answer.status, answer.problem().0), (status, problem), "{answer:?}");
    }
    assert_eq!(app.count("42").await, 1);
}
