//! One entity: who holds it, and what has become of its invalidations.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};

use super::{
    advice,
    failure::Failure,
    format::{counted, encoded, entity_href, exactly, grouped, holder, sentence, when},
    jobs::{ABOUT, COLUMNS, row},
    layout::{View, entity_fields, next_page, note, page as laid_out},
    table::{Column, table, text, wide},
    visitor::Visitor,
};
use crate::{
    clock::Timestamp,
    event::Entity,
    http::{
        Service,
        problem::{Kind, Problem},
        query::Query,
    },
    job::JobType,
    lookup::{EntityView, HoldersPage},
    queue::{About, JobState, JobView},
};

/// Holders on a page.
const ON_A_PAGE: usize = 50;
/// Jobs of each kind that are shown.
const JOBS: usize = 20;

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    query: Query,
) -> Result<Response, Failure> {
    let (resource_type, id) =
        (query.get("resource_type").unwrap_or_default(), query.get("entity_id").unwrap_or_default());
    let (status, found) = match ((resource_type, id), entity(resource_type, id)) {
        (("", ""), _) => {
            (StatusCode::OK, html! { p.empty { "Name a resource type and an id, as they stand in events." } })
        }
        (_, Ok(entity)) => (StatusCode::OK, found(&service, &visitor, &entity, query.get("cursor")).await?),
        (_, Err(problem)) => (StatusCode::BAD_REQUEST, mistyped(problem)),
    };
    let main = html! {
        h1 { "Entity" }
        form.row method="get" action="/console/entity" role="search" {
            (entity_fields(&service, resource_type, id))
            button type="submit" { "Look up" }
        }
        (found)
    };
    Ok((status, laid_out(&service, &visitor, View::Entity, "Entity", &main)).into_response())
}

/// What is wrong with what was typed, beside the fields where it can be mended.
pub(super) fn mistyped(problem: Problem) -> Markup {
    note("bad", &html! { p role="alert" { (sentence(&problem.into_detail())) } })
}

/// An entity by what somebody has typed.
pub(super) fn entity(resource_type: &str, id: &str) -> Result<Entity, Problem> {
    Entity::new(resource_type.trim(), id)
        .map_err(|error| Problem::new(Kind::InvalidParameter, error.to_string()))
}

async fn found(
    service: &Service,
    visitor: &Visitor,
    entity: &Entity,
    cursor: Option<&str>,
) -> Result<Markup, Failure> {
    let view = service.lookup.entity(entity).await?;
    let holders = service.lookup.holders(entity, cursor, ON_A_PAGE).await?;
    let jobs = service.queue.about(entity, false, JOBS);
    let now = service.clock.now();
    let href = entity_href(&entity.resource_type, &entity.id);
    let next = holders.next.as_ref().map(|next| format!("{href}&cursor={}", encoded(next)));
    let invalidate = format!(
        "/console/invalidate?resource_type={}&entity_id={}",
        encoded(&entity.resource_type),
        encoded(&entity.id)
    );
    Ok(html! {
        h2.name { (entity.resource_type) " " b { (entity.id) } }
        div #entity data-live {
            (verdict(service, entity, &view, &jobs, now))
            dl.facts {
                dt { "Copies known" } dd { (grouped(view.holders)) }
                dt { "Last invalidated" } dd { @match view.last_invalidated { Some(at) => (exactly(at, now)), None => "not as far back as is remembered (the horizon of its type)" } }
                dt { "Generation" } dd { code { (view.generation) } span.muted { " (for APIs that send one)" } }
            }
            @if visitor.may_act && service.ingest.knows(&entity.resource_type) {
                p { a.button href=(invalidate) { "Invalidate it" } }
            }
            h2 { "Who holds it" }
            (holders_table(&holders, now))
            (next_page(next.as_deref(), cursor.is_none(), &href))
            h2 { "Jobs about it" }
            (jobs_table(&jobs, now, visitor))
        }
    })
}

/// Why copies are still there, or that none should be.
fn verdict(service: &Service, entity: &Entity, view: &EntityView, jobs: &About, now: Timestamp) -> Markup {
    let removes = |job: &&JobView| job.job_type == JobType::Invalidate;
    if !service.ingest.knows(&entity.resource_type) {
        return note(
            "warn",
            &html! { p {
                b { "This type has no entry in " code { "resources" } "." } " So nobody knows what its copies are called, and none is removed. \
                 Look for a misspelt type, or add it to the configuration."
            } },
        );
    }
    if let Some(job) = jobs.alive.iter().filter(removes).find(|job| job.attempts > 0) {
        return note(
            "bad",
            &html! {
                p { b { "An invalidation has not succeeded: copies of before may still be served." } }
                p { "It was accepted " (when(job.accepted_at, now)) ", has failed " (counted(job.attempts.into(), "time", "times")) ", and is tried until it is done. "
                    "Last error: " (job.last_error.as_deref().unwrap_or("none")) }
                p { @if let Some(cause) = job.cause { (advice::of_cause(cause)) " " } a href={ "/console/jobs/" (job.id) } { "See the job" } }
            },
        );
    }
    if let Some(job) = jobs.alive.iter().find(removes) {
        return note(
            "warn",
            &html! { p {
                b { "An invalidation is under way." } " It was accepted " (when(job.accepted_at, now)) ". " a href={ "/console/jobs/" (job.id) } { "See the job" }
            } },
        );
    }
    if let Some(job) = jobs
        .alive
        .iter()
        .chain(&jobs.ended)
        .find(|job| job.state == JobState::Dead || job.attempts > 0 && job.state == JobState::Queued)
    {
        return note(
            "warn",
            &html! { p {
                b { "A read of it could not be recorded" } " (" (job.last_error.as_deref().unwrap_or("no error is known")) "), so its copy was or will be removed. "
                @if let Some(cause) = job.cause { (advice::of_cause(cause)) " " }
                a href={ "/console/jobs/" (job.id) } { "See the job" }
            } },
        );
    }
    match view.last_invalidated {
        Some(at) => note(
            "ok",
            &html! { p {
                b { "Its last invalidation is done." } " It was " (when(at, now)) "; whoever is listed below has read it since, or an instant before."
            } },
        ),
        None => note(
            "idle",
            &html! { p {
                b { "Nothing has invalidated it lately." } " If it was changed, its event did not come or made no job: paste it on the page "
                a href="/console/explain" { "Explain" } "."
            } },
        ),
    }
}

fn holders_table(holders: &HoldersPage, now: Timestamp) -> Markup {
    const COLUMNS: [Column; 4] = [text("User"), text("Holder"), text("Copy expires"), wide("Variant")];
    let rows = holders.items.iter().map(|item| {
        [
            html! { (item.user_id.as_deref().unwrap_or("–")) },
            holder(&item.holder.to_string()),
            exactly(item.expires_at, now),
            html! { @if let Some(key) = &item.cache_key { code { (key) } } },
        ]
    });
    html! {
        @if holders.items.is_empty() { p.empty { "Nobody, as far as decache knows." } } @else {
            (table("Holders", &COLUMNS, rows))
        }
    }
}

/// Jobs that are alive, then those that have ended. What they are about, the page says.
pub(super) fn jobs_table(jobs: &About, now: Timestamp, visitor: &Visitor) -> Markup {
    let rows = jobs.alive.iter().chain(&jobs.ended).map(|job| {
        let mut cells = row(job, now, visitor);
        cells[ABOUT] = html! {};
        cells
    });
    html! {
        @if jobs.alive.is_empty() && jobs.ended.is_empty() {
            p.empty { "None is queued or running, and of those that have ended none is kept." }
        } @else {
            (table("Jobs, the latest first", &COLUMNS, rows))
            @if jobs.more_alive > 0 { p.muted { "and " (grouped(jobs.more_alive as u64)) " more that wait" } }
        }
    }
}
