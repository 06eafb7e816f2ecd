//! A request's body: bounded in size and time, of a type that is taken, and read without echoing what stands in it.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, header},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{
    Service,
    incoming::{Encoding, Incoming, in_time},
    problem::{Kind, Problem},
};

/// The bytes of a body that says it is `application/json`.
pub(super) struct JsonBody(pub(super) Bytes);

impl FromRequest<Arc<Service>> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        expect_json(request.headers())?;
        expect_plain(request.headers())?;
        let limits = &service.limits;
        let body = Incoming::new(request.into_body(), Encoding::Identity, limits)?;
        in_time(limits.body_read, body.whole()).await.map(Self)
    }
}

impl JsonBody {
    /// Reads the body as `T`. `shape` says in a few words what it has to be.
    ///
    /// # Errors
    /// A problem that says what is wrong and where, and repeats nothing of the body: a token may stand anywhere in it.
    pub(super) fn parse<T: DeserializeOwned>(&self, shape: &str) -> Result<T, Problem> {
        if self.0.is_empty() {
            return Err(Problem::new(Kind::InvalidBody, format!("the body is empty; it has to be {shape}")));
        }
        serde_json::from_slice(&self.0).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = match error.classify() {
                Category::Syntax if error.to_string().starts_with("recursion limit") => {
                    "it is nested too deeply"
                }
                Category::Syntax => "it is not valid JSON",
                Category::Eof => "its JSON is cut off",
                Category::Data | Category::Io => {
                    "a field is missing, unknown, there twice, or of the wrong type"
                }
            };
            let detail = format!("the body has to be {shape}: {what} (line {line}, column {column})");
            Problem::new(Kind::InvalidBody, detail)
        })
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let essence = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        Some(text.split(';').next()?.trim().to_ascii_lowercase())
    };
    match headers.get(header::CONTENT_TYPE).map(essence) {
        Some(Some(essence)) if essence == "application/json" => Ok(()),
        None => Err(Problem::new(
            Kind::UnsupportedMediaType,
            "the request has no `Content-Type`; `application/json` is taken",
        )),
        Some(_) => {
            Err(Problem::new(Kind::UnsupportedMediaType, "only the content type `application/json` is taken"))
        }
    }
}

fn expect_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(identity) {
        return Ok(());
    }
    let detail = "the body has to come without a `Content-Encoding`";
    let accepted = HeaderValue::from_static("identity");
    Err(Problem::new(Kind::UnsupportedEncoding, detail).with_header(header::ACCEPT_ENCODING, accepted))
}
