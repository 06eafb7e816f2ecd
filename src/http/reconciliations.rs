//! `/v1/reconciliations`: index and caches compared by the running service.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    Service,
    body::JsonBody,
    problem::{Kind, Problem},
};
use crate::reconcile::{Plan, Reconciliation};

const SHAPE: &str = r#"an object like {"dry_run": true, "untracked": "record"}"#;

/// Begins one.
pub(super) async fn post(State(service): State<Arc<Service>>, body: JsonBody) -> Result<Response, Problem> {
    let plan: Plan = body.parse(SHAPE)?;
    let asked = service.reconciliations.ask(plan);
    let asked = asked.map_err(|busy| Problem::new(Kind::ReconciliationRunning, busy.to_string()))?;
    Ok((StatusCode::ACCEPTED, Json(asked)).into_response())
}

/// Shows the one under way, or the last one.
pub(super) async fn current(State(service): State<Arc<Service>>) -> Result<Json<Reconciliation>, Problem> {
    let none = || Problem::new(Kind::NoReconciliation, "none was asked for since the service was started");
    service.reconciliations.current().map(Json).ok_or_else(none)
}
