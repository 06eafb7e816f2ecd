//! `GET /v1/entities/...`: an entity at a glance.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    Service,
    problem::Problem,
    query::Query,
    target::{PARAMETERS, Target},
};

#[derive(Serialize)]
pub(super) struct Answer {
    resource_type: Box<str>,
    entity_id: Box<str>,
    holders: u64,
    last_invalidated: Option<String>,
    generation: u64,
}

/// Shows an entity; one that nobody read has zero holders.
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Target(entity): Target,
    query: Query,
) -> Result<Json<Answer>, Problem> {
    query.only(&PARAMETERS)?;
    let view = service.lookup.entity(&entity).await?;
    Ok(Json(Answer {
        resource_type: entity.resource_type,
        entity_id: entity.id,
        holders: view.holders,
        last_invalidated: view.last_invalidated.map(|at| at.to_string()),
        generation: view.generation,
    }))
}
