//! What the service tells about itself: metrics and its contract.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, header::CONTENT_TYPE},
};

use super::Service;

const CONTRACT: &str = include_str!("../../openapi.yaml");

/// Every metric, in Prometheus' text format.
pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (service.metrics)())
}

/// The contract that this interface keeps.
pub(super) async fn openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/yaml")], CONTRACT)
}
