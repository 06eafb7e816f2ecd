//! One job, with all that is known of it.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Html,
};
use maud::{Markup, html};

use super::{
    advice,
    failure::Failure,
    format::{about, counted, exactly, grouped, span, state},
    jobs::actions,
    layout::{View, note, page as laid_out},
    visitor::Visitor,
};
use crate::{
    clock::Timestamp,
    dead_letters::LetterError,
    http::Service,
    queue::{JobState, JobView, Tally},
};

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    id: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, Failure> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    let job = id.and_then(|id| service.queue.job(id)).ok_or(LetterError::Unknown)?;
    let now = service.clock.now();
    let main = html! {
        h1 { "Job" }
        div #job data-live {
            (note(class(&job), &html! { p { (meaning(&job)) } }))
            (facts(&job, now))
            (actions(&job, &visitor))
        }
    };
    Ok(laid_out(&service, &visitor, View::Jobs, "Job", &main))
}

fn class(job: &JobView) -> &'static str {
    match job.state {
        JobState::Dead => "bad",
        JobState::Queued | JobState::Running if job.attempts > 0 => "warn",
        JobState::Done => "ok",
        _ => "idle",
    }
}

/// What the state means for whoever asks, and what to do.
fn meaning(job: &JobView) -> String {
    let why = job.cause.map(advice::of_cause).unwrap_or_default();
    let failed = format!("failed {}", counted(job.attempts.into(), "time", "times"));
    match job.state {
        JobState::Dead => {
            let then = job.cause.map_or("", advice::of_letters);
            format!("It {failed} and was given up; its copy was removed, so nothing old is served. {why} {then}")
        }
        JobState::Queued | JobState::Running if job.attempts > 0 && job.job_type.fans_out() => {
            format!("It has {failed}, and is tried until it is done: until then old copies may be served. {why} The rest it does by itself.")
        }
        JobState::Queued | JobState::Running if job.attempts > 0 => {
            format!("It has {failed}, and is tried again by itself. {why}")
        }
        JobState::Queued => "It waits for its turn, or until it is due.".to_owned(),
        JobState::Running => "A worker has it.".to_owned(),
        JobState::Done if job.job_type.fans_out() => "Its work is done.".to_owned(),
        JobState::Done => {
            "Its work is done: the read is recorded, or its copy was removed because something had changed since.".to_owned()
        }
        JobState::Superseded => "A newer job with the same key took its place and its work.".to_owned(),
        JobState::Expired => "It was not worth starting any more; its copy was removed instead.".to_owned(),
    }
}

fn facts(job: &JobView, now: Timestamp) -> Markup {
    let waits = |at: Timestamp| span(at.since(job.accepted_at).as_secs_f64());
    html! {
        dl.facts {
            dt { "Id" } dd { code { (job.id) } }
            dt { "State" } dd { (state(job)) }
            dt { "Does" } dd { (job.job_type) }
            dt { "About" } dd { (about(job)) }
            dt { "Topic" } dd { (job.topic) }
            dt { "Priority" } dd { (job.priority) }
            dt { "Accepted" } dd { (exactly(job.accepted_at, now)) }
            @if let Some(at) = job.finished_at { dt { "Ended" } dd { (exactly(at, now)) ", after " (waits(at)) } }
            @if job.attempts > 0 { dt { "Failed" } dd { (counted(job.attempts.into(), "time", "times")) } }
            @if let Some(cause) = job.cause { dt { "Reason" } dd { code { (cause.as_str()) } } }
            @if let Some(error) = &job.last_error { dt { "Last error" } dd { (error) } }
            @if let Some(id) = job.superseded_by { dt { "Superseded by" } dd { a href={ "/console/jobs/" (id) } { code { (id) } } } }
            @if let Some(tally) = &job.tally { dt { "Copies" } dd { (told(tally)) } }
        }
    }
}

/// What a fan-out has done.
pub(super) fn told(tally: &Tally) -> Markup {
    html! {
        (grouped(tally.deleted)) " removed, " (counted(tally.absent, "was", "were")) " not there"
        @if tally.failed > 0 { ", " b { (grouped(tally.failed)) " could not be removed" } }
        " (" (counted(tally.matched, "relationship", "relationships")) ")"
    }
}
