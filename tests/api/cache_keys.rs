//! Copies under keys that are not the resource's template, and keys that are none of the event's business.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, token, update, with},
};

const PAGE_2: &str = "/posts/42?page=2&access_token={access_token}";

#[tokio::test]
async fn a_variant_is_shown_unexpanded_and_goes_with_its_post() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    let page_2 = format!("/posts/42?page=2&access_token={}", token("alice"));
    let page_3 = page_2.replace("page=2", "page=3");
    for key in [&copy_key("42", "alice"), &page_2, &page_3] {
        copies.set(key, "the post").await;
    }
    app.done(&json!([read(42, "alice"), with(read(42, "alice"), "cache_key", PAGE_2)])).await;
    let holders = app.holders("Posts", "42").await.success(200);
    let keys: BTreeSet<_> =
        holders["items"].as_array().unwrap().iter().map(|item| item["cache_key"].as_str()).collect();
    assert_eq!(keys, BTreeSet::from([None, Some(PAGE_2)]));
    app.done(&update(42)).await;
    assert_eq!(copies.keys().await, BTreeSet::from([page_3]), "nobody told of the third page");
    assert_eq!(app.count("42").await, 0);
}

#[tokio::test]
async fn a_template_of_the_resource_is_no_variant() {
    let app = TestApp::embedded().await;
    let template = "/posts/42?access_token={access_token}";
    app.done(&json!([read(42, "alice"), with(read(42, "alice"), "cache_key", template)])).await;
    assert_eq!(app.count("42").await, 1);
}

/// The index and the copies share a server here: the worst case.
#[tokio::test]
async fn nobody_deletes_foreign_keys_through_an_event() {
    let shared = RedisServer::start();
    let redis = RedisView::of(&shared.url());
    let app = TestApp::start(Setup::redis(&shared).cache("api", &shared, "")).await;
    app.done(&read(43, "bob")).await;
    redis.set(&copy_key("43", "bob"), "the post").await;
    redis.set("session:tok-less", "somebody's").await;
    let before = redis.keys().await;
    for (key, expected) in [
        ("session:{access_token}", "must begin with a key template"),
        ("{access_token}", "must begin with a key template"),
        ("/posts/43?access_token={access_token}", "must begin with a key template"),
        ("/posts/421?access_token={access_token}", "must begin with a key template"),
        ("decache:{{Posts:43}}:h:0?{access_token}", "must begin with a key template"),
        ("/posts/42?page=2", "must hold {access_token}"),
        ("/posts/42?page=tok-alice&t={access_token}", "in place of the token itself"),
        ("/posts/42?f={&t={access_token}", "literal braces doubled"),
        ("/posts/42?page=\u{0}&t={access_token}", "must not hold control characters"),
        ("", "must not be empty"),
    ] {
        // A read that is too old is evicted: were the key taken, its copy would be deleted.
        let old = with(read(42, "alice"), "occurred_at", "1970-01-01T00:00:00Z");
        let answer = app.post_events_and_wait(&with(old, "cache_key", key)).await;
        assert_eq!((answer.status, answer.problem().0), (422, "no-valid-event"), "{key}");
        let detail = answer.problem().1;
        assert!(detail.contains("cache_key") && detail.contains(expected), "{key}: {detail}");
    }
    assert_eq!(redis.keys().await, before);
    redis.tell(&["DEL", "session:tok-less", &copy_key("43", "bob")]).await;
}

#[tokio::test]
async fn no_entity_id_reaches_the_stores_own_keys() {
    let shared = RedisServer::start();
    let resource = json!({ "Posts": { "cache_keys": ["{entity_id}/{access_token}"] } });
    let app =
        TestApp::start(Setup::redis(&shared).cache("api", &shared, "").with("resources", resource)).await;
    let answer = app.post_events(&read("decache:secret", "alice")).await;
    assert_eq!(answer.problem().0, "no-valid-event");
    assert!(answer.problem().1.contains("`decache:`, the prefix of decache's own keys"), "{answer:?}");
    app.done(&read("decach", "alice")).await;
}

#[tokio::test]
async fn copies_under_a_template_that_was_removed_go_with_the_others() {
    let server = RedisServer::start();
    let mut app = TestApp::start(Setup::embedded().cache("api", &server, "")).await;
    let cache = RedisView::of(&server.url());
    cache.set(&copy_key("42", "alice"), "old").await;
    app.done(&read(42, "alice")).await;
    let renamed = json!({ "Posts": { "cache_keys": ["/v2/posts/{entity_id}?access_token={access_token}"] } });
    app.setup.change("resources", renamed);
    app.restart().await;
    cache.set("/v2/posts/42?access_token=tok-alice", "old").await;
    app.done(&update(42)).await;
    let left: Vec<String> = cache.keys().await.into_iter().filter(|key| key.contains("/posts/")).collect();
    assert_eq!(left, [""; 0]);
}
