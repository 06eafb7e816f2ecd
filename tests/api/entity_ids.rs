//! Entity ids that are hostile to URLs, to Redis keys or to people all work, and never stand for one another.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, encoded, read, update, with},
};

/// All of them live at the same time, so that each has every other to be mixed up with.
fn ids() -> Vec<String> {
    let ids = [
        "42",
        "-1",
        "9223372036854775808",
        "a b",
        " ",
        "a/b",
        "a%2Fb",
        "a%252Fb",
        "a%2fb",
        "/",
        "//",
        "..",
        ".",
        "../42",
        "{}",
        "{42}",
        "}{",
        "{entity_id}",
        "{access_token}",
        "*",
        "?",
        "[42]",
        "4*",
        "%",
        "%00",
        "a\\b",
        "\"",
        "'",
        "+",
        "a+b",
        "a&b=c#d",
        ":",
        "42:h:0",
        "}:stale",
        "🦀",
        "👩‍👩‍👧‍👦",
        "\u{202e}abc",
        "abc\u{200f}",
        "\u{feff}",
        "é",
        "e\u{301}",
        "null",
        "NaN",
        "holder",
        "\u{2028}",
    ];
    ids.into_iter().map(str::to_owned).chain(["x".repeat(1024), "ü".repeat(512)]).collect()
}

/// Every id's copy is recorded, shown in both forms, removed when it changes, and no other's with it.
async fn every_id_works(setup: Setup) {
    let cache = RedisServer::start();
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(setup.cache("api", &cache, "")).await;
    let ids = ids();
    let user = |n: usize| format!("user-{n}");
    let mut left = BTreeSet::new();
    for (n, id) in ids.iter().enumerate() {
        copies.set(&copy_key(id, &user(n)), "the post").await;
        left.insert(copy_key(id, &user(n)));
    }
    assert_eq!(left.len(), ids.len());
    let reads: Vec<_> = ids.iter().enumerate().map(|(n, id)| read(id.as_str(), &user(n))).collect();
    app.done(&json!(reads)).await;
    for (n, id) in ids.iter().enumerate() {
        let by_query = app.holders_by_query("Posts", id, "").await.success(200);
        let users: Vec<_> = by_query["items"].as_array().unwrap().iter().map(|it| &it["user_id"]).collect();
        assert_eq!(users, [&json!(user(n))], "{id:?}");
        if id != "." && id != ".." {
            // The client takes these two out of a path, encoded or not: that is what the query form is for.
            assert_eq!(app.holders("Posts", id).await.success(200), by_query, "{id:?}");
            assert_eq!(app.entity("Posts", id).await.success(200)["entity_id"], **id);
        }
    }
    for id in &ids {
        app.done(&update(id.as_str())).await;
        assert_eq!(app.count(id).await, 0, "{id:?}");
        left.retain(|key| !key.starts_with(&format!("/posts/{id}?access_token=tok-")));
        assert_eq!(copies.keys().await, left, "after {id:?}");
    }
    assert!(left.is_empty());
}

#[tokio::test]
async fn every_id_works_with_the_embedded_store() {
    every_id_works(Setup::embedded()).await;
}

#[tokio::test]
async fn every_id_works_with_redis() {
    let index = RedisServer::start();
    every_id_works(Setup::redis(&index)).await;
}

#[tokio::test]
async fn dots_in_a_path_are_an_id_for_who_sends_them() {
    let app = TestApp::embedded().await;
    app.done(&json!([read(".", "alice"), read("..", "bob")])).await;
    for (in_path, user) in [(".", "alice"), ("..", "bob"), ("%2e", "alice"), ("%2E%2e", "bob")] {
        let request = format!(
            "GET /v1/entities/Posts/{in_path}/holders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let answer = app.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(user), "{in_path}: {answer}");
    }
}

#[tokio::test]
async fn the_same_id_of_another_type_is_another_entity() {
    let index = RedisServer::start();
    let app = TestApp::start(Setup::redis(&index)).await;
    app.done(&json!([read(42, "alice"), with(read(42, "bob"), "resource_type", "Comments")])).await;
    app.done(&update(42)).await;
    assert_eq!(app.count("42").await, 0);
    let comments = app.holders("Comments", "42").await.success(200);
    assert_eq!(comments["items"][0]["user_id"], "bob");
}

#[tokio::test]
async fn an_id_that_can_be_none_is_refused_in_every_form() {
    let app = TestApp::embedded().await;
    for id in ["a\nb", "\0", "\u{7f}", "\u{85}", &"x".repeat(1025), &"ü".repeat(513)] {
        for answer in [
            app.entity("Posts", id).await,
            app.entity_by_query("Posts", id).await,
            app.holders("Posts", id).await,
            app.holders_by_query("Posts", id, "").await,
        ] {
            assert_eq!((answer.status, answer.problem().0), (400, "invalid-parameter"), "{}", encoded(id));
        }
        let answer =
            app.invalidate(&json!({ "entities": [{ "resource_type": "Posts", "entity_id": id }] })).await;
        assert_eq!((answer.status, answer.problem().0), (422, "invalid-entity"));
    }
}
