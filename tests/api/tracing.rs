//! Traces, as a collector gets them: it speaks OTLP over HTTP, and what comes is decoded by the crate that has all of the protocol.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as AnyValue,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use serde_json::{Value, json};

use crate::{
    process::poll,
    redis_server::RedisServer,
    support::{Setup, TestApp, read, update},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER_TRACE: &str = "1af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector that answers until this is dropped.
type Serving = tokio::task::JoinSet<std::io::Result<()>>;

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn start() -> (Self, String, Serving) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(Self::take)).with_state(collector.clone());
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await });
        (collector, url, serving)
    }

    async fn take(State(collector): State<Self>, headers: HeaderMap, body: Bytes) -> StatusCode {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| {
            let service = &resource.resource.as_ref().unwrap().attributes[0];
            assert_eq!((&*service.key, text(service.value.clone())), ("service.name", "decache".to_owned()));
            resource.scope_spans
        });
        collector.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        collector.bytes.lock().unwrap().extend_from_slice(&body);
        StatusCode::OK
    }

    /// The spans, once there is one of this name.
    async fn with(&self, name: &str) -> Vec<Span> {
        poll(name, async || {
            let spans = self.spans.lock().unwrap().clone();
            spans.iter().any(|span| span.name == name).then_some(spans)
        })
        .await
    }

    fn assert_no_token(&self) {
        let bytes = self.bytes.lock().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("tok-"));
    }
}

fn text(value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(AnyValue::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn find<'a>(spans: &'a [Span], trace: &str, name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name && hex::encode(&span.trace_id) == trace);
    found.unwrap_or_else(|| panic!("no {name} in {trace}: {spans:?}"))
}

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CALLER}-{flags}")
}

/// Posts under this `traceparent`, and waits until the jobs have ended.
async fn send(app: &TestApp, traceparent: &str, event: &Value) -> Value {
    let headers = [("prefer", "wait=60"), ("traceparent", traceparent)];
    app.post("/v1/events", &headers, event).await.success(200)
}

fn setup(collector: &str, ratio: f64) -> Setup {
    Setup::embedded().with("telemetry", json!({ "otlp": { "endpoint": collector, "ratio": ratio } }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampled_request_is_followed_to_its_job_and_to_the_commands_that_this_sends() {
    let (collector, url, _serving) = Collector::start().await;
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let telemetry = json!({ "otlp": { "endpoint": url } });
    let app =
        TestApp::start(Setup::redis(&index).cache("api", &cache, "").with("telemetry", telemetry)).await;
    send(&app, &traceparent(OTHER_TRACE, "00"), &read(1, "alice")).await;
    send(&app, &traceparent(TRACE, "01"), &read(1, "bob")).await;
    send(&app, &traceparent(TRACE, "01"), &update(1)).await;
    let spans = collector.with("UNLINK").await;
    let request = find(&spans, TRACE, "POST /v1/events");
    assert_eq!(
        (hex::encode(&request.parent_span_id).as_str(), request.kind),
        (CALLER, SpanKind::Server as i32)
    );
    let (cached, invalidated) = (find(&spans, TRACE, "job cache"), find(&spans, TRACE, "job invalidate"));
    assert_eq!((&cached.parent_span_id, cached.kind), (&request.span_id, SpanKind::Consumer as i32));
    let unlink = find(&spans, TRACE, "UNLINK");
    assert_eq!((&unlink.parent_span_id, unlink.kind), (&invalidated.span_id, SpanKind::Client as i32));
    assert!(spans.iter().any(|span| span.parent_span_id == cached.span_id && span.name == "EVALSHA"));
    for span in &spans {
        assert_eq!(hex::encode(&span.trace_id), TRACE, "what is not sampled is nowhere");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.status.is_none(), "{span:?}");
    }
    collector.assert_no_token();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_keeps_its_trace_over_a_restart_and_links_to_those_that_it_took_the_place_of() {
    let (collector, url, _serving) = Collector::start().await;
    // Nobody takes them before the process is another one.
    let mut app = TestApp::start(setup(&url, 0.0).job(1, json!({ "due": "3s" }))).await;
    for trace in [OTHER_TRACE, TRACE] {
        let parent = traceparent(trace, "01");
        app.post("/v1/events", &[("traceparent", parent.as_str())], &update(1)).await.success(202);
    }
    let before = collector.with("POST /v1/events").await;
    app.restart().await;
    let after = collector.with("job invalidate").await;
    assert!(before.iter().all(|span| span.name == "POST /v1/events"), "{before:?}");
    let job = find(&after, TRACE, "job invalidate");
    assert_eq!(job.parent_span_id, find(&after, TRACE, "POST /v1/events").span_id);
    let other = find(&after, OTHER_TRACE, "POST /v1/events");
    let links: Vec<_> = job.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&other.trace_id, &other.span_id)]);
    assert_eq!(after.iter().filter(|span| span.name == "job invalidate").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_says_nothing_of_traces_is_traced_as_often_as_is_configured() {
    let (collector, url, _serving) = Collector::start().await;
    let app = TestApp::start(setup(&url, 1.0)).await;
    send(&app, &traceparent(TRACE, "00"), &read(1, "alice")).await;
    send(&app, "tok-no-traceparent", &read(2, "alice")).await;
    let spans = collector.with("job cache").await;
    let jobs: Vec<&Span> = spans.iter().filter(|span| span.name == "job cache").collect();
    assert_eq!(jobs.len(), 1, "{spans:?}");
    assert_ne!(hex::encode(&jobs[0].trace_id), TRACE);
    collector.assert_no_token();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nobody_up() {
    let (collector, url, _serving) = Collector::start().await;
    let app = TestApp::start(setup(&format!("{url}/nowhere"), 1.0)).await;
    app.done(&json!([read(1, "alice")])).await;
    app.said("the collector takes no spans").await;
    assert!(collector.spans.lock().unwrap().is_empty());
}
