//! Dead letters, one or all of one reason: tried again, or discarded.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, json};

use super::{
    Service,
    body::JsonBody,
    jobs::{JobAnswer, unknown_reason},
    problem::{Kind, Problem},
};
use crate::{
    dead_letters::{Fate, LetterError, Settled},
    event::is_resource_type,
    job::{Cause, JobId},
    queue::Which,
};

const SHAPE: &str = r#"an object like {"state": "dead", "reason": "store_unavailable"}, with `resource_type` and `topic` beside them where only some are meant"#;

/// Which dead letters a request means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(rename = "state")]
    _state: Dead,
    reason: String,
    #[serde(default, deserialize_with = "resource_type")]
    resource_type: Option<Box<str>>,
    #[serde(default, deserialize_with = "given")]
    topic: Option<Box<str>>,
}

/// A `null` is no way to leave a field out: whoever sends it may have meant a value, and would discard all of them.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

fn resource_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    let name = given(deserializer)?;
    match name.as_deref().is_none_or(is_resource_type) {
        true => Ok(name),
        false => Err(D::Error::custom("no resource type is called so")),
    }
}

/// The only state that there is a way out of. It stands in the request so that nobody discards what they did not mean.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dead {
    Dead,
}

#[derive(Serialize)]
struct Retried {
    id: String,
    supersedes: Option<String>,
}

type Id = Result<Path<String>, PathRejection>;

/// Tries one again.
pub(super) async fn retry(State(service): State<Arc<Service>>, id: Id) -> Result<Response, Problem> {
    let pushed = service.dead_letters.retry(parse(id)?).await?;
    let supersedes = pushed.supersedes.map(|id| id.to_string());
    Ok((StatusCode::ACCEPTED, Json(Retried { id: pushed.id.to_string(), supersedes })).into_response())
}

/// Discards one, and shows it once more.
pub(super) async fn discard(State(service): State<Arc<Service>>, id: Id) -> Result<Json<JobAnswer>, Problem> {
    Ok(Json(service.dead_letters.discard(parse(id)?).await?.into()))
}

/// Tries all of one reason again.
pub(super) async fn retry_all(state: State<Arc<Service>>, body: JsonBody) -> Result<Json<Value>, Problem> {
    all(state, &body, Fate::Retried).await
}

/// Discards all of one reason.
pub(super) async fn discard_all(state: State<Arc<Service>>, body: JsonBody) -> Result<Json<Value>, Problem> {
    all(state, &body, Fate::Discarded).await
}

async fn all(
    State(service): State<Arc<Service>>,
    body: &JsonBody,
    fate: Fate,
) -> Result<Json<Value>, Problem> {
    let Request { reason, resource_type, topic, .. } = body.parse(SHAPE)?;
    let cause = Cause::parse(&reason).ok_or_else(|| Problem::new(Kind::InvalidBody, unknown_reason()))?;
    let which = Which { cause: Some(cause), resource_type, topic };
    let Settled { settled, remaining } = service.dead_letters.settle_all(fate, &which).await?;
    Ok(Json(json!({ fate.as_str(): settled, "remaining": remaining })))
}

fn parse(id: Id) -> Result<JobId, LetterError> {
    id.ok().and_then(|Path(id)| id.parse().ok()).ok_or(LetterError::Unknown)
}
