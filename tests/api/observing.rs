//! What the service tells about itself: log lines in two formats, metrics, its contract.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Setup, TestApp, read, update, with},
};

#[tokio::test]
async fn as_json_every_line_is_an_object_and_jobs_have_the_same_fields_everywhere() {
    let app = TestApp::start(Setup::embedded().with("log", json!({ "format": "json" }))).await;
    let posted = app.done(&json!([with(read(42, "alice"), "id", "e-1"), update(43)])).await;
    // The answer may be given before the line is written.
    let lines = crate::process::poll("two jobs have ended", async || {
        let output = app.process.output();
        let lines = output.lines().filter(|line| !line.starts_with("listening on "));
        let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.iter().filter(|line| line["message"] == "job ended").count() == 2).then_some(lines)
    })
    .await;
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let fields: BTreeSet<&str> = ["job.id", "job.type", "topic", "resource_type", "entity_id", "name"].into();
    for job in posted["jobs"].as_array().unwrap() {
        let ended = lines.iter().find(|line| line["span"]["job.id"] == job["id"]);
        let span = ended.unwrap()["span"].as_object().unwrap();
        assert_eq!(span.keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
    }
    let event = lines.iter().find(|line| line["span"]["event.id"] == "e-1").unwrap();
    assert_eq!(
        (&event["span"]["resource_type"], &event["span"]["entity_id"]),
        (&json!("Posts"), &json!("42"))
    );
    let request = &event["spans"].as_array().unwrap()[0];
    assert_eq!((&request["route"], &request["method"]), (&json!("/v1/events"), &json!("POST")));
}

#[tokio::test]
async fn as_text_a_line_has_no_colours_and_what_clients_send_does_not_break_it() {
    let app = TestApp::embedded().await;
    let odd = "\u{202e}x\" level=\"ERROR 🦀";
    app.done(&with(update(odd), "id", odd)).await;
    let headers = [("x-request-id", "trace-7.a_B"), ("user-agent", "x\ty")];
    let answer = app.send(reqwest::Method::GET, "/v1/queue?x=tok-alice", &headers, "").await;
    assert_eq!(answer.header("x-request-id"), "trace-7.a_B");
    let output = app.process.output();
    assert!(!output.contains('\u{1b}'), "no escape sequences: {output}");
    assert!(output.contains("request_id=trace-7.a_B"), "{output}");
    assert!(!output.contains("\u{202e}"), "{output}");
}

#[tokio::test]
async fn metrics_tell_of_everything_that_was_done_and_of_no_entity() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    app.done(&read("an-entity", "somebody")).await;
    app.done(&update("an-entity")).await;
    app.counted_jobs(r#"state="done",type="cache""#, 1.0).await;
    app.counted_jobs(r#"state="done",type="invalidate""#, 1.0).await;
    let answer = app.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text;
    for name in [
        r#"decache_events_total{outcome="accepted"} 2"#,
        r#"decache_job_wait_seconds_count{type="cache"} 1"#,
        r#"decache_job_run_seconds_count{type="invalidate"} 1"#,
        "decache_invalidation_seconds_count 1",
        r#"decache_copies_total{cache="api",outcome="absent"} 1"#,
        r#"decache_queue_jobs{state="queued"} 0"#,
        "decache_queue_oldest_age_seconds 0",
        "decache_invalidations_suspended 0",
        r#"decache_redis_connections{pool="store",state="idle"}"#,
        r#"decache_redis_connections{pool="cache:api",state="idle"}"#,
    ] {
        assert!(text.contains(name), "no {name} in {text}");
    }
    assert!(!text.contains("an-entity") && !text.contains("somebody"), "{text}");
}

#[tokio::test]
async fn it_serves_the_contract_that_its_answers_are_held_against() {
    let app = TestApp::embedded().await;
    let contract = app.get("/openapi.yaml").await;
    assert_eq!(contract.header("content-type"), "application/yaml");
    assert_eq!(contract.text, include_str!("../../openapi.yaml"));
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(app.get(path).await.success(200)["status"], "ok", "{path}");
    }
}
