//! `GET /v1/jobs` and `/v1/jobs/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use serde::Serialize;

use super::{
    Service,
    problem::{Kind, Problem},
    query::Query,
};
use crate::{
    job::{Cause, JobId},
    queue::{JobState, JobView, Tally, Which},
};

const STATES: [(&str, JobState); 6] = [
    ("queued", JobState::Queued),
    ("running", JobState::Running),
    ("done", JobState::Done),
    ("superseded", JobState::Superseded),
    ("expired", JobState::Expired),
    ("dead", JobState::Dead),
];

#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<JobAnswer>,
    next: Option<String>,
}

#[derive(Serialize)]
pub(super) struct JobAnswer {
    id: String,
    job_type: &'static str,
    topic: Arc<str>,
    resource_type: Box<str>,
    entity_id: Box<str>,
    state: JobState,
    priority: u16,
    attempts: u32,
    reason: Option<Cause>,
    last_error: Option<Box<str>>,
    accepted_at: String,
    finished_at: Option<String>,
    superseded_by: Option<String>,
    tally: Option<Tally>,
}

impl From<JobView> for JobAnswer {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id.to_string(),
            job_type: view.job_type.as_str(),
            topic: view.topic,
            resource_type: view.resource_type,
            entity_id: view.entity_id,
            state: view.state,
            priority: view.priority,
            attempts: view.attempts,
            reason: view.cause,
            last_error: view.last_error,
            accepted_at: view.accepted_at.to_string(),
            finished_at: view.finished_at.map(|at| at.to_string()),
            superseded_by: view.superseded_by.map(|id| id.to_string()),
            tally: view.tally,
        }
    }
}

/// What a page of dead letters may be narrowed down to.
const OF_LETTERS: [&str; 3] = ["reason", "resource_type", "topic"];

/// Shows a page of jobs, oldest first, of one state or of all.
pub(super) async fn list(State(service): State<Arc<Service>>, query: Query) -> Result<Json<Page>, Problem> {
    query.only(&["state", "reason", "resource_type", "topic", "limit", "cursor"])?;
    let (state, limit) = (query.get("state").map(state).transpose()?, query.limit()?);
    let after = query.get("cursor").map(cursor).transpose()?;
    let mut jobs = match state {
        Some(JobState::Dead) => service.queue.letters(&which(&query)?, after, limit + 1),
        _ if OF_LETTERS.iter().any(|name| query.get(name).is_some()) => {
            let detail = format!("`{}` go with `state=dead`", OF_LETTERS.join("`, `"));
            return Err(Problem::new(Kind::InvalidParameter, detail));
        }
        _ => service.queue.jobs(state, after, limit + 1),
    };
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(Page { items: jobs.into_iter().map(JobAnswer::from).collect(), next }))
}

fn which(query: &Query) -> Result<Which, Problem> {
    let cause = query
        .get("reason")
        .map(|word| Cause::parse(word).ok_or_else(|| Problem::new(Kind::InvalidParameter, unknown_reason())));
    let resource_type = query.resource_type()?.map(Into::into);
    Ok(Which { cause: cause.transpose()?, resource_type, topic: query.get("topic").map(Into::into) })
}

/// What to say of a reason that is none.
pub(super) fn unknown_reason() -> String {
    let words: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    format!("`reason` has to be one of {}", words.join(", "))
}

/// Shows one job.
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<JobAnswer>, Problem> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    let job = id.and_then(|id| service.queue.job(id)).ok_or_else(|| {
        Problem::new(
            Kind::UnknownJob,
            "no job has this id, or it was finished so long ago that it is not kept",
        )
    })?;
    Ok(Json(job.into()))
}

fn state(word: &str) -> Result<JobState, Problem> {
    let known = STATES.into_iter().find(|(known, _)| *known == word);
    known.map(|(_, state)| state).ok_or_else(|| {
        let words: Vec<_> = STATES.iter().map(|(known, _)| *known).collect();
        Problem::new(Kind::InvalidParameter, format!("`state` has to be one of {}", words.join(", ")))
    })
}

fn cursor(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| {
        Problem::new(Kind::InvalidCursor, "the cursor is not one that a page of jobs gave as `next`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_asked_for_by_the_word_that_it_is_shown_as() {
        for (word, state) in STATES {
            assert_eq!(serde_json::to_value(state).unwrap(), word);
            assert_eq!(super::state(word).unwrap(), state);
        }
        assert!(state("Queued").is_err());
    }
}
