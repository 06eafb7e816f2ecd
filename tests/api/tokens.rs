//! Access tokens of every shape name exactly their own copy.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, read, token, update, with},
};

fn tokens() -> Vec<String> {
    // A JWT of 4 KiB: three parts of base64url.
    let jwt =
        token(&format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "eyJzdWIi".repeat(460), "c2lnbmF0dXJl".repeat(32)));
    let shapes = [
        "&a=b",
        "=",
        "#frag",
        "\"quoted\"",
        "'q'",
        " with space ",
        "%26",
        "+",
        "{access_token}",
        "{}",
        "*",
        "?",
        "🦀",
        "\\",
    ];
    let mut tokens: Vec<_> = shapes.into_iter().map(token).collect();
    tokens.extend(["t".to_owned(), "*".to_owned(), jwt, token(&"x".repeat(8188))]);
    tokens
}

fn key(token: &str) -> String {
    format!("/posts/42?access_token={token}")
}

/// What stands beside a token's copy, and is somebody else's.
fn neighbours(token: &str) -> [String; 4] {
    [
        format!("{}x", key(token)),
        format!("{}&page=2", key(token)),
        format!("/posts/421?access_token={token}"),
        format!("/posts/42?access_token=other-{token}"),
    ]
}

#[tokio::test]
async fn a_tokens_exact_copy_goes_and_none_of_its_neighbours() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let copies = RedisView::of(&cache.url());
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    let tokens = tokens();
    assert!(tokens.iter().any(|token| token.len() > 4096) && tokens.iter().any(|token| token.len() == 1));
    let mut others = BTreeSet::new();
    for token in &tokens {
        copies.set(&key(token), "the post").await;
        for neighbour in neighbours(token) {
            copies.set(&neighbour, "somebody else's").await;
            others.insert(neighbour);
        }
    }
    let reads: Vec<_> =
        tokens.iter().map(|token| with(read(42, "alice"), "access_token", token.as_str())).collect();
    app.done(&json!(reads)).await;
    assert_eq!(app.count("42").await, tokens.len() as u64, "each token is a holder of its own");
    app.done(&update(42)).await;
    assert_eq!(app.count("42").await, 0);
    assert_eq!(copies.keys().await, others);
}

#[tokio::test]
async fn a_token_looks_up_the_holder_that_it_is_listed_as() {
    let app = TestApp::embedded().await;
    for (n, token) in tokens().into_iter().enumerate() {
        app.done(&with(read(n, "alice"), "access_token", token.as_str())).await;
        let listed = app.holders("Posts", &n.to_string()).await.success(200);
        assert_eq!(listed["items"][0]["holder"], app.look_up(&token).await.success(200)["holder"]);
    }
}

#[tokio::test]
async fn no_token_can_be_looked_up_that_could_not_be_posted() {
    let app = TestApp::embedded().await;
    for token in [String::new(), token(&"x".repeat(8189))] {
        let answer = app.look_up(&token).await;
        assert_eq!((answer.status, answer.problem().0), (400, "invalid-body"));
    }
}

#[tokio::test]
async fn the_vault_is_where_the_token_is_and_it_is_sealed() {
    let index = RedisServer::start();
    let app = TestApp::start(Setup::redis(&index)).await;
    app.done(&read(42, "alice")).await;
    let holder = app.look_up(&token("alice")).await.success(200)["holder"].as_str().unwrap().to_owned();
    let keys = RedisView::of(&index.url()).keys().await;
    assert!(keys.contains(&format!("decache:{{holder:{holder}}}:token")), "{keys:?}");
    assert!(keys.iter().any(|key| key.starts_with("decache:{Posts:42}:h:")), "{keys:?}");
    // That it holds no token, like everything else in the index, is looked at when the test ends.
}
