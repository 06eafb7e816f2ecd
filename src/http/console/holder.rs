//! One holder: what they hold, and its end.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
};
use maud::{Markup, html};

use super::{
    entity::{jobs_table, mistyped},
    failure::Failure,
    form::{Acted, Sent},
    format::{encoded, entity, exactly},
    invalidate::shown_job,
    layout::{View, confirmed, next_page, page as laid_out, token},
    table::{Column, table, text, wide},
    visitor::Visitor,
};
use crate::{
    event::AccessToken,
    http::{
        Service,
        problem::{Kind, Problem},
        query::Query,
    },
    job::Job,
    secret::HolderId,
};

/// Entities on a page.
const ON_A_PAGE: usize = 50;
/// Revocations that are shown.
const JOBS: usize = 20;
const COLUMNS: [Column; 3] = [text("Entity"), text("Copy expires"), wide("Variant")];

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    query: Query,
) -> Result<Response, Failure> {
    let named = query.get("holder").filter(|text| !text.is_empty()).map(parse);
    let (status, found) = match named {
        None => (
            StatusCode::OK,
            html! { p.empty { "Name a holder id, as lists of holders show it; or paste the access token that it stands for." } },
        ),
        Some(Ok(holder)) => (StatusCode::OK, found(&service, &visitor, holder, query.get("cursor")).await?),
        Some(Err(problem)) => (StatusCode::BAD_REQUEST, mistyped(problem)),
    };
    Ok((status, shown(&service, &visitor, &found)).into_response())
}

fn shown(service: &Service, visitor: &Visitor, found: &Markup) -> Html<String> {
    let main = html! {
        h1 { "Holder" }
        div.columns {
            form.row method="get" action="/console/holder" role="search" {
                label { span { "Holder id" }
                    input name="holder" required autocomplete="off" pattern="[0-9a-fA-F]{32}" title="32 hex digits";
                }
                button type="submit" { "Look up" }
            }
            form.row method="post" action="/console/holder" autocomplete="off" {
                (token(visitor))
                label { span { "or access token" }
                    input type="password" name="access_token" required autocomplete="off" maxlength=(AccessToken::MAX_BYTES);
                }
                button type="submit" { "Look up" }
                p.muted { "It is kept nowhere, and not shown again." }
            }
        }
        (found)
    };
    laid_out(service, visitor, View::Holder, "Holder", &main)
}

/// What stands there instead of an id may be a token: it is not repeated.
fn parse(text: &str) -> Result<HolderId, Problem> {
    text.trim().parse().map_err(|_| {
        Problem::new(
            Kind::InvalidParameter,
            "that is no holder id, which has 32 hex digits; tokens go into the other field",
        )
    })
}

/// Leads from a token to its holder.
pub(super) async fn look_up(State(service): State<Arc<Service>>, sent: Sent) -> Response {
    match AccessToken::parse(sent.fields.get("access_token").unwrap_or_default().to_owned()) {
        Ok(token) => {
            let holder = service.lookup.holder_id(&token);
            Redirect::to(&format!("/console/holder?holder={holder}")).into_response()
        }
        Err(error) => {
            let told = mistyped(Problem::new(Kind::InvalidParameter, error.to_string()));
            (StatusCode::BAD_REQUEST, shown(&service, &sent.visitor, &told)).into_response()
        }
    }
}

async fn found(
    service: &Service,
    visitor: &Visitor,
    holder: HolderId,
    cursor: Option<&str>,
) -> Result<Markup, Failure> {
    let page = service.lookup.entities_of(holder, cursor, ON_A_PAGE).await?;
    let jobs = service.queue.about(&Job::of_holder(holder), true, JOBS);
    let now = service.clock.now();
    let href = format!("/console/holder?holder={holder}");
    let next = page.next.as_ref().map(|next| format!("{href}&cursor={}", encoded(next)));
    let rows = page.items.iter().map(|item| {
        [
            entity(&item.entity.resource_type, &item.entity.id),
            exactly(item.expires_at, now),
            html! { @if let Some(key) = &item.cache_key { code { (key) } } },
        ]
    });
    Ok(html! {
        h2.name { "Holder " b { (holder) } }
        @if visitor.may_act {
            (confirmed("Revoke", "Remove every copy that this holder has, and those of reads that are under way? Their token may read again.", &html! {
                form method="post" action="/console/holder/revoke" {
                    (token(visitor))
                    input type="hidden" name="holder" value=(holder);
                    button.danger type="submit" { "Revoke it" }
                }
            }))
        }
        div #holder data-live {
            h2 { "What they hold" }
            @if page.items.is_empty() {
                p.empty { "Nothing, as far as decache knows" @if page.next.is_some() { " on this page; there are more" } "." }
            } @else {
                (table("Held entities", &COLUMNS, rows))
            }
            (next_page(next.as_deref(), cursor.is_none(), &href))
            h2 { "Revocations" }
            (jobs_table(&jobs, now, visitor))
        }
    })
}

/// Removes every copy of a holder.
pub(super) async fn revoke(
    State(service): State<Arc<Service>>,
    Acted(sent): Acted,
) -> Result<Redirect, Failure> {
    let holder = parse(sent.fields.get("holder").unwrap_or_default())?;
    service.lookup.needs_by_holder()?;
    let (jobs, _) = service.ingest.revoke(holder, Some(super::invalidate::PATIENCE)).await?;
    tracing::info!(%holder, "revoked by the console");
    Ok(shown_job(&jobs))
}
