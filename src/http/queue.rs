//! `GET /v1/queue`: the queue at a glance.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;

use super::Service;
use crate::job::Cause;

#[derive(Serialize)]
pub(super) struct Answer {
    queued: usize,
    running: usize,
    dead: usize,
    dead_by_reason: BTreeMap<Cause, usize>,
    bytes: usize,
    by_priority: BTreeMap<u16, usize>,
    by_topic: BTreeMap<Arc<str>, usize>,
    oldest_age_ms: u64,
    oldest_age_ms_by_priority: BTreeMap<u16, u64>,
}

/// Shows the queue.
pub(super) async fn get(State(service): State<Arc<Service>>) -> Json<Answer> {
    let view = service.queue.view();
    let oldest = view.oldest_by_priority.into_iter();
    Json(Answer {
        queued: view.queued,
        running: view.running,
        dead: view.dead,
        dead_by_reason: view.dead_by_cause,
        bytes: view.bytes,
        by_priority: view.by_priority,
        by_topic: view.by_topic,
        oldest_age_ms: millis(view.oldest_age),
        oldest_age_ms_by_priority: oldest.map(|(priority, age)| (priority, millis(age))).collect(),
    })
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
