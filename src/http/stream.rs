//! `GET /v1/invalidations/stream`: what invalidations have done, as server-sent events.
//!
//! A stream is the client's to take in: its connection counts as resting, and makes room like any other that is silent. Each
//! event, and each heartbeat, is a sign of life.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Service,
    problem::{Kind, Problem},
    query::Query,
};
use crate::feed::{Feed, Next, Place};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long a client is to wait before it connects anew, in milliseconds.
const RETRY_MS: u32 = 2000;

/// Shows what ends from now on, or after the event that the client had last.
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.only(&["resource_type"])?;
    open(&service, &headers, query.resource_type()?, CancellationToken::new())
}

/// Shows it until `over`, too.
pub(super) fn open(
    service: &Service,
    headers: &HeaderMap,
    resource_type: Option<&str>,
    over: CancellationToken,
) -> Result<Response, Problem> {
    if service.feed.is_closed() {
        return Err(Problem::new(Kind::Stopping, "the service is stopping"));
    }
    let permit = Arc::clone(&service.streams).try_acquire_owned().map_err(|_| {
        let detail = "as many streams as `server.limits.streams` allows are open";
        Problem::new(Kind::TooManyStreams, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    })?;
    let reader = Reader {
        feed: service.feed.clone(),
        next: service.feed.watch(),
        place: place(headers, &service.feed),
        resource_type: resource_type.map(Into::into),
        heartbeat: service.limits.heartbeat,
        begun: false,
        keys_changed: service.keys_changed.clone(),
        over,
        _permit: permit,
    };
    let frames = stream::unfold(reader, |mut reader| async {
        let frame = reader.frame().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), reader))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would gather events before it passes them on.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// Where a client goes on. An id that is none of ours is one of another life: it has missed what is kept.
fn place(headers: &HeaderMap, feed: &Feed) -> Place {
    match headers.get(LAST_EVENT_ID) {
        None => feed.end(),
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or_else(Place::nowhere),
    }
}

/// Somebody who looks on. Only a place is kept for them, so a slow one costs nobody anything.
struct Reader {
    feed: Arc<Feed>,
    next: watch::Receiver<Option<u64>>,
    place: Place,
    resource_type: Option<Box<str>>,
    heartbeat: Duration,
    begun: bool,
    keys_changed: CancellationToken,
    /// Told when whoever looks on has signed out.
    over: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next thing to be said; `None` at the end of the service, and where a reload has changed who may look.
    async fn frame(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.begun, true) {
            // Where it came from, for a client that goes before the first event.
            let known = self.place.id().map(|id| format!("id: {id}\n")).unwrap_or_default();
            return Some(format!(": the stream begins\nretry: {RETRY_MS}\n{known}\n").into());
        }
        loop {
            self.next.mark_unchanged();
            match self.feed.after(&mut self.place) {
                Next::Event(event) if self.is_wanted(event.resource_type.as_deref()) => {
                    return Some(self.told("invalidation", &event.json));
                }
                Next::Event(_) => {}
                Next::Gap => return Some(self.told("gap", r#"{"missed":true}"#)),
                Next::End => return None,
                Next::Nothing => {
                    let news = tokio::time::timeout(self.heartbeat, self.next.changed());
                    let news = self.over.run_until_cancelled(news);
                    if self.keys_changed.run_until_cancelled(news).await??.is_err() {
                        return Some(self.beat());
                    }
                }
            }
        }
    }

    /// A revocation is about all types.
    fn is_wanted(&self, resource_type: Option<&str>) -> bool {
        match (self.resource_type.as_deref(), resource_type) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        }
    }

    fn told(&self, event: &str, json: &str) -> Bytes {
        format!("id: {}\nevent: {event}\ndata: {json}\n\n", self.place).into()
    }

    /// A comment, and the place: what was passed over is not missed after the next connection.
    fn beat(&self) -> Bytes {
        format!(": alive\nid: {}\n\n", self.place).into()
    }
}

#[cfg(test)]
mod tests;
