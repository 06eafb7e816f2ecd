//! The router in process: everything that is decided before an event or an invalidation is taken.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::{
    config::Config,
    event::Entity,
    journal::Volatile,
    lookup::memory::Index,
    metrics::Metrics,
    queue::{Aging, QueueLimits, RetryPolicy},
    resource::Resources,
    rules::RuleSet,
    secret::{Keys, Secret},
};

mod access;
mod bodies;
mod contract;
mod ids;
mod reads;

/// The router over an index in memory. Its queue is empty.
pub(super) struct App {
    index: Index,
    health: Arc<Health>,
    router: Router,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) text: String,
}

impl App {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    /// An app whose service differs from the usual one.
    pub(super) fn with(change: impl FnOnce(&mut Service)) -> Self {
        let index = Index::new();
        let health = Arc::new(Health::new("none"));
        let queue = Arc::new(queue());
        let mut service = Service {
            ingest: Arc::new(ingest(queue.clone(), health.clone())),
            dead_letters: dead_letters(queue.clone(), health.clone()),
            queue,
            lookup: index.lookup.clone(),
            reconciliations: Arc::new(Reconciliations::new(Clock::start())),
            health: Arc::clone(&health),
            feed: Arc::new(Feed::new("test")),
            streams: Arc::new(Semaphore::new(1)),
            auth: Auth::default(),
            keys_changed: CancellationToken::new(),
            limits: Limits { body_bytes: 64 * 1024, ..Limits::default() },
            waiting: Arc::new(Semaphore::new(1)),
            metrics: Arc::new(|| "# EOF\n".to_owned()),
            job_counts: Arc::new(|_, _| 0),
            console: Arc::new(Console::new("embedded", Box::new(Vec::new), false).unwrap()),
            clock: Clock::start(),
        };
        change(&mut service);
        Self { index, health, router: router(Arc::new(service)) }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Of an answer whose body may go on for ever.
    async fn status(&self, request: Request<Body>) -> StatusCode {
        self.router.clone().oneshot(request).await.unwrap().status()
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(Request::get(url).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, url: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(url).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn record(&self, resource_type: &str, id: &str, user: &str) {
        self.index.record(&Entity::new(resource_type, id).unwrap(), user, None).await;
    }
}

fn queue() -> Queue {
    let retry = RetryPolicy { max_attempts: 1, base: Duration::ZERO, cap: Duration::ZERO };
    let limits = QueueLimits { capacity: 10, max_bytes: 1 << 20, finished: 10, aging: Aging::Strict, retry };
    Queue::new(limits, Clock::start())
}

fn dead_letters(queue: Arc<Queue>, health: Arc<Health>) -> DeadLetters {
    let metrics = Arc::new(Metrics::new().unwrap());
    DeadLetters { queue, journal: Arc::new(Volatile), clock: Clock::start(), health, metrics }
}

/// Takes events by the default rules.
fn ingest(queue: Arc<Queue>, health: Arc<Health>) -> Ingest {
    let config = Config::default();
    let resources = Resources::compile(&config.resources, "").unwrap();
    Ingest {
        rules: Arc::new(RuleSet::compile(&config.rules, &resources).unwrap()),
        resources: Arc::new(resources),
        keys: Arc::new(Keys::derive(
            &Secret::from_text("a secret for tests, thirty-two bytes or more").unwrap(),
        )),
        journal: Arc::new(Volatile),
        queue,
        clock: Clock::start(),
        health,
        metrics: Arc::new(Metrics::new().unwrap()),
    }
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// The body of a success.
    #[track_caller]
    fn json(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        serde_json::from_str(&self.text).unwrap()
    }

    /// The end of a problem's type; checks that it is one.
    #[track_caller]
    fn problem(&self) -> String {
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{} {}",
            self.status,
            self.text
        );
        let body: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body["type"].as_str().unwrap().strip_prefix("urn:decache:problem:").unwrap().to_owned()
    }

    fn detail(&self) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap();
        body["detail"].as_str().unwrap().to_owned()
    }
}
