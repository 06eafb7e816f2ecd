//! API keys, from `decache hash-key` to every route.

use decache::http::{Access, routes};
use reqwest::Method;
use serde_json::json;

use crate::support::{Setup, TestApp, read, run};

/// A key for each scope.
const KEYS: [(&str, &str); 3] = [
    ("ingest", "Zm9yIGluZ2VzdCBvbmx5-0001"),
    ("read", "Zm9yIHJlYWRpbmcgb25seQ-02"),
    ("admin", "Zm9yIGFkbWluIG9ubHk-00003"),
];
const NOBODYS: &str = "bm9ib2R5J3Mga2V5IGF0IGFsbA";

/// With the hashes that the command prints.
fn with_keys() -> Setup {
    let setup = Setup::embedded();
    let keys = KEYS.map(|(scope, key)| {
        let (code, hash, _) = run(setup.command(&["hash-key"]), &format!("{key}\n"));
        assert_eq!(code, Some(0));
        json!({ "name": format!("{scope}-client"), "hash": hash.trim(), "scopes": [scope] })
    });
    setup.with("auth", json!({ "keys": keys }))
}

#[tokio::test]
async fn without_keys_a_page_of_another_site_is_refused_and_told_what_helps() {
    let app = TestApp::embedded().await;
    let event = json!({ "action_type": "Update", "resource_type": "Posts", "entity_id": 42 }).to_string();
    let json = ("content-type", "application/json");
    for (header, helps) in [
        (("origin", "http://evil.example"), "configure auth.keys"),
        (("sec-fetch-site", "cross-site"), "configure auth.keys"),
        (("host", "evil.example"), "localhost"),
    ] {
        let answer = app.send(Method::POST, "/v1/events", &[json, header], event.clone()).await;
        let (kind, detail) = answer.problem();
        assert_eq!((answer.status, kind), (403, "other-site"), "{header:?}");
        assert!(detail.contains(helps), "{detail}");
    }
    let own = ("origin", &*app.url);
    app.send(Method::POST, "/v1/events", &[json, own], event.clone()).await.success(202);
    let host = ("host", "decache.internal");
    assert_eq!(app.send(Method::GET, "/readyz", &[host], "").await.status, 200, "probes are let in");
    let server = json!({ "bind": "127.0.0.1:0", "allow_unauthenticated": true });
    let app = TestApp::start(Setup::embedded().with("server", server)).await;
    app.send(Method::POST, "/v1/events", &[json, host], event).await.success(202);
}

#[tokio::test]
async fn every_route_opens_to_the_one_scope_that_it_needs() {
    let mut app = TestApp::start(with_keys()).await;
    // The stream's answer has no end; the tests of `http` ask it, too.
    for (method, path, access) in routes().filter(|(_, path, _)| !path.ends_with("/stream")) {
        let path =
            path.replace("{resource_type}", "Posts").replace("{entity_id}", "42").replace("{id}", "none");
        let path = path.replace("{holder}", &"0a".repeat(16));
        let mut statuses = Vec::new();
        for key in [None, Some(NOBODYS), Some(KEYS[0].1), Some(KEYS[1].1), Some(KEYS[2].1)] {
            app.use_key(key);
            statuses.push(app.send(method.clone(), &path, &[], "").await.status);
        }
        let let_in = |status: u16| !matches!(status, 401 | 403);
        match access {
            Access::Open => assert!(statuses.into_iter().all(let_in), "{path}"),
            Access::Needs(needed) => {
                assert_eq!(statuses[..2], [401, 401], "{method} {path}");
                for ((scope, _), status) in KEYS.iter().zip(&statuses[2..]) {
                    assert_eq!(
                        let_in(*status),
                        *scope == needed.as_str(),
                        "{method} {path}: {scope} {status}"
                    );
                }
            }
        }
    }
    app.use_key(Some(KEYS[1].1));
}

#[tokio::test]
async fn without_debug_lines_a_refused_request_is_told_with_its_id_and_key_and_a_taken_one_is_not() {
    let filtered = json!({ "filter": "info", "format": "text" });
    let mut app = TestApp::start(with_keys().with("log", filtered)).await;
    app.use_key(Some(KEYS[0].1));
    let headers = |id| [("content-type", "application/json"), ("x-request-id", id)];
    let taken = app.send(Method::POST, "/v1/events", &headers("taken-1"), read(1, "alice").to_string()).await;
    let refused = app.send(Method::POST, "/v1/events", &headers("refused-1"), "{}").await;
    assert_eq!((taken.status, refused.status), (202, 422));
    let told = crate::process::poll("the refused request is told", async || {
        let output = app.process.output();
        let line = output.lines().find(|line| line.contains("request refused"))?;
        Some(line.to_owned())
    });
    let told = told.await;
    for field in ["request_id=refused-1", "key=\"ingest-client\"", "status=422"] {
        assert!(told.contains(field), "{told}");
    }
    assert!(!app.process.output().contains("taken-1"));
}

#[tokio::test]
async fn who_is_refused_is_told_what_is_missing_and_nothing_is_taken() {
    let mut app = TestApp::start(with_keys()).await;
    let none = app.post_events(&read(42, "alice")).await;
    assert_eq!((none.problem().0, none.header("www-authenticate")), ("unauthorized", "Bearer"));
    app.use_key(Some(NOBODYS));
    let wrong = app.post_events(&read(42, "alice")).await;
    assert_eq!(
        (wrong.problem().0, wrong.header("www-authenticate")),
        ("unauthorized", "Bearer error=\"invalid_token\"")
    );
    app.use_key(Some(KEYS[1].1));
    let narrow = app.post_events(&read(42, "alice")).await;
    assert_eq!(
        (narrow.status, narrow.problem()),
        (403, ("forbidden", "this needs a key with the scope `ingest`"))
    );
    let large = app.send(Method::POST, "/v1/events", &[], vec![b' '; 10_000_000]).await;
    assert_eq!(large.problem().0, "forbidden", "who sends much gets to know, too");
    assert_eq!(app.queue().await["queued"], 0);
    assert_eq!(app.count("42").await, 0);
    app.use_key(Some(KEYS[0].1));
    app.done(&read(42, "alice")).await;
    let log = app.process.output();
    assert!(
        log.contains("ingest-client") && KEYS.iter().all(|(_, key)| !log.contains(key)),
        "names, not keys"
    );
    assert!(!log.contains(NOBODYS));
    app.use_key(Some(KEYS[1].1));
}

#[tokio::test]
async fn without_keys_it_serves_the_loopback_only() {
    let open = Setup::embedded().with("server", json!({ "bind": "0.0.0.0:0" }));
    for command in [&[][..], &["check"]] {
        let (code, _, error) = run(open.command(command), "");
        assert_eq!(code, Some(1));
        assert!(
            error.contains("decache.yaml:") && error.contains("server.bind: without auth.keys"),
            "{error}"
        );
    }
    let meant = open.with("server", json!({ "allow_unauthenticated": true }));
    assert_eq!(run(meant.command(&["check"]), "").0, Some(0));
    let keyed = with_keys().with("server", json!({ "bind": "0.0.0.0:0" }));
    assert_eq!(run(keyed.command(&["check"]), "").0, Some(0));
}
