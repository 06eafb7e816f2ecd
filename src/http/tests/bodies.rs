//! Bodies that are refused before anything is made of them, and dry runs.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::*;

const POSTS: [&str; 4] = ["/v1/events", "/v1/events/explain", "/v1/invalidations", "/v1/holders/lookup"];

#[tokio::test]
async fn a_body_of_another_type_is_refused_with_the_one_that_is_taken() {
    let app = App::new();
    for url in POSTS {
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/jsonp"),
            Some("application/cloudevents+xml"),
            Some(""),
        ] {
            let mut request = Request::post(url);
            if let Some(content_type) = content_type {
                request = request.header(header::CONTENT_TYPE, content_type);
            }
            let answer = app.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{url} {content_type:?}");
            assert_eq!(answer.problem(), "unsupported-media-type");
            assert!(answer.detail().contains("application/json"));
        }
    }
}

#[tokio::test]
async fn json_is_json_with_parameters_and_in_capitals_too() {
    let app = App::new();
    for content_type in ["application/json; charset=utf-8", "Application/JSON", "application/json;"] {
        let request = Request::post("/v1/holders/lookup").header(header::CONTENT_TYPE, content_type);
        let answer = app.send(request.body(Body::from(r#"{"access_token":"tok-a"}"#)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{content_type}");
    }
}

#[tokio::test]
async fn an_encoded_body_is_refused_with_what_is_taken() {
    let app = App::new();
    for url in POSTS {
        let (refused, taken) = match url {
            "/v1/events" | "/v1/events/explain" => {
                (["br", "gzip, gzip", "zstd, identity, gzip", "x-unknown"], "gzip, zstd")
            }
            _ => (["gzip", "br", "identity, gzip", "x-unknown"], "identity"),
        };
        for encoding in refused {
            let request = Request::post(url)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_ENCODING, encoding);
            let answer = app.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(answer.problem(), "unsupported-encoding", "{url} {encoding}");
            assert_eq!(answer.headers[header::ACCEPT_ENCODING], taken);
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let app = App::new();
    for url in POSTS {
        let declared = app.post(url, vec![b' '; 64 * 1024 + 1]).await;
        assert_eq!(
            (declared.status, declared.problem().as_str()),
            (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
        );
        let chunks = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1024])));
        let endless = app.post(url, Body::from_stream(chunks)).await;
        assert_eq!(endless.problem(), "body-too-large", "{url}");
        let fits = app.post(url, vec![b' '; 64 * 1024]).await;
        assert_eq!(fits.problem(), "invalid-body", "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let app = App::with(|service| service.limits.body_read = Duration::from_secs(7));
    for url in POSTS {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let answer = app.post(url, never).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::REQUEST_TIMEOUT, "request-timeout")
        );
        assert_eq!(answer.headers[header::CONNECTION], "close");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_problem() {
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))]);
    let answer = App::new().post("/v1/events", Body::from_stream(broken)).await;
    assert_eq!(answer.problem(), "invalid-body");
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_a_problem_that_repeats_nothing_of_it() {
    let app = App::new();
    let deep = "[".repeat(60_000);
    let bodies = [
        "",
        " ",
        "tok-alice",
        r#"{"access_token":"tok-alice""#,
        r#"{"access_token":{"tok-alice":1}}"#,
        r#"{"access_token":["tok-alice"]}"#,
        r#"{"access_token":1,"access_token":"tok-alice"}"#,
        r#"{"access_token":"tok-alice","access_token":"tok-alice"}"#,
        r#"{"tok-alice":1}"#,
        r#"{"access_token":"tok-alice","tok-alice":1}"#,
        r#"{"entities":"tok-alice"}"#,
        r#"{"entities":[{"resource_type":"Posts","entity_id":42,"tok-alice":1}]}"#,
        r#"{"entities":[],"dry_run":"tok-alice"}"#,
        r#"{"access_token":"tok-alice"} tok-alice"#,
        r#""tok-alice""#,
        "null",
        deep.as_str(),
    ];
    for url in ["/v1/invalidations", "/v1/holders/lookup"] {
        for body in bodies {
            let answer = app.post(url, body.to_owned()).await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (StatusCode::BAD_REQUEST, "invalid-body"),
                "{body}"
            );
            assert!(!answer.text.contains("tok-"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn events_in_a_body_that_is_not_understood_are_a_problem() {
    let app = App::new();
    for body in ["", "null", "{", "[1,", "tok-alice", "{}}"] {
        let answer = app.post("/v1/events", body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::BAD_REQUEST, "invalid-body"),
            "{body}"
        );
        assert!(!answer.text.contains("tok-"), "{}", answer.text);
    }
}

#[tokio::test]
async fn too_many_items_are_refused() {
    let app = App::with(|service| service.limits.events = 2);
    let explained = app.post("/v1/events/explain", "[1,2,3]").await;
    assert_eq!(explained.problem(), "batch-too-long");
    let events = app.post("/v1/events", "[1,2,3]").await;
    assert_eq!((events.status, events.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "batch-too-long"));
    let entities = vec![json!({ "resource_type": "Posts", "entity_id": 1 }); 1001];
    let body = json!({ "entities": entities, "dry_run": true }).to_string();
    assert_eq!(app.post("/v1/invalidations", body).await.problem(), "batch-too-long");
}

#[tokio::test]
async fn a_dry_run_counts_and_queues_nothing() {
    let app = App::new();
    for user in ["alice", "bob"] {
        app.record("Posts", "42", user).await;
    }
    app.record("Posts", "-7", "alice").await;
    app.record("Comments", "42", "alice").await;
    let entity = |id: Value| json!({ "resource_type": "Posts", "entity_id": id });
    let entities = [entity(json!(42)), entity(json!("42")), entity(json!(-7)), entity(json!(1_u64 << 63))];
    let body = json!({ "entities": entities, "dry_run": true });
    // The app's ingest never answers: whatever was queued would not come back.
    let answer = app.post("/v1/invalidations", body.to_string()).await.json();
    let matched =
        |id: &str, matched| json!({ "resource_type": "Posts", "entity_id": id, "matched": matched });
    let expected = [matched("42", 2), matched("42", 2), matched("-7", 1), matched("9223372036854775808", 0)];
    assert_eq!(answer, json!({ "dry_run": true, "matched": 5, "entities": expected }));
}

#[tokio::test]
async fn entities_that_are_not_valid_are_listed_and_nothing_is_queued() {
    let app = App::new();
    assert_eq!(app.post("/v1/invalidations", r#"{"entities":[]}"#).await.problem(), "invalid-body");
    let long = "x".repeat(1025);
    let ids = [json!("ok"), json!(""), json!("a\nb"), json!("a\u{0}b"), json!(1.5), json!(null), json!(long)];
    let entities: Vec<_> =
        ids.iter().map(|id| json!({ "resource_type": "Posts", "entity_id": id })).collect();
    let answer = app.post("/v1/invalidations", json!({ "entities": entities }).to_string()).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "invalid-entity")
    );
    let body: Value = serde_json::from_str(&answer.text).unwrap();
    let indexes: Vec<_> =
        body["rejected"].as_array().unwrap().iter().map(|it| it["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_token_to_look_up_is_1_byte_to_8_kib() {
    let app = App::new();
    let lookup = async |token: &str| {
        app.post("/v1/holders/lookup", json!({ "access_token": token }).to_string()).await
    };
    for token in ["t", "tok-&=#\"'", &"x".repeat(8192)] {
        assert_eq!(lookup(token).await.json()["holder"].as_str().unwrap().len(), 32);
    }
    for token in ["", &"x".repeat(8193)] {
        assert_eq!(lookup(token).await.problem(), "invalid-body");
    }
}
