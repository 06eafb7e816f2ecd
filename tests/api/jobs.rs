//! Jobs and the queue, looked at from outside.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, read, update, with};

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

/// Reads are done at once; writes wait for an hour.
async fn with_late_writes() -> TestApp {
    TestApp::start(Setup::embedded().job(1, json!({ "due": 3600 }))).await
}

#[tokio::test]
async fn a_job_is_listed_by_its_state() {
    let app = with_late_writes().await;
    let done = app.done(&read(42, "alice")).await;
    let first = app.post_events(&update(42)).await.success(202);
    let second = app.post_events(&update(42)).await.success(202);
    for (state, answer) in [("done", &done), ("superseded", &first), ("queued", &second)] {
        let listed = app.jobs(&format!("?state={state}")).await.success(200);
        assert_eq!(ids(&listed), [answer["jobs"][0]["id"].as_str().unwrap()], "{state}");
        let job = app.job(&ids(&listed)[0]).await.success(200);
        assert_eq!((&job, &job["state"]), (&listed["items"][0], &json!(state)));
        assert_eq!(job["finished_at"].is_null(), state == "queued");
    }
    for state in ["running", "expired", "dead"] {
        assert_eq!(ids(&app.jobs(&format!("?state={state}")).await.success(200)), [""; 0], "{state}");
    }
    assert_eq!(ids(&app.jobs("").await.success(200)).len(), 3);
}

#[tokio::test]
async fn jobs_are_paged_oldest_first_and_each_is_shown_once() {
    let app = with_late_writes().await;
    let mut posted = Vec::new();
    for batch in 0..5 {
        let events = json!([
            read(batch, "alice"),
            update(batch),
            read(batch, "bob"),
            read(batch, "carol"),
            read(7, "dave")
        ]);
        posted.extend(ids(&json!({ "items": app.post_events(&events).await.success(202)["jobs"] })));
    }
    let (mut shown, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.jobs(&format!("?limit=10{cursor}")).await.success(200);
        shown.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(shown, posted);
}

#[tokio::test]
async fn finished_jobs_are_kept_for_a_bounded_while() {
    let app = TestApp::start(Setup::embedded().with("queue", json!({ "finished": 2 }))).await;
    let mut posted = Vec::new();
    for n in 0..4 {
        posted.extend(ids(&json!({ "items": app.done(&read(n, "alice")).await["jobs"] })));
    }
    assert_eq!(ids(&app.jobs("").await.success(200)), posted[2..]);
    let forgotten = app.job(&posted[0]).await;
    assert_eq!((forgotten.status, forgotten.problem().0), (404, "unknown-job"));
}

#[tokio::test]
async fn a_job_that_never_was_is_a_problem() {
    let app = TestApp::embedded().await;
    for id in ["019ab0b8-c9c0-7d0e-a9f5-2b8a8f0d7a11", "42", "%00"] {
        let answer = app.job(id).await;
        assert_eq!((answer.status, answer.problem().0), (404, "unknown-job"), "{id}");
    }
}

#[tokio::test]
async fn the_queue_shows_what_waits_by_priority_and_topic() {
    let rules = json!({ "job_rules": [
        { "action_type": "Read", "resource_type": "Posts", "topic": "pp-cache" },
        { "action_type": "Update", "resource_type": "Posts", "topic": "pp-cache" },
        { "action_type": "Update", "resource_type": "Posts", "topic": "pp-late" },
    ], "enricher": { "topics": { "pp-late": [
        { "job_properties": { "job_type": "invalidate", "priority": 9, "due": 3600 } },
    ] } } });
    let app =
        TestApp::start(Setup::embedded().with("job_scheduler", rules).job(0, json!({ "due": 3600 }))).await;
    let answer = app.post_events(&json!([read(42, "alice"), read(42, "bob"), update(42)])).await.success(202);
    assert_eq!(answer["jobs"].as_array().unwrap().len(), 4, "a job for each topic");
    app.job_once(answer["jobs"][2]["id"].as_str().unwrap(), "done", |job| job["state"] == "done").await;
    let queue = app.queue().await;
    assert_eq!((&queue["queued"], &queue["running"], &queue["dead"]), (&json!(3), &json!(0), &json!(0)));
    assert_eq!(queue["by_priority"], json!({ "1": 2, "9": 1 }));
    assert_eq!(queue["by_topic"], json!({ "pp-cache": 2, "pp-late": 1 }));
    assert!(queue["bytes"].as_u64().unwrap() > 0);
    assert_eq!(queue["oldest_age_ms"], 0, "none of them is ready");
    assert_eq!(app.metric(r#"decache_queue_depth{priority="1"}"#).await, 2.0);
    assert_eq!(app.metric(r#"decache_queue_jobs{state="queued"}"#).await, 3.0);
}

#[tokio::test]
async fn a_full_queue_takes_nothing_of_a_request_and_says_when_to_come_back() {
    let setup = Setup::embedded().with("queue", json!({ "capacity": 3 })).job(1, json!({ "due": 3600 }));
    let app = TestApp::start(setup).await;
    app.post_events(&json!([update(1), update(2)])).await.success(202);
    let full = app.post_events(&json!([update(3), read(3, "alice"), update(4)])).await;
    assert_eq!((full.status, full.problem().0, full.header("retry-after")), (503, "queue-full", "1"));
    assert_eq!((app.queue().await["queued"].clone(), app.count("3").await), (json!(2), 0));
    assert_eq!(app.metric(r#"decache_events_total{outcome="accepted"}"#).await, 2.0);
    app.post_events(&json!([update(1), update(2), update(3)])).await.success(202);
    let by_hand =
        app.invalidate(&json!({ "entities": [{ "resource_type": "Posts", "entity_id": 9 }] })).await;
    assert_eq!((by_hand.status, by_hand.problem().0), (503, "queue-full"));
    assert_eq!(
        app.post_events(&with(update(4), "action_type", "Like")).await.status,
        202,
        "it needs no room"
    );
    assert_eq!(app.readiness().await["status"], "ok");
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_too() {
    let setup =
        Setup::embedded().with("queue", json!({ "max_bytes": "8KiB" })).job(1, json!({ "due": 3600 }));
    let app = TestApp::start(setup).await;
    let many: Value = (0..100).map(update).collect();
    assert_eq!(app.post_events(&many).await.problem().0, "queue-full");
    assert_eq!(app.queue().await["queued"], 0);
    app.post_events(&update(1)).await.success(202);
}

#[tokio::test]
async fn a_resource_type_that_jobs_wait_for_and_that_is_not_configured_is_named() {
    let mut app = TestApp::start(Setup::embedded().job(1, json!({ "due": 2 }))).await;
    let late = with(update(42), "resource_type", "Comments");
    app.post_events(&late).await.success(202);
    let posts = json!({ "cache_keys": ["/posts/{entity_id}?access_token={access_token}"], "ttl": 300 });
    app.setup.change("resources", Value::Null);
    app.setup.change("resources", json!({ "Posts": posts }));
    let rules = json!([{ "action_type": "Read|Update", "resource_type": "Posts", "topic": "pp-cache" }]);
    app.setup.change("job_scheduler", json!({ "job_rules": rules }));
    app.restart().await;
    let reasons = app.in_trouble(&["invalidations", "resources"]).await;
    assert!(reasons.to_string().contains("Comments (1 job)"), "{reasons}");
    app.said("Comments (1 job)").await;
}
