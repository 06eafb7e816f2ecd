//! Jobs that follow finished ones (`job_manager.job_rules`, DESIGN 4).

use serde_json::{Value, json};

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, read, token, update, with},
};

/// Posts and Feeds, with these rules for what follows.
fn with_feeds(rules: &Value) -> Setup {
    let feeds = json!({ "Feeds": {
        "cache_keys": ["/feeds/{entity_id}?access_token={access_token}"], "ttl": 300, "guard": 0,
    } });
    let job_rules = json!([
        { "action_type": "Read", "resource_type": "Posts|Feeds", "topic": "pp-cache" },
        { "action_type": "Update|Delete", "resource_type": "Posts|Feeds", "topic": "pp-cache" },
    ]);
    Setup::embedded()
        .with("resources", feeds)
        .with("job_scheduler", json!({ "job_rules": job_rules }))
        .with("job_manager", json!({ "job_rules": rules }))
}

fn author_rule() -> Value {
    json!({
        "match": { "job_type": "invalidate", "resource_type": "Posts" },
        "job": { "job_type": "invalidate", "resource_type": "Feeds", "entity_id": "{payload.author_id}", "priority": 1 },
    })
}

fn feed(feed: &str, user: &str) -> (Value, String) {
    let event = with(read(feed, user), "resource_type", "Feeds");
    (event, format!("/feeds/{feed}?access_token={}", token(user)))
}

async fn feeds_held(app: &TestApp, feed: &str) -> u64 {
    app.entity("Feeds", feed).await.success(200)["holders"].as_u64().unwrap()
}

#[tokio::test]
async fn a_changed_post_empties_its_authors_feed_of_every_copy_and_no_other() {
    let cache = RedisServer::start();
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(with_feeds(&json!([author_rule()])).cache("api", &cache, "")).await;
    let (events, keys): (Vec<_>, Vec<_>) =
        [feed("7", "alice"), feed("7", "bob"), feed("8", "alice")].into_iter().unzip();
    for key in &keys {
        copies.set(key, "the feed").await;
    }
    app.done(&json!(events)).await;
    app.done(&with(update(42), "payload", json!({ "author_id": 7 }))).await;
    poll("feed 7 is empty", async || (feeds_held(&app, "7").await == 0).then_some(())).await;
    assert_eq!(copies.keys().await, [keys[2].clone()].into());
    assert_eq!(feeds_held(&app, "8").await, 1);
    let jobs = app.jobs("?state=done").await.success(200);
    let followed = jobs["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["resource_type"] == "Feeds" && job["job_type"] == "invalidate");
    assert_eq!(followed.unwrap()["priority"], 1);
}

#[tokio::test]
async fn a_follow_up_whose_field_is_missing_is_counted_as_skipped() {
    let app = TestApp::start(with_feeds(&json!([author_rule()]))).await;
    app.done(&json!([update(42), with(update(43), "payload", json!({ "author_id": { "id": 7 } }))])).await;
    assert_eq!(app.metric(r#"decache_follow_ups_skipped_total{reason="missing_field"}"#).await, 1.0);
    assert_eq!(app.metric(r#"decache_follow_ups_skipped_total{reason="invalid_field"}"#).await, 1.0);
    app.counted_jobs(r#"state="done",type="invalidate""#, 2.0).await;
}

#[tokio::test]
async fn rules_that_go_in_a_circle_come_to_an_end_that_is_told() {
    let back = json!({
        "match": { "resource_type": "Feeds" },
        "job": { "job_type": "invalidate", "resource_type": "Posts", "entity_id": "42" },
    });
    let rules = with_feeds(&json!([author_rule(), back])).with("job_manager", json!({ "max_depth": 4 }));
    let app = TestApp::start(rules).await;
    app.done(&with(update(42), "payload", json!({ "author_id": 7 }))).await;
    let skipped = r#"decache_follow_ups_skipped_total{reason="depth"}"#;
    poll("the circle is cut", async || (app.metric(skipped).await == 1.0).then_some(())).await;
    app.said("do job_manager.job_rules go in a circle?").await;
    app.counted_jobs(r#"state="done",type="invalidate""#, 5.0).await;
    let queue = app.queue().await;
    assert_eq!((&queue["queued"], &queue["running"]), (&json!(0), &json!(0)));
}
