//! Requests that are not understood, too large or too slow: each gets its problem, and the service goes on.

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::{Setup, TestApp, read, until_closed, update};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused_with_what_is_wrong() {
    let app = TestApp::embedded().await;
    let deep = "[".repeat(100_000);
    let closed = format!("{{\"a\":{deep}{}}}", "]".repeat(100_000));
    for (body, expected) in [
        ("", "is empty"),
        (" \r\n", "is empty"),
        ("tok-alice", "not valid JSON"),
        ("action_type=Read&resource_type=Posts", "not valid JSON"),
        (r#"{"action_type":"Read","access_token":"tok-al"#, "not complete JSON"),
        (r#"[{"action_type":"Read"},"#, "not complete JSON"),
        (&deep, "not complete JSON"),
        (&closed, "nested too deeply"),
        ("\"tok-alice\"", "must be an event (a JSON object) or an array"),
        ("null", "must be an event (a JSON object) or an array"),
        ("{} {}", "not valid JSON"),
    ] {
        let answer = app.send(Method::POST, "/v1/events", &[JSON], body.to_owned()).await;
        let shown = &body[..body.len().min(40)];
        assert_eq!((answer.status, answer.problem().0), (400, "invalid-body"), "{shown}: {answer:?}");
        assert!(answer.problem().1.contains(expected), "{shown}: {answer:?}");
    }
    app.done(&read(42, "alice")).await;
}

#[tokio::test]
async fn what_is_in_no_form_that_is_taken_is_refused() {
    let app = TestApp::embedded().await;
    for content_type in
        ["text/plain", "application/ndjson", "application/cloudevents+xml", "multipart/form-data"]
    {
        let headers = [("content-type", content_type)];
        let answer = app.send(Method::POST, "/v1/events", &headers, update(42).to_string()).await;
        assert_eq!((answer.status, answer.problem().0), (415, "unsupported-media-type"), "{content_type}");
    }
    let none = app.send(Method::POST, "/v1/events", &[], update(42).to_string()).await;
    assert_eq!(none.problem().0, "unsupported-media-type");
    for encoding in ["br", "deflate", "x-unknown"] {
        let headers = [JSON, ("content-encoding", encoding)];
        let answer = app.send(Method::POST, "/v1/events", &headers, update(42).to_string()).await;
        assert_eq!((answer.status, answer.problem().0), (415, "unsupported-encoding"), "{encoding}");
        assert_eq!(answer.header("accept-encoding"), "gzip, zstd");
    }
    assert_eq!(app.queue().await["queued"], 0);
}

/// Each answer comes although the client sends all of its body before it listens.
#[tokio::test]
async fn a_body_of_10_mb_is_refused_and_its_sender_gets_to_know() {
    let app = TestApp::embedded().await;
    for (path, content_type, status, problem) in [
        ("/v1/events", "application/json", 413, "body-too-large"),
        ("/v1/invalidations", "application/json", 413, "body-too-large"),
        ("/v1/events", "text/plain", 415, "unsupported-media-type"),
        ("/v1/event", "application/json", 404, "unknown-route"),
        ("/v1/queue", "application/json", 405, "method-not-allowed"),
    ] {
        for _ in 0..3 {
            let headers = [("content-type", content_type)];
            let answer = app.send(Method::POST, path, &headers, vec![b' '; 10_000_000]).await;
            assert_eq!((answer.status, answer.problem().0), (status, problem), "{path}");
        }
    }
    let head =
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let chunk = [b"100000\r\n".as_slice(), &[b' '; 0x10_0000], b"\r\n"].concat();
    let chunked =
        [head.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", &chunk.repeat(10), b"0\r\n\r\n"].concat();
    let answer = app.raw(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body-too-large"), "{answer:?}");
    let asks_first = format!("{head}Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n");
    let answer = app.raw(asks_first.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "who asks first need not send it: {answer:?}");
    app.done(&read(42, "alice")).await;
}

#[tokio::test]
async fn the_configured_limits_of_body_and_batch_count() {
    let limits = json!({ "limits": { "body": "1KiB", "batch": 2 } });
    let app = TestApp::start(Setup::embedded().with("server", limits)).await;
    let large = app.post_events(&update("x".repeat(1000))).await;
    assert_eq!((large.status, large.problem()), (413, ("body-too-large", "a body may have 1024 bytes")));
    let long = app.post_events(&json!([update(1), update(2), update(3)])).await;
    assert_eq!((long.status, long.problem().0), (413, "batch-too-long"));
    assert!(long.problem().1.contains("3 events"), "{long:?}");
    assert_eq!(app.done(&json!([update(1), update(2)])).await["accepted"], 2);
}

#[tokio::test]
async fn a_client_that_is_slow_is_let_go_and_keeps_nobody_waiting() {
    let limits = json!({ "limits": { "header_read_time": "200ms", "body_read_time": "200ms" } });
    let app = TestApp::start(Setup::embedded().with("server", limits)).await;
    let mut slow_header = app.connect().await;
    slow_header.write_all(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow:").await.unwrap();
    let mut slow_body = app.connect().await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow_body.write_all(head.as_bytes()).await.unwrap();
    app.done(&read(42, "alice")).await;
    let answer = until_closed(&mut slow_header).await;
    assert!(!answer.contains(" 200 ") && !answer.contains(" 202 "), "{answer}");
    let answer = until_closed(&mut slow_body).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"), "{answer}");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_served_when_a_silent_one_is_let_go() {
    let limits = json!({ "limits": { "connections": 1, "header_read_time": "200ms" } });
    let app = TestApp::start(Setup::embedded().with("server", limits)).await;
    let mut silent = app.connect().await;
    app.done(&read(42, "alice")).await;
    assert_eq!(until_closed(&mut silent).await, "");
}

#[tokio::test]
async fn what_is_no_http_disturbs_nobody() {
    let app = TestApp::embedded().await;
    for request in [
        "hello\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}".to_owned() + &"\u{1}".repeat(500),
        format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(64 * 1024)),
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
    ] {
        let answer = app.raw(request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    app.done(&read(42, "alice")).await;
}

#[tokio::test]
async fn a_url_or_a_method_that_leads_nowhere_is_a_problem() {
    let app = TestApp::embedded().await;
    for path in ["/v1", "/v1/event", "/v1/events/", "/v1/entities/Posts/a/b", "/docs/x/", "//livez", "/LIVEZ"]
    {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.problem().0), (404, "unknown-route"), "{path}");
    }
    for (method, path, allow) in [
        (Method::GET, "/v1/events", "POST"),
        (Method::PUT, "/v1/events", "POST"),
        (Method::DELETE, "/v1/queue", "GET,HEAD"),
        (Method::PATCH, "/v1/entities/Posts/42", "GET,HEAD,PURGE"),
        (Method::OPTIONS, "/metrics", "GET,HEAD"),
    ] {
        let answer = app.send(method, path, &[], "").await;
        assert_eq!((answer.status, answer.problem().0), (405, "method-not-allowed"), "{path}");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_known_or_not_valid_is_a_problem() {
    let app = TestApp::embedded().await;
    for (path, problem) in [
        ("/v1/entities?resource_type=Posts", "invalid-parameter"),
        ("/v1/entities?resource_type=Posts&entity_id=1&entity_id=2", "invalid-parameter"),
        ("/v1/entities?resource_type=P%20&entity_id=1", "invalid-parameter"),
        ("/v1/holders?resource_type=Posts&entity_id=1&limit=1001", "invalid-parameter"),
        ("/v1/holders?resource_type=Posts&entity_id=1&offset=1", "invalid-parameter"),
        ("/v1/holders?resource_type=Posts&entity_id=1&cursor=1", "invalid-cursor"),
        ("/v1/jobs?state=lost", "invalid-parameter"),
        ("/v1/jobs?state=dead&resource_type=P%20", "invalid-parameter"),
        ("/v1/jobs?limit=%2B5", "invalid-parameter"),
        ("/v1/invalidations/stream?resource_type=", "invalid-parameter"),
        ("/v1/jobs?cursor=1", "invalid-cursor"),
    ] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.problem().0), (400, problem), "{path}");
    }
}
