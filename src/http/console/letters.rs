//! Dead letters, one or all of one reason: tried again, or discarded.

use std::sync::Arc;

use axum::{extract::State, response::Redirect};

use super::{
    failure::Failure,
    form::{Acted, Sent},
    jobs::which,
};
use crate::{
    dead_letters::{Fate, LetterError, Settled},
    http::{
        Service,
        problem::{Kind, Problem},
    },
    job::JobId,
};

pub(super) async fn retry(
    State(service): State<Arc<Service>>,
    Acted(sent): Acted,
) -> Result<Redirect, Failure> {
    let id = id(&sent)?;
    service.dead_letters.retry(id).await?;
    tracing::info!(job.id = %id, "a dead letter is retried by the console");
    Ok(Redirect::to(&format!("/console/jobs/{id}")))
}

pub(super) async fn discard(
    State(service): State<Arc<Service>>,
    Acted(sent): Acted,
) -> Result<Redirect, Failure> {
    let id = id(&sent)?;
    service.dead_letters.discard(id).await?;
    tracing::info!(job.id = %id, "a dead letter is discarded by the console");
    Ok(Redirect::to("/console/jobs?state=dead&told=discarded&count=1"))
}

pub(super) async fn retry_all(state: State<Arc<Service>>, acted: Acted) -> Result<Redirect, Failure> {
    all(state, acted, Fate::Retried).await
}

pub(super) async fn discard_all(state: State<Arc<Service>>, acted: Acted) -> Result<Redirect, Failure> {
    all(state, acted, Fate::Discarded).await
}

/// A reason has to be named: nobody is to discard what they did not mean.
async fn all(
    State(service): State<Arc<Service>>,
    Acted(sent): Acted,
    fate: Fate,
) -> Result<Redirect, Failure> {
    let which = which(&sent.fields)?;
    if which.cause.is_none() {
        return Err(Problem::new(Kind::InvalidParameter, "a reason is missing").into());
    }
    let Settled { settled, remaining } = service.dead_letters.settle_all(fate, &which).await?;
    let told = format!("/console/jobs?state=dead&told={}&count={settled}&left={remaining}", fate.as_str());
    Ok(Redirect::to(&told))
}

fn id(sent: &Sent) -> Result<JobId, LetterError> {
    sent.fields.get("id").and_then(|id| id.parse().ok()).ok_or(LetterError::Unknown)
}
