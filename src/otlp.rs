//! Sends spans to a collector by OTLP over HTTP, in batches. A collector that is away costs spans, and nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Uri,
    header::{CONTENT_TYPE, HeaderValue},
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    config::telemetry::OtlpConfig,
    http_client::HttpClient,
    tls::ClientTls,
    trace::{self, Attribute, Kind, Span, SpanContext},
};

mod proto;

/// Spans at most that wait; more are dropped.
const WAITING: usize = 8192;
/// Spans at most in one request.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// A collector's answer is not read beyond this.
const MAX_ANSWER: usize = 64 << 10;
/// OTLP's status code for what has failed.
const ERROR: i32 = 2;
/// The W3C flag of what is sampled.
const SAMPLED: u32 = 1;

/// Takes spans, and sends them.
pub struct Exporter {
    client: HttpClient,
    traces: Uri,
    spans: mpsc::Receiver<Span>,
    dropped: Arc<AtomicU64>,
    /// Whether the collector took the last batch.
    is_well: bool,
}

impl Exporter {
    /// Starts tracing. Nothing is connected yet.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn start(config: &OtlpConfig, clock: Clock) -> Result<Self, String> {
        let client = HttpClient::new(&ClientTls::default(), config.timeout, MAX_ANSWER)?;
        let (sender, spans) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        let take = move |span| {
            if sender.try_send(span).is_err() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        trace::start(Box::new(take), config.ratio, clock);
        Ok(Self { client, traces: config.traces(), spans, dropped, is_well: true })
    }

    /// Sends until cancelled, and then what there is.
    pub async fn run(mut self, cancelled: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let more = cancelled.run_until_cancelled(self.gather(&mut batch)).await;
            if more.is_none() {
                while let (Ok(span), true) = (self.spans.try_recv(), batch.len() < WAITING) {
                    batch.push(span);
                }
            }
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch)).await;
            }
            if more.is_none() {
                return;
            }
        }
    }

    /// Waits for a span, and a while for more.
    async fn gather(&mut self, batch: &mut Vec<Span>) {
        if self.spans.recv_many(batch, BATCH).await == 0 {
            // Whoever makes spans lives as long as the process.
            return std::future::pending().await;
        }
        let more = async {
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                if self.spans.recv_many(batch, room).await == 0 {
                    return;
                }
            }
        };
        tokio::time::timeout(LINGER, more).await.ok();
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = Bytes::from(request(batch).encode_to_vec());
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]
            .into_iter()
            .collect::<HeaderMap>();
        let answer = self.client.send_body(Method::POST, self.traces.clone(), &headers, body).await;
        let trouble = match answer {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status.as_u16())),
            Err(error) => Some(error.to_string()),
        };
        if trouble.is_some() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
        let was_well = std::mem::replace(&mut self.is_well, trouble.is_none());
        match trouble {
            Some(error) if was_well => warn!(error, "the collector takes no spans: they are dropped"),
            None if !was_well => {
                info!(dropped = self.dropped.swap(0, Ordering::Relaxed), "the collector takes spans again");
            }
            _ => {}
        }
    }
}

fn request(spans: Vec<Span>) -> proto::Request {
    let version = env!("CARGO_PKG_VERSION");
    let text = |key: &str, value: &str| key_value(key, proto::Value::String(value.to_owned()));
    let attributes = vec![text("service.name", "decache"), text("service.version", version)];
    let scope = proto::Scope { name: "decache".to_owned(), version: version.to_owned() };
    let spans = spans.into_iter().map(written).collect();
    proto::Request {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(proto::Resource { attributes }),
            scope_spans: vec![proto::ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

fn written(span: Span) -> proto::Span {
    let (trace_id, span_id) = ids(span.context);
    let link = |context: SpanContext| {
        let (trace_id, span_id) = ids(context);
        proto::Link { trace_id, span_id }
    };
    let attribute = |(key, value): (&str, Attribute)| match value {
        Attribute::Text(text) => key_value(key, proto::Value::String(text.into_owned())),
        Attribute::Number(number) => key_value(key, proto::Value::Int(number)),
    };
    proto::Span {
        trace_id,
        span_id,
        parent_span_id: span.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.into_owned(),
        kind: match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Consumer => 5,
        },
        start_time_unix_nano: span.began,
        end_time_unix_nano: span.ended,
        attributes: span.attributes.into_iter().map(attribute).collect(),
        links: span.links.into_iter().map(link).collect(),
        status: span.failed.then_some(proto::Status { code: ERROR }),
        flags: SAMPLED,
    }
}

fn ids(context: SpanContext) -> (Vec<u8>, Vec<u8>) {
    (context.trace_id.to_be_bytes().to_vec(), context.span_id.to_be_bytes().to_vec())
}

fn key_value(key: &str, value: proto::Value) -> proto::KeyValue {
    proto::KeyValue { key: key.to_owned(), value: Some(proto::AnyValue { value: Some(value) }) }
}
