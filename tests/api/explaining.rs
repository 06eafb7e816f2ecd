//! Explain, over HTTP and on the command line: what would come of events, and why, and nothing is queued.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Setup, TestApp, read, run, token, update, with, without};

async fn explain(app: &TestApp, content_type: &str, body: String) -> Answer {
    app.send(Method::POST, "/v1/events/explain", &[("content-type", content_type)], body).await
}

async fn explained(app: &TestApp, event: &Value) -> Value {
    let answer = explain(app, "application/json", event.to_string()).await.success(200);
    answer["events"][0].clone()
}

fn with_feeds() -> Setup {
    let feeds = json!({ "Feeds": {
        "cache_keys": ["/feeds/{entity_id}?access_token={access_token}"], "ttl": 300, "guard": 0,
    } });
    let rule = json!({
        "match": { "job_type": "invalidate", "resource_type": "Posts" },
        "job": { "job_type": "invalidate", "resource_type": "Feeds", "entity_id": "{payload.author_id}", "priority": 1 },
    });
    Setup::embedded().with("resources", feeds).with("job_manager", json!({ "job_rules": [rule] }))
}

#[tokio::test]
async fn what_would_become_of_an_event_is_what_becomes_of_it() {
    let app = TestApp::start(with_feeds()).await;
    let told = explained(&app, &read(42, "alice")).await;
    let job = &told["jobs"][0];
    assert_eq!((&told["outcome"], &job["job_type"]), (&json!("accepted"), &json!("cache")));
    assert_eq!(job["holder"], app.holder_of("alice").await);
    assert_eq!(job["cache_keys"], json!(["/posts/42?access_token={access_token}"]));
    assert_eq!(told["rules"][1]["mismatches"], json!(["action_type"]));
    let queued = app.done(&read(42, "alice")).await;
    let real = app.job(queued["jobs"][0]["id"].as_str().unwrap()).await.success(200);
    for field in ["job_type", "topic", "resource_type", "entity_id", "priority"] {
        assert_eq!(job[field], real[field], "{field}");
    }
}

#[tokio::test]
async fn nothing_is_queued_and_nothing_is_counted() {
    let app = TestApp::start(with_feeds()).await;
    explained(&app, &with(update(42), "payload", json!({ "author_id": 7 }))).await;
    assert_eq!(app.jobs("").await.success(200)["items"], json!([]));
    for outcome in ["accepted", "ignored", "rejected"] {
        assert_eq!(app.metric(&format!(r#"decache_events_total{{outcome="{outcome}"}}"#)).await, 0.0);
    }
}

#[tokio::test]
async fn what_follows_is_told_and_what_is_skipped_for_want_of_a_field() {
    let app = TestApp::start(with_feeds()).await;
    let told = explained(&app, &with(update(42), "payload", json!({ "author_id": 7 }))).await;
    let follow_up = &told["jobs"][0]["follow_ups"][0];
    assert_eq!((&follow_up["depth"], &follow_up["job"]["entity_id"]), (&json!(1), &json!("7")));
    assert_eq!(follow_up["job"]["cache_keys"], json!(["/feeds/7?access_token={access_token}"]));
    let told = explained(&app, &update(42)).await;
    let follow_up = &told["jobs"][0]["follow_ups"][0];
    assert_eq!(
        (&follow_up["skipped"], &follow_up["missing"]),
        (&json!("missing_field"), &json!(["payload.author_id"]))
    );
}

#[tokio::test]
async fn every_form_is_explained_and_an_event_that_is_not_valid_says_why() {
    let app = TestApp::embedded().await;
    let cloud = json!({ "specversion": "1.0", "id": "e-1", "source": "/", "type": "a.Posts.Update", "subject": "42" });
    let lines = format!("{}\nnull\n", update(42));
    for (content_type, body, events) in [
        ("application/json", json!([update(42), {}]).to_string(), 2),
        ("application/x-ndjson", lines, 2),
        ("application/cloudevents+json", cloud.to_string(), 1),
        ("application/cloudevents-batch+json", json!([cloud, {}]).to_string(), 2),
    ] {
        let answer = explain(&app, content_type, body).await.success(200);
        let told = answer["events"].as_array().unwrap();
        assert_eq!((told.len(), &told[0]["jobs"][0]["entity_id"]), (events, &json!("42")), "{content_type}");
        assert!(told[1..].iter().all(|it| it["outcome"] == "rejected"), "{answer}");
    }
    let no_token = explained(&app, &without(read(42, "alice"), "access_token")).await;
    assert_eq!((&no_token["outcome"], &no_token["topics"][0]["won"]), (&json!("rejected"), &json!(0)));
    assert_eq!(explain(&app, "application/json", "{".to_owned()).await.problem().0, "invalid-body");
    let many = json!(vec![update(1); 101]).to_string();
    assert_eq!(explain(&app, "application/json", many).await.problem().0, "batch-too-long");
}

#[tokio::test]
async fn rules_that_match_nothing_are_told_of_plainly() {
    let app = TestApp::start(Setup::embedded().with("job_scheduler", json!({ "job_rules": [] }))).await;
    let told = explained(&app, &update(42)).await;
    assert_eq!(told["outcome"], "ignored");
    assert!(told["detail"].as_str().unwrap().starts_with("there are no rules"), "{told}");
}

#[tokio::test]
async fn the_command_says_what_the_service_says() {
    let app = TestApp::start(with_feeds()).await;
    let event = with(read(42, "alice"), "id", "e-1");
    let file = app.setup.file("event.json", &event.to_string());
    let (code, output, error) = run(app.setup.command(&["explain", file.to_str().unwrap(), "--json"]), "");
    std::fs::remove_file(file).unwrap();
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let by_service = explain(&app, "application/json", event.to_string()).await.success(200);
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), by_service);
}

#[test]
fn the_command_takes_every_form_from_its_input_and_makes_nothing() {
    let setup = with_feeds();
    let cloud = json!({ "specversion": "1.0", "id": "e-1", "source": "/", "type": "a.Posts.Update", "subject": "42" });
    let data = json!({ "access_token": token("alice") }).to_string();
    let binary = ["ce-specversion: 1.0", "ce-id: e", "ce-source: /", "ce-type: Posts.Read", "ce-subject: 42"];
    let headers: Vec<&str> = binary.iter().flat_map(|header| ["-H", *header]).collect();
    let lines = format!("{}\n{}\n", update(42), update(43));
    for (arguments, input, expected) in [
        (vec![], update(42).to_string(), "job: invalidate Posts 42, in pp-cache"),
        (vec![], cloud.to_string(), "job: invalidate Posts 42, in pp-cache"),
        (headers, data, "job: cache Posts 42, in pp-cache"),
        (vec!["-H", "content-type: application/x-ndjson"], lines, "event 1: Update Posts 43"),
        (vec![], with(update(42), "action_type", "Like").to_string(), "ignored: none of the 2 rules matches"),
        (vec![], read(42, "alice").to_string(), "(known with the secret)"),
    ] {
        let (code, output, error) = run(setup.command(&[&["explain", "-"], &arguments[..]].concat()), &input);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{input}");
        assert!(output.contains(expected), "{expected}: {output}");
        assert!(!output.contains("tok-"), "{output}");
    }
    assert!(!setup.directory().join("secret").exists() && !setup.directory().join("data").exists());
    let (code, output, error) = run(setup.command(&["explain", "-"]), "{");
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains("not complete JSON"), "{error}");
}
