//! That the search for tokens, which every test of this suite ends with, finds them wherever one might be spilt.

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    support::{Setup, TestApp, read, update, with},
};

fn without_log(setup: Setup) -> Setup {
    setup.with("log", json!({ "filter": "off" }))
}

#[tokio::test]
#[should_panic(expected = "a token in an answer")]
async fn a_token_in_an_answer_would_be_seen() {
    let app = TestApp::embedded().await;
    app.done(&with(read(42, "alice"), "user_id", "tok-alice")).await;
    app.holders("Posts", "42").await;
}

#[tokio::test]
#[should_panic(expected = "a token in the output")]
async fn a_token_in_the_log_would_be_seen() {
    TestApp::embedded().await.done(&update("tok-alice")).await;
}

#[tokio::test]
#[should_panic(expected = "a token in the index")]
async fn a_token_in_redis_would_be_seen() {
    let index = RedisServer::start();
    TestApp::start(without_log(Setup::redis(&index))).await.done(&update("tok-alice")).await;
}

#[tokio::test]
#[should_panic(expected = "a token in a file")]
async fn a_token_in_the_embedded_store_would_be_seen() {
    TestApp::start(without_log(Setup::embedded())).await.done(&update("tok-alice")).await;
}
