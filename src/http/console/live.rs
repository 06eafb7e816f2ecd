//! What invalidations and revocations have done, as it happens.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{Html, IntoResponse, Response},
};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    failure::Failure,
    format::{entity, holder, to_the_second},
    layout::{View, page as laid_out},
    table::{self, Column, number, table, text},
    visitor::Visitor,
};
use crate::{
    feed::{Feed, Next, Place},
    http::{Service, query::Query, stream},
};

/// Events that a page begins with.
const SHOWN: usize = 50;
const COLUMNS: [Column; 6] =
    [text("Ended"), text("Does"), text("About"), number("Removed"), number("Not there"), number("Holders")];

pub(super) async fn page(State(service): State<Arc<Service>>, visitor: Visitor) -> Html<String> {
    let (events, place) = latest(&service.feed);
    // What `console.js` fills with an event that comes.
    let empty = [html! { time {} }, html! {}, html! { a.about {} }, html! {}, html! {}, html! {}];
    let main = html! {
        h1 { "Live" }
        p { "What invalidations and revocations of this process have removed, the latest first." }
        p { span #stream.badge.idle role="status" data-stream={ "/console/live/events?after=" (place) } { "reload to see more" } }
        p.empty #none hidden[!events.is_empty()] { "Nothing was invalidated since the start. Change something, or use the page Invalidate." }
        (table("Invalidations", &COLUMNS, events.iter().rev().map(row)))
        template #event { (table::row(&COLUMNS, &empty)) }
    };
    laid_out(&service, &visitor, View::Live, "Live", &main)
}

/// The stream, for the page. Who is not signed in any more is told so by its status.
pub(super) async fn events(
    State(service): State<Arc<Service>>,
    visitor: Result<Visitor, Failure>,
    mut headers: HeaderMap,
    query: Query,
) -> Result<Response, Failure> {
    let Ok(visitor) = visitor else { return Ok(StatusCode::UNAUTHORIZED.into_response()) };
    const LAST: HeaderName = HeaderName::from_static("last-event-id");
    let after = query.get("after").and_then(|after| HeaderValue::from_str(after).ok());
    if let Some(after) = after.filter(|_| !headers.contains_key(&LAST)) {
        headers.insert(LAST, after);
    }
    Ok(stream::open(&service, &headers, None, visitor.over)?)
}

/// The last events, and the place behind them.
fn latest(feed: &Feed) -> (Vec<Value>, String) {
    let (mut place, mut events) = (Place::nowhere(), Vec::new());
    loop {
        match feed.after(&mut place) {
            Next::Event(event) => events.push(event),
            Next::Gap => {}
            Next::Nothing | Next::End => break,
        }
    }
    let shown = &events[events.len().saturating_sub(SHOWN)..];
    let shown = shown.iter().filter_map(|event| serde_json::from_str(&event.json).ok()).collect();
    (shown, place.to_string())
}

fn row(event: &Value) -> [Markup; COLUMNS.len()] {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let count = |name: &str| html! { (event[name].as_u64().unwrap_or_default()) };
    let holders = event["holders"].as_array().map_or(0, Vec::len);
    let more = if event["more_holders"] == true { " and more" } else { "" };
    [
        html! { time datetime=(text("finished_at")) { (to_the_second(text("finished_at"))) } },
        html! { (text("job_type")) @if event["recheck"] == true { ", again" } },
        html! { @match event["holder"].as_str() { Some(id) => (holder(id)), None => (entity(text("resource_type"), text("entity_id"))) } },
        count("deleted"),
        count("absent"),
        html! { (holders) (more) },
    ]
}
