//! `POST /v1/events/explain`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, Request, State},
};
use serde::Serialize;

use super::{Limits, Service, problem::Problem, reading::Reader};
use crate::explain::{Explanation, MOST_EXPLAINED};

#[derive(Serialize)]
pub(super) struct Answer {
    events: Vec<Explanation>,
}

/// The same events that `POST /v1/events` takes, but fewer: what is said of each is many times as long.
pub(super) struct Events(super::reading::Read);

impl FromRequest<Arc<Service>> for Events {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let knows = |name: &str| service.ingest.knows(name);
        let limits = Limits { events: service.limits.events.min(MOST_EXPLAINED), ..service.limits };
        let reader = Reader { limits: &limits, clock: service.clock, knows: &knows };
        reader.read(request).await.map(Self)
    }
}

/// Says what would come of events, and queues nothing.
pub(super) async fn post(State(service): State<Arc<Service>>, Events(events): Events) -> Json<Answer> {
    Json(Answer { events: service.ingest.explain(events) })
}
