//! A span and a line per request. They name the matched path, never the URL: ids and tokens may stand in that.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, Span, field::Empty, level_filters::LevelFilter};

use super::Service;
use crate::{
    clock::Timestamp,
    trace::{self, Attribute},
};

/// The route that is asked more often than all others.
const EVENTS: &str = "/v1/events";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken over from a client.
const LONGEST_ID: usize = 64;

/// Whose key a refused request came with.
#[derive(Clone)]
pub(super) struct KeyName(pub(super) Arc<str>);

/// Runs a request in a span of its own, says how it went, and names it in the answer.
pub(super) async fn request(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers()).unwrap_or_else(|| new_id(service.clock.now()));
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("none", MatchedPath::as_str);
    let method = request.method().clone();
    let method = method.as_str();
    let named = || tracing::info_span!("request", request_id = %id, method, route, key = Empty);
    // A span costs more than all else here, and of an event that is taken no line tells but for debugging.
    let is_quiet = route == EVENTS && LevelFilter::current() < LevelFilter::DEBUG;
    let span = if is_quiet { Span::none() } else { named() };
    let began = service.clock.tick();
    let traced = trace::of_request(traceparent(request.headers()), || format!("{method} {route}"));
    let traced = traced.map(|span| {
        let span = span.with("http.request.method", Attribute::Text(method.to_owned().into()));
        span.with("http.route", Attribute::Text(route.to_owned().into()))
    });
    let answer = trace::within(traced.as_ref(), next.run(request).instrument(span.clone()));
    let mut response = answer.await;
    if let Some(traced) = traced {
        let status = response.status();
        let traced = traced.with("http.response.status_code", Attribute::Number(status.as_u16().into()));
        traced.end(status.is_server_error());
    }
    let duration = service.clock.tick().since(began);
    let span =
        if is_quiet && !response.status().is_success() { named_later(named(), &response) } else { span };
    span.in_scope(|| report(route, &response, milliseconds(duration)));
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// To the microsecond: what the clock tells.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A span of a request that was refused after all.
fn named_later(span: Span, response: &Response) -> Span {
    if let Some(KeyName(name)) = response.extensions().get() {
        span.record("key", &**name);
    }
    span
}

/// What goes well is no news: an API that posts each of its reads would fill the log with them. Nor is what a probe is
/// answered, whatever it is: who degrades readiness says so.
fn report(route: &str, response: &Response, duration_ms: f64) {
    let status = response.status();
    let code = status.as_u16();
    let is_probe = matches!(route, "/livez" | "/readyz" | "/healthz" | "/metrics");
    if status.is_server_error() && !is_probe {
        tracing::warn!(status = code, duration_ms, "request failed");
    } else if status.is_client_error() && !is_probe {
        tracing::info!(status = code, duration_ms, "request refused");
    } else {
        tracing::debug!(status = code, duration_ms, "request done");
    }
}

/// The only `traceparent`: of several nobody knows which is meant.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("traceparent").iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    only.to_str().ok()
}

/// The client's own id, where it is one that cannot do harm in a log.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

fn new_id(now: Timestamp) -> String {
    let nanos = u32::try_from(now.0 % 1000).unwrap_or_default() * 1_000_000;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now.0 / 1000, nanos)).to_string()
}
