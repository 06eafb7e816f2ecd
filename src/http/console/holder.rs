//! One holder: what they hold, and its end.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{Html, Redirect},
};
use maud::{Markup, html};

use super::{
    entity::jobs_table,
    failure::Failure,
    form::{Acted, Sent},
    format::{encoded, entity, when},
    invalidate::shown_job,
    layout::{View, confirmed, next_page, page as laid_out, table, token},
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

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    query: Query,
) -> Result<Html<String>, Failure> {
    let found = match query.get("holder").filter(|text| !text.is_empty()) {
        None => {
            html! { p.empty { "Name a holder id, as lists of holders show it; or paste the access token that it stands for." } }
        }
        Some(text) => found(&service, &visitor, parse(text)?, query.get("cursor")).await?,
    };
    let main = html! {
        h1 { "Holder" }
        div.columns {
            form.stack method="get" action="/console/holder" role="search" {
                label { span { "Holder id" }
                    input name="holder" required autocomplete="off" pattern="[0-9a-fA-F]{32}" title="32 hex digits";
                }
                button type="submit" { "Look up" }
            }
            form.stack method="post" action="/console/holder" autocomplete="off" {
                (token(&visitor))
                label { span { "or an access token" }
                    input type="password" name="access_token" required autocomplete="off" maxlength=(AccessToken::MAX_BYTES);
                }
                button type="submit" { "Look up by token" }
                p.muted { "It is sent in the body, kept nowhere, and not shown again." }
            }
        }
        (found)
    };
    Ok(laid_out(&service, &visitor, View::Holder, "Holder", &main))
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
pub(super) async fn look_up(State(service): State<Arc<Service>>, sent: Sent) -> Result<Redirect, Failure> {
    let text = sent.fields.get("access_token").unwrap_or_default();
    if !(1..=AccessToken::MAX_BYTES).contains(&text.len()) {
        let detail = format!("an access token has 1 to {} bytes", AccessToken::MAX_BYTES);
        return Err(Problem::new(Kind::InvalidParameter, detail).into());
    }
    let holder = service.lookup.holder_id(&AccessToken::new(text));
    Ok(Redirect::to(&format!("/console/holder?holder={holder}")))
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
                (table("Held entities", &["Entity", "Copy lives until", "Variant"], &html! {
                    @for item in &page.items {
                        tr {
                            td { (entity(&item.entity.resource_type, &item.entity.id)) }
                            td { (when(item.expires_at, now)) }
                            td.wide { @if let Some(key) = &item.cache_key { code { (key) } } @else { span.muted { "the usual key" } } }
                        }
                    }
                }))
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
