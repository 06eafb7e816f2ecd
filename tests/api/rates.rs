//! Rates of API keys.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp};

const LIMITED: &str = "abcdefghijklmnopqrstuvwxyz";
const FREE: &str = "zyxwvutsrqponmlkjihgfedcba";

#[tokio::test]
async fn a_key_that_has_used_up_its_rate_is_told_so_and_no_other_key_feels_it() {
    // So slow that none comes back while the test runs.
    let rate = json!({ "requests": 2, "per": "24h" });
    let key = |name: &str, hash: &str, rate: Value| json!({ "name": name, "hash": hash, "scopes": ["read"], "rate": rate });
    let keys = json!([key("limited", &hash(LIMITED), rate), key("free", &hash(FREE), Value::Null)]);
    let mut app = TestApp::start(Setup::embedded().with("auth", json!({ "keys": keys }))).await;
    app.use_key(Some(LIMITED));
    let first = app.get("/v1/queue").await;
    assert_eq!(first.header("ratelimit-policy"), r#""key";q=2;w=86400"#);
    assert_eq!(first.header("ratelimit"), r#""key";r=1;t=43200"#);
    first.success(200);
    app.get("/v1/queue").await.success(200);
    let refused = app.get("/v1/jobs").await;
    assert_eq!((refused.status, refused.problem().0), (429, "quota-exceeded"));
    assert!(refused.header("ratelimit").starts_with(r#""key";r=0;t="#), "{refused:?}");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=43200).contains(&seconds), "{seconds}");
    assert_eq!(app.get("/livez").await.status, 200, "what is open has no rate");
    app.use_key(Some(FREE));
    let free = app.get("/v1/queue").await;
    assert!(!free.headers.contains_key("ratelimit"), "{free:?}");
    free.success(200);
}

fn hash(key: &str) -> String {
    decache::config::auth::hash_key(key).unwrap()
}
