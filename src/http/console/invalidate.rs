//! An invalidation by hand: counted first, then confirmed.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use maud::{Markup, html};

use super::{
    entity::entity as parse,
    failure::Failure,
    form::Sent,
    format::{entity_href, grouped},
    layout::{View, entity_fields, note, page as laid_out, token},
    visitor::Visitor,
};
use crate::{
    event::Entity,
    http::{Service, query::Query},
    ingest::QueuedJob,
};

/// How long an answer waits for the job: mostly it is done by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    query: Query,
) -> Result<Html<String>, Failure> {
    let (resource_type, id) =
        (query.get("resource_type").unwrap_or_default(), query.get("entity_id").unwrap_or_default());
    Ok(shown(&service, &visitor, (resource_type, id), &html! {}))
}

fn shown(
    service: &Service,
    visitor: &Visitor,
    (resource_type, id): (&str, &str),
    result: &Markup,
) -> Html<String> {
    let main = html! {
        h1 { "Invalidate" }
        p { "Removes every copy of an entity from every cache, as its update would. First it is counted; nothing is removed before you confirm." }
        @if !visitor.may_act { (note("idle", &html! { p { "Your key may count. To remove, sign in with one that has the scope " code { "admin" } "." } })) }
        form.row method="post" action="/console/invalidate" {
            (token(visitor))
            (entity_fields(service, resource_type, id))
            button type="submit" { "Count the copies" }
        }
        (result)
    };
    laid_out(service, visitor, View::Invalidate, "Invalidate", &main)
}

/// Counts, or does it where that is confirmed.
pub(super) async fn post(State(service): State<Arc<Service>>, sent: Sent) -> Result<Response, Failure> {
    let field = |name| sent.fields.get(name).unwrap_or_default();
    let entity = parse(field("resource_type"), field("entity_id"))?;
    service.ingest.known(std::slice::from_ref(&entity))?;
    if field("confirmed") == "yes" {
        if !sent.visitor.may_act {
            return Err(Failure::MayOnlyLook);
        }
        let (jobs, _) = service.ingest.invalidate(vec![entity], Some(PATIENCE)).await?;
        tracing::info!("an invalidation is asked for by the console");
        return Ok(shown_job(&jobs).into_response());
    }
    let copies = service.lookup.count(&entity).await?;
    let of = (&*entity.resource_type, &*entity.id);
    Ok(shown(&service, &sent.visitor, of, &counted(&sent.visitor, &entity, copies)).into_response())
}

/// Leads to the job that was queued.
pub(super) fn shown_job(jobs: &[QueuedJob]) -> Redirect {
    match jobs {
        [job, ..] => Redirect::to(&format!("/console/jobs/{}", job.id)),
        [] => Redirect::to("/console/jobs"),
    }
}

fn counted(visitor: &Visitor, entity: &Entity, copies: u64) -> Markup {
    html! {
        section.counted aria-live="polite" {
            h2 { (grouped(copies)) @if copies == 1 { " copy is" } @else { " copies are" } " known of " (entity.resource_type) " " b { (entity.id) } }
            @if copies == 0 {
                p { "There is nothing to remove that decache knows of. It can be invalidated all the same: reads that are under way lose their copies, too." }
            }
            @if copies > 0 { p { a href=(entity_href(&entity.resource_type, &entity.id)) { "See who holds " @if copies == 1 { "it" } @else { "them" } } } }
            @if visitor.may_act {
                form method="post" action="/console/invalidate" {
                    (token(visitor))
                    input type="hidden" name="resource_type" value=(entity.resource_type);
                    input type="hidden" name="entity_id" value=(entity.id);
                    input type="hidden" name="confirmed" value="yes";
                    button.danger type="submit" { @match copies {
                        0 => "Invalidate it all the same",
                        1 => "Remove it from every cache",
                        _ => "Remove them from every cache",
                    } }
                }
            }
        }
    }
}
