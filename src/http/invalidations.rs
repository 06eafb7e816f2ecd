//! `POST /v1/invalidations`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Service,
    body::JsonBody,
    outcome::{JobEntry, Source, entries},
    prefer::Wait,
    problem::{Kind, Problem},
};
use crate::{
    event::Entity,
    ingest::{Asked, Rejection},
    queue::Tally,
    relations::StoreError,
};

/// The most entities in one request.
const MOST_ENTITIES: usize = 1000;
/// How many entities a dry run counts at a time.
const COUNTED_AT_ONCE: usize = 8;
const SHAPE: &str =
    r#"an object like {"entities": [{"resource_type": "Posts", "entity_id": 42}], "dry_run": false}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    entities: Vec<RawEntity>,
    #[serde(default)]
    dry_run: bool,
}

/// An entity that is not checked yet: what its parts have to be, [`Entity`] knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntity {
    resource_type: Value,
    entity_id: Value,
}

#[derive(Serialize)]
struct Queued {
    jobs: Vec<JobEntry>,
}

#[derive(Serialize)]
struct Waited {
    #[serde(flatten)]
    tally: Tally,
    jobs: Vec<JobEntry>,
}

#[derive(Serialize)]
struct DryRun {
    dry_run: bool,
    /// Relationships of all the entities.
    matched: u64,
    entities: Vec<Matched>,
}

#[derive(Serialize)]
struct Matched {
    resource_type: Box<str>,
    entity_id: Box<str>,
    matched: u64,
}

/// Removes every copy of some entities, or only counts them.
pub(super) async fn post(
    State(service): State<Arc<Service>>,
    wait: Wait,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request: Request = body.parse(SHAPE)?;
    let entities = entities(request.entities)?;
    if request.dry_run {
        service.ingest.known(&entities)?;
        return Ok(Json(dry_run(&service, entities).await?).into_response());
    }
    let asked = service.ingest.invalidate(entities, wait.0).await?;
    Ok(answer(&service, asked, &wait, Source::Entity))
}

/// What became of jobs that were asked for: queued, or waited for and ended.
pub(super) fn answer(
    service: &Service,
    (jobs, ended): Asked,
    wait: &Wait,
    source: impl Fn(usize) -> Source,
) -> Response {
    let (views, tally) = ended.unzip();
    let jobs = entries(jobs, source, views.as_deref(), &service.queue);
    match tally {
        Some(tally) => (wait.applied(), Json(Waited { tally, jobs })).into_response(),
        None => (StatusCode::ACCEPTED, wait.applied(), Json(Queued { jobs })).into_response(),
    }
}

/// All of the entities, or a problem that lists those that are not valid: an invalidation is taken whole.
fn entities(raw: Vec<RawEntity>) -> Result<Vec<Entity>, Problem> {
    if raw.is_empty() {
        return Err(Problem::new(Kind::InvalidBody, "`entities` is empty"));
    }
    if raw.len() > MOST_ENTITIES {
        let detail = format!("`entities` holds {}, more than the {MOST_ENTITIES} of one request", raw.len());
        return Err(Problem::new(Kind::BatchTooLong, detail));
    }
    let (mut valid, mut rejected) = (Vec::with_capacity(raw.len()), Vec::new());
    for (index, entity) in raw.into_iter().enumerate() {
        match Entity::from_json(entity.resource_type, entity.entity_id) {
            Ok(entity) => valid.push(entity),
            Err(error) => rejected.push(Rejection { index, detail: error.to_string() }),
        }
    }
    if rejected.is_empty() {
        return Ok(valid);
    }
    let detail = format!("{} of the entities are not valid; nothing was queued", rejected.len());
    Err(Problem::invalid_entities(detail, rejected))
}

async fn dry_run(service: &Service, entities: Vec<Entity>) -> Result<DryRun, StoreError> {
    let count = async |entity: Entity| {
        let matched = service.lookup.count(&entity).await?;
        Ok::<_, StoreError>(Matched { resource_type: entity.resource_type, entity_id: entity.id, matched })
    };
    let counts = stream::iter(entities).map(count).buffered(COUNTED_AT_ONCE);
    let entities: Vec<Matched> = counts.try_collect().await?;
    Ok(DryRun { dry_run: true, matched: entities.iter().map(|entity| entity.matched).sum(), entities })
}
