//! Every form that events come in, over real HTTP: what it is taken as, and what becomes of one that is cut off, empty, too
//! large or mixed up with another.

use async_compression::{
    Level,
    tokio::write::{GzipEncoder, ZstdEncoder},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Setup, TestApp, read, token, until_closed, update, with, without};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CLOUD: &str = "application/cloudevents+json";
const CLOUDS: &str = "application/cloudevents-batch+json";
const WAIT: (&str, &str) = ("prefer", "wait=60");

/// Posts a body as it is, and waits for the work.
async fn post(
    app: &TestApp,
    content_type: &str,
    more: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let headers = [&[("content-type", content_type), WAIT], more].concat();
    app.send(Method::POST, "/v1/events", &headers, body).await
}

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::with_quality(Vec::new(), Level::Fastest);
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZstdEncoder::with_quality(Vec::new(), Level::Fastest);
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

/// A post is read by somebody, as a CloudEvent.
fn cloud(post: &str, user: &str) -> Value {
    let time = crate::support::now_rfc3339();
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/api", "type": "com.playerpro.Posts.Read", "subject": post,
        "time": time, "data": { "access_token": token(user), "user_id": user },
    })
}

/// The headers of its binary mode.
fn ce(event: &Value) -> Vec<(String, String)> {
    let attributes = event.as_object().unwrap().iter().filter(|(name, _)| *name != "data");
    attributes.map(|(name, value)| (format!("ce-{name}"), value.as_str().unwrap().to_owned())).collect()
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A request that is refused whole with this status and problem.
#[track_caller]
fn refused(answer: &Answer, status: u16, problem: &str, detail: &str) {
    assert_eq!((answer.status, answer.problem().0), (status, problem), "{answer:?}");
    assert!(answer.problem().1.contains(detail), "{detail}: {answer:?}");
}

async fn nothing_was_taken(app: &TestApp) {
    for outcome in ["accepted", "ignored"] {
        assert_eq!(app.metric(&format!(r#"decache_events_total{{outcome="{outcome}"}}"#)).await, 0.0);
    }
}

#[tokio::test]
async fn every_form_of_an_event_is_taken_plain_and_compressed() {
    let app = TestApp::embedded().await;
    let data = cloud("5", "alice")["data"].to_string();
    let headers = ce(&cloud("5", "alice"));
    let forms = [
        (JSON, vec![], read(1, "alice").to_string(), "1"),
        (JSON, vec![], json!([read(2, "alice")]).to_string(), "2"),
        (LINES, vec![], format!("{}\n", read(3, "alice")), "3"),
        (CLOUD, vec![], cloud("4", "alice").to_string(), "4"),
        (JSON, borrowed(&headers), data, "5"),
        (CLOUDS, vec![], json!([cloud("6", "alice")]).to_string(), "6"),
    ];
    for (content_type, more, body, id) in &forms {
        let (zipped, packed) = (gzip(body.as_bytes()).await, zstd(body.as_bytes()).await);
        for (encoding, body) in [("identity", body.clone().into_bytes()), ("gzip", zipped), ("zstd", packed)]
        {
            let more = [&more[..], &[("content-encoding", encoding)]].concat();
            let answer = post(&app, content_type, &more, body).await.success(200);
            assert_eq!(answer["jobs"][0]["outcome"], "done", "{content_type} {encoding}: {answer}");
        }
        assert_eq!(app.count(id).await, 1, "{content_type} {id}");
    }
    let holders = app.holders("Posts", "4").await.success(200);
    assert_eq!(holders["items"][0]["user_id"], "alice");
}

/// Some clients put one before all UTF-8 that they write.
#[tokio::test]
async fn a_byte_order_mark_before_a_body_is_passed_over_in_every_form() {
    let app = TestApp::embedded().await;
    let headers = ce(&cloud("5", "alice"));
    let forms = [
        (JSON, vec![], read(1, "alice").to_string(), 1),
        (JSON, vec![], json!([read(2, "alice")]).to_string(), 1),
        (LINES, vec![], format!("{}\r\n{}", read(3, "alice"), read(4, "alice")), 2),
        (CLOUD, vec![], cloud("4", "alice").to_string(), 1),
        (JSON, borrowed(&headers), cloud("5", "alice")["data"].to_string(), 1),
        (CLOUDS, vec![], json!([cloud("6", "alice")]).to_string(), 1),
    ];
    for (content_type, more, body, accepted) in forms {
        let answer = post(&app, content_type, &more, format!("\u{feff}{body}")).await.success(200);
        assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(accepted), &json!([])), "{answer}");
        let twice = post(&app, content_type, &more, format!("\u{feff}\u{feff}{body}")).await;
        assert!(matches!(twice.status, 400) || twice.body["rejected"][0]["index"] == 0, "{twice:?}");
    }
    for content_type in [JSON, LINES, CLOUD, CLOUDS] {
        refused(&post(&app, content_type, &[], "\u{feff}").await, 400, "invalid-body", "");
    }
}

#[tokio::test]
async fn one_bad_line_in_the_middle_is_rejected_alone() {
    let app = TestApp::embedded().await;
    let long = "x".repeat(1 << 20);
    let lines = [
        read(1, "alice").to_string(),
        format!("{{\"access_token\":\"{}", token("alice")),
        String::new(),
        without(read(2, "alice"), "access_token").to_string(),
        with(read(2, "alice"), "payload", json!({ "long": long })).to_string(),
        format!("[{}]", read(2, "alice")),
        format!("{}\r", read(3, "alice")),
        read(4, "alice").to_string(),
    ];
    let answer = post(&app, LINES, &[], lines.join("\n")).await.success(200);
    assert_eq!(answer["accepted"], 3, "{answer}");
    let rejected: Vec<_> = answer["rejected"].as_array().unwrap().iter().collect();
    let expected =
        ["not valid JSON", "access_token is missing", "the line is too long", "must be a JSON object"];
    for ((index, rejected), expected) in (1..).zip(rejected).zip(expected) {
        assert_eq!(rejected["index"], index, "{answer}");
        assert!(rejected["detail"].as_str().unwrap().contains(expected), "{rejected}");
    }
    for id in ["1", "3", "4"] {
        assert_eq!(app.count(id).await, 1, "{id}");
    }
    assert_eq!(app.count("2").await, 0);
}

#[tokio::test]
async fn lines_are_taken_whole_or_not_at_all() {
    let limits = json!({ "limits": { "body": 65_536, "decompressed_body": 65_536, "batch": 3 } });
    let app = TestApp::start(Setup::embedded().with("server", limits)).await;
    for nothing in ["", "\n", "\r\n \n"] {
        refused(&post(&app, LINES, &[], nothing).await, 400, "invalid-body", "no event in it");
    }
    let many = format!("{}\n", update(1)).repeat(5);
    refused(
        &post(&app, LINES, &[], many).await,
        413,
        "batch-too-long",
        "holds 5 events, and a request may bring 3",
    );
    let large = format!("{}\n{}", update(1), "\n".repeat(65_536));
    refused(&post(&app, LINES, &[], large).await, 413, "body-too-large", "65536 bytes");
    // It breaks off within its second chunk, when the first line has been read.
    let mut connection = app.connect().await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = format!("{}\n", update(1));
    let request = format!("{head}{:x}\r\n{line}\r\nff\r\n{{", line.len());
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    assert!(!until_closed(&mut connection).await.contains(" 202 "));
    nothing_was_taken(&app).await;
}

#[tokio::test]
async fn a_cloud_event_that_is_cut_off_empty_or_mixed_up_is_refused_with_what_is_wrong() {
    let app = TestApp::embedded().await;
    let (event, text) = (cloud("42", "alice"), cloud("42", "alice").to_string());
    for content_type in [CLOUD, CLOUDS] {
        refused(&post(&app, content_type, &[], "").await, 400, "invalid-body", "is empty");
        refused(
            &post(&app, content_type, &[], text[..80].to_owned()).await,
            400,
            "invalid-body",
            "not complete JSON",
        );
        refused(&post(&app, content_type, &[], "tok-alice").await, 400, "invalid-body", "not valid JSON");
    }
    refused(
        &post(&app, CLOUD, &[], format!("[{text}]")).await,
        400,
        "invalid-body",
        "must be one CloudEvent",
    );
    refused(
        &post(&app, CLOUDS, &[], text.clone()).await,
        400,
        "invalid-body",
        "must be an array of CloudEvents",
    );
    let binary = ce(&event);
    let both = post(&app, CLOUD, &borrowed(&binary), text.clone()).await;
    refused(&both, 400, "invalid-body", "a CloudEvent in two modes");
    refused(&post(&app, JSON, &[], text.clone()).await, 422, "no-valid-event", "this is a CloudEvent");
    refused(
        &post(&app, CLOUD, &[], read(42, "alice").to_string()).await,
        422,
        "no-valid-event",
        "specversion is missing",
    );
    refused(
        &post(&app, LINES, &borrowed(&binary), "{}").await,
        415,
        "unsupported-media-type",
        "has to be application/json",
    );
    refused(
        &post(&app, "text/plain", &borrowed(&binary), "{}").await,
        415,
        "unsupported-media-type",
        "has to be application/json",
    );
    refused(
        &post(&app, "application/cloudevents+xml", &[], "<a/>").await,
        415,
        "unsupported-media-type",
        "not one that is taken",
    );
    for (change, expected) in [
        (json!({ "specversion": "0.3" }), "specversion must be 1.0"),
        (json!({ "type": "Read" }), "type must end in <resource_type>.<action_type>"),
        (json!({ "data_base64": "e30=" }), "data and data_base64 are both there"),
        (json!({ "datacontenttype": "text/xml" }), "datacontenttype must be application/json"),
        (json!({ "data": { "entity_id": 43 } }), "subject and data.entity_id differ"),
    ] {
        let mut bad = event.clone();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        refused(&post(&app, CLOUD, &[], bad.to_string()).await, 422, "no-valid-event", expected);
    }
    nothing_was_taken(&app).await;
    let batch = json!([with(event.clone(), "specversion", "0.3"), event, 42]);
    let answer = post(&app, CLOUDS, &[], batch.to_string()).await.success(200);
    let rejected: Vec<_> = answer["rejected"].as_array().unwrap().iter().map(|it| &it["index"]).collect();
    assert_eq!((&answer["accepted"], rejected), (&json!(1), vec![&json!(0), &json!(2)]));
}

#[tokio::test]
async fn a_binary_cloud_event_without_what_it_needs_is_refused() {
    let app = TestApp::embedded().await;
    let event = cloud("42", "alice");
    let data = event["data"].to_string();
    for name in ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject"] {
        let headers: Vec<_> = ce(&event).into_iter().filter(|(it, _)| it != name).collect();
        let missing = format!("{} is missing", &name[3..]);
        refused(&post(&app, JSON, &borrowed(&headers), data.clone()).await, 422, "no-valid-event", &missing);
    }
    let headers = ce(&event);
    refused(
        &post(&app, JSON, &borrowed(&headers), "[]").await,
        422,
        "no-valid-event",
        "data must be a JSON object",
    );
    refused(
        &post(&app, JSON, &borrowed(&headers), data[..20].to_owned()).await,
        400,
        "invalid-body",
        "not complete JSON",
    );
    let empty = post(&app, JSON, &borrowed(&headers), "").await;
    refused(&empty, 422, "no-valid-event", "access_token is missing");
    let twice = [&borrowed(&headers)[..], &[("ce-id", "e-2")]].concat();
    refused(&post(&app, JSON, &twice, data.clone()).await, 400, "invalid-body", "ce-id stands twice");
    nothing_was_taken(&app).await;
    let mut encoded = ce(&cloud("Euro%20%E2%82%AC", "alice"));
    encoded.push(("ce-sequence".to_owned(), "7".to_owned()));
    post(&app, JSON, &borrowed(&encoded), data).await.success(200);
    assert_eq!(app.count("Euro €").await, 1);
}

#[tokio::test]
async fn a_resource_type_with_dots_is_found_in_a_cloud_events_type() {
    let resource = json!({ "Blog.Posts": { "cache_keys": ["/blog/{entity_id}?access_token={access_token}"], "ttl": 300, "guard": 0 } });
    let rules =
        json!([{ "action_type": "Read", "resource_type": "Blog\\.Posts|Posts", "topic": "pp-cache" }]);
    let setup =
        Setup::embedded().with("resources", resource).with("job_scheduler", json!({ "job_rules": rules }));
    let app = TestApp::start(setup).await;
    let event = with(cloud("42", "alice"), "type", "com.playerpro.Blog.Posts.Read");
    post(&app, CLOUD, &[], event.to_string()).await.success(200);
    assert_eq!(app.entity("Blog.Posts", "42").await.success(200)["holders"], 1);
    assert_eq!(app.count("42").await, 0);
}

#[tokio::test]
async fn a_compressed_body_that_is_cut_off_or_corrupt_is_refused() {
    let app = TestApp::embedded().await;
    let body = json!(vec![update(1); 50]).to_string();
    for (encoding, whole) in [("gzip", gzip(body.as_bytes()).await), ("zstd", zstd(body.as_bytes()).await)] {
        let encoded = [("content-encoding", encoding)];
        for content_type in [JSON, LINES, CLOUD, CLOUDS] {
            for cut in [1, whole.len() / 2, whole.len() - 1] {
                let answer = post(&app, content_type, &encoded, whole[..cut].to_vec()).await;
                refused(&answer, 400, "invalid-body", encoding);
            }
            let mut corrupt = whole.clone();
            let middle = corrupt.len() / 2;
            corrupt[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
            refused(&post(&app, content_type, &encoded, corrupt).await, 400, "invalid-body", encoding);
            refused(&post(&app, content_type, &encoded, body.clone()).await, 400, "invalid-body", encoding);
        }
        assert_eq!(post(&app, JSON, &encoded, "").await.status, 400);
        let trailing = [whole.as_slice(), b"garbage"].concat();
        refused(&post(&app, JSON, &encoded, trailing).await, 400, "invalid-body", encoding);
    }
    nothing_was_taken(&app).await;
}

#[tokio::test]
async fn what_is_compressed_in_several_members_is_one_body() {
    let app = TestApp::embedded().await;
    let (one, two) = (format!("{}\n", read(1, "alice")), format!("{}\n", read(2, "alice")));
    let zipped = [gzip(one.as_bytes()).await, gzip(two.as_bytes()).await].concat();
    let packed = [zstd(one.as_bytes()).await, zstd(two.as_bytes()).await].concat();
    for (encoding, body) in [("gzip", zipped), ("zstd", packed)] {
        let answer = post(&app, LINES, &[("content-encoding", encoding)], body).await.success(200);
        assert_eq!(answer["accepted"], 2, "{encoding}");
    }
}

#[tokio::test]
async fn encodings_that_are_not_taken_are_answered_with_those_that_are() {
    let app = TestApp::embedded().await;
    let body = gzip(&gzip(update(1).to_string().as_bytes()).await).await;
    for encoding in ["br", "deflate", "compress", "gzip, gzip", "gzip, zstd", "gzip;q=1", "x-unknown"] {
        let answer = post(&app, JSON, &[("content-encoding", encoding)], body.clone()).await;
        refused(&answer, 415, "unsupported-encoding", "gzip or zstd");
        assert_eq!(answer.header("accept-encoding"), "gzip, zstd", "{encoding}");
    }
    for encoding in ["GZIP", "x-gzip", "identity, gzip"] {
        let body = gzip(update(1).to_string().as_bytes()).await;
        post(&app, JSON, &[("content-encoding", encoding)], body).await.success(200);
    }
    for path in ["/v1/invalidations", "/v1/holders/lookup"] {
        let headers = [("content-type", JSON), ("content-encoding", "gzip")];
        let answer = app.send(Method::POST, path, &headers, body.clone()).await;
        assert_eq!(
            (answer.problem().0, answer.header("accept-encoding")),
            ("unsupported-encoding", "identity")
        );
    }
}

#[tokio::test]
async fn the_bound_on_a_body_counts_what_comes_and_what_comes_out_of_it() {
    let limits = json!({ "limits": { "body": 4096, "decompressed_body": 65_536 } });
    let app = TestApp::start(Setup::embedded().with("server", limits)).await;
    let padded = |bytes: usize| format!("{}{}", update(1), " ".repeat(bytes - update(1).to_string().len()));
    let (fits, over) = (padded(65_536), padded(65_537));
    for content_type in [JSON, LINES] {
        for (encoding, fits, over) in [
            ("gzip", gzip(fits.as_bytes()).await, gzip(over.as_bytes()).await),
            ("zstd", zstd(fits.as_bytes()).await, zstd(over.as_bytes()).await),
        ] {
            let encoded = [("content-encoding", encoding)];
            post(&app, content_type, &encoded, fits).await.success(200);
            refused(
                &post(&app, content_type, &encoded, over).await,
                413,
                "body-too-large",
                "decompressed, a body may have 65536",
            );
        }
    }
    let mut noise = Vec::new();
    let mut seed = 1_u64;
    while noise.len() < 8192 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend(seed.to_be_bytes());
    }
    let large = gzip(&noise).await;
    assert!(large.len() > 4096);
    refused(
        &post(&app, JSON, &[("content-encoding", "gzip")], large).await,
        413,
        "body-too-large",
        "4096 bytes",
    );
}
