//! What a client sends never makes a line of its own in the log, nor speaks to the terminal that shows it.

use serde_json::{Value, json};

use crate::service::{Service, event};

/// What breaks lines, closes strings, and moves cursors.
const BREAKOUTS: [&str; 8] = [
    "\n2026-01-01T00:00:00Z ERROR forged",
    "\r\nforged",
    "\u{1b}[2J\u{1b}]0;forged\u{7}",
    "\"} {\"forged\":\"",
    "\u{2028}forged",
    "\u{85}forged",
    "\u{9b}31mforged",
    "%0d%0aforged",
];

/// Posts every breakout in every field, and sends it in every header and URL where HTTP lets it.
async fn send_all(service: &Service) {
    for text in BREAKOUTS {
        for field in
            ["id", "entity_id", "user_id", "access_token", "action_type", "resource_type", "cache_key"]
        {
            service.post(&event(&json!({ field: text }))).await;
        }
        service.post(&event(&json!({ text: 1, "payload": { text: text } }))).await;
        let entities = json!({ "entities": [{ "resource_type": "Posts", "entity_id": text }] });
        service.post_to("/v1/invalidations", "", &entities.to_string()).await;
        for header in ["X-Request-Id", "User-Agent", "Authorization", "Prefer", "Accept", "Forwarded"] {
            let mut raw = service.connect().await;
            raw.send(
                format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}: {text}\r\n\r\n")
                    .as_bytes(),
            )
            .await;
            raw.rest().await;
        }
        let mut raw = service.connect().await;
        raw.send(format!("GET /v1/entities/Posts/{text}?a={text} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await;
    }
    service.serves_others().await;
}

async fn log(format: &str) -> String {
    let mut service = Service::start("", &format!("log: {{ format: {format}, filter: trace }}\n")).await;
    send_all(&service).await;
    assert!(service.process.terminate().await.success());
    let output = service.process.output();
    assert!(output.contains("request done"), "{output}");
    let control = |char: &char| char.is_control() && *char != '\n';
    assert_eq!(output.chars().find(control), None, "{output}");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_json_log_stays_one_object() {
    for line in log("json").await.lines().filter(|line| !line.starts_with("listening on ")) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string() && line.get("forged").is_none(),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_text_log_stays_one_line() {
    for line in log("text").await.lines().filter(|line| !line.starts_with("listening on ")) {
        let begins = line.get(..5).is_some_and(|year| year.ends_with('-')) && line.contains('Z');
        assert!(begins, "a line that decache did not begin: {line}");
        assert!(!line.contains("ERROR forged") || line.contains(r"\n"), "{line}");
    }
}
