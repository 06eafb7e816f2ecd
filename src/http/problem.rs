//! Every error answer: RFC 9457 problem details, in one mapping. The `type`s are part of the contract.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{
    dead_letters::LetterError,
    event::forms::BodyError,
    ingest::{IngestError, Rejection},
    lookup::{HoldersError, HoldingsError},
    relations::StoreError,
};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What kind of problem it is; decides status, `type` and title.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    InvalidBody,
    InvalidParameter,
    InvalidCursor,
    Unauthorized,
    Forbidden,
    OtherSite,
    UnknownRoute,
    UnknownJob,
    NoReconciliation,
    MethodNotAllowed,
    RequestTimeout,
    ReconciliationRunning,
    JobNotDead,
    BodyTooLarge,
    BatchTooLong,
    UnsupportedMediaType,
    UnsupportedEncoding,
    NoValidEvent,
    InvalidEntity,
    QuotaExceeded,
    Internal,
    QueueFull,
    Stopping,
    Replaying,
    JournalUnwritable,
    StoreUnavailable,
    NotByHolder,
    TooManyStreams,
}

impl Kind {
    const ALL: [Self; 28] = [
        Self::InvalidBody,
        Self::InvalidParameter,
        Self::InvalidCursor,
        Self::Unauthorized,
        Self::Forbidden,
        Self::OtherSite,
        Self::UnknownRoute,
        Self::UnknownJob,
        Self::NoReconciliation,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::ReconciliationRunning,
        Self::JobNotDead,
        Self::BodyTooLarge,
        Self::BatchTooLong,
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::NoValidEvent,
        Self::InvalidEntity,
        Self::QuotaExceeded,
        Self::Internal,
        Self::QueueFull,
        Self::Stopping,
        Self::Replaying,
        Self::JournalUnwritable,
        Self::StoreUnavailable,
        Self::NotByHolder,
        Self::TooManyStreams,
    ];

    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::InvalidBody => (400, "invalid-body", "The body is not understood"),
            Self::InvalidParameter => (400, "invalid-parameter", "A path or query parameter is not valid"),
            Self::InvalidCursor => (400, "invalid-cursor", "The cursor is not one of ours"),
            Self::Unauthorized => (401, "unauthorized", "A valid API key is needed"),
            Self::Forbidden => (403, "forbidden", "The API key's scopes do not allow this"),
            Self::OtherSite => (403, "other-site", "Another site's page or name is not let in without a key"),
            Self::UnknownRoute => (404, "unknown-route", "No such route"),
            Self::UnknownJob => (404, "unknown-job", "No such job"),
            Self::NoReconciliation => (404, "no-reconciliation", "There was no reconciliation"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "The route does not take this method"),
            Self::RequestTimeout => (408, "request-timeout", "The body took too long to arrive"),
            Self::ReconciliationRunning => (409, "reconciliation-running", "A reconciliation is under way"),
            Self::JobNotDead => (409, "job-not-dead", "The job is no dead letter"),
            Self::BodyTooLarge => (413, "body-too-large", "The body is too large"),
            Self::BatchTooLong => (413, "batch-too-long", "Too many items in one request"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "The content type is not taken"),
            Self::UnsupportedEncoding => (415, "unsupported-encoding", "The content encoding is not taken"),
            Self::NoValidEvent => (422, "no-valid-event", "No event of the request is valid"),
            Self::InvalidEntity => (422, "invalid-entity", "An entity of the request is not valid"),
            Self::QuotaExceeded => (429, "quota-exceeded", "The API key's rate is used up"),
            Self::Internal => (500, "internal", "The service failed"),
            Self::QueueFull => (503, "queue-full", "The queue is full"),
            Self::Stopping => (503, "stopping", "The service is stopping"),
            Self::Replaying => (503, "replaying", "The service is starting"),
            Self::JournalUnwritable => (503, "journal-unwritable", "Events cannot be kept"),
            Self::TooManyStreams => (503, "too-many-streams", "Too many look on"),
            Self::NotByHolder => (501, "not-by-holder", "The index is not kept by holder"),
            Self::StoreUnavailable => (503, "store-unavailable", "The index does not answer"),
        }
    }
}

/// Status and `type` of every problem that an answer may hold, for whoever compares them with `openapi.yaml`.
pub fn problem_types() -> impl Iterator<Item = (u16, String)> {
    Kind::ALL.into_iter().map(|kind| (kind.parts().0, urn(kind)))
}

fn urn(kind: Kind) -> String {
    format!("urn:decache:problem:{}", kind.parts().1)
}

/// An error answer. `detail` is shown to the client: it never holds an access token.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// Adds members beside the standard ones.
    pub(super) fn with_members(mut self, members: Map<String, Value>) -> Self {
        self.members = members;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Status, title and detail, for a page that says so.
    pub(super) fn told(&self) -> (StatusCode, &'static str, &str) {
        let (status, _, title) = self.kind.parts();
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), title, &self.detail)
    }

    /// A header that goes with it.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What it says to whom it is not answered over HTTP.
    pub(super) fn into_detail(self) -> String {
        self.detail
    }

    /// Lists entities that are not valid.
    pub(super) fn invalid_entities(detail: impl Into<String>, rejected: Vec<Rejection>) -> Self {
        let entry = |Rejection { index, detail }| json!({ "index": index, "detail": detail });
        let rejected: Vec<Value> = rejected.into_iter().map(entry).collect();
        let members = [("rejected".to_owned(), rejected.into())].into_iter().collect();
        Self::new(Kind::InvalidEntity, detail).with_members(members)
    }

    /// Says when it is worth asking again, in whole seconds and at least one.
    pub(super) fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, title) = self.kind.parts();
        let mut body = self.members;
        body.insert("type".to_owned(), urn(self.kind).into());
        body.insert("title".to_owned(), title.into());
        body.insert("status".to_owned(), status.into());
        body.insert("detail".to_owned(), self.detail.into());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media_type = [(header::CONTENT_TYPE, MEDIA_TYPE)];
        (status, AppendHeaders(self.headers), media_type, Value::Object(body).to_string()).into_response()
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::TooMany { .. } => Kind::BatchTooLong,
            _ => Kind::InvalidBody,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let detail = format!("{error}; nothing of this request was taken");
        match error {
            IngestError::Full { retry_after } => Self::new(Kind::QueueFull, detail).retry_after(retry_after),
            IngestError::Stopping => Self::new(Kind::Stopping, detail),
            IngestError::Replaying { retry_after } => {
                Self::new(Kind::Replaying, detail).retry_after(retry_after)
            }
            IngestError::Journal(_) => {
                Self::new(Kind::JournalUnwritable, detail).retry_after(Duration::from_secs(1))
            }
            IngestError::UnknownResources(entities) => Self::invalid_entities(detail, entities),
        }
    }
}

impl From<LetterError> for Problem {
    fn from(error: LetterError) -> Self {
        match error {
            LetterError::Unknown => Self::new(Kind::UnknownJob, error.to_string()),
            LetterError::NotDead(_) | LetterError::InHand => Self::new(Kind::JobNotDead, error.to_string()),
            LetterError::NotTaken(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the index could not be read");
        let detail = "the index cannot be read now; events are still taken";
        Self::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(1))
    }
}

impl From<HoldersError> for Problem {
    fn from(error: HoldersError) -> Self {
        match error {
            HoldersError::Cursor => Self::new(Kind::InvalidCursor, error.to_string()),
            HoldersError::Store(error) => error.into(),
        }
    }
}

impl From<HoldingsError> for Problem {
    fn from(error: HoldingsError) -> Self {
        match error {
            HoldingsError::NotByHolder => Self::new(Kind::NotByHolder, error.to_string()),
            HoldingsError::Cursor => Self::new(Kind::InvalidCursor, error.to_string()),
            HoldingsError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_when_to_come_back_in_whole_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let full = IngestError::Full { retry_after: Duration::from_millis(millis) };
            let answer = Problem::from(full).into_response();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[header::RETRY_AFTER], seconds, "{millis} ms");
        }
    }

    #[test]
    fn a_body_error_is_too_long_or_not_understood() {
        let kind = |error| Problem::from(error).kind;
        assert_eq!(kind(BodyError::TooMany { found: 3, limit: 2 }), Kind::BatchTooLong);
        assert_eq!(kind(BodyError::Empty), Kind::InvalidBody);
        assert_eq!(kind(BodyError::TooDeep), Kind::InvalidBody);
    }

    #[test]
    fn no_two_kinds_share_a_type() {
        let types: std::collections::BTreeSet<_> = problem_types().map(|(_, urn)| urn).collect();
        assert_eq!(types.len(), Kind::ALL.len());
    }
}
