//! `/livez`, `/readyz`, `/healthz`: whether the process lives, and whether it takes events.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use super::Service;
use crate::health::{Readiness, Status};

/// The process lives; depends on nothing.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether events are taken, and what is wrong meanwhile.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, Json<Readiness>) {
    let readiness = service.health.readiness(service.queue.suspended());
    let status = match readiness.status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness))
}
