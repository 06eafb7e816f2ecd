//! What decache depends on, how it is, and what to do.

use std::sync::Arc;

use axum::{extract::State, response::Html};
use maud::{Markup, html};

use super::{
    advice,
    format::{badge, counted},
    layout::{View, page as laid_out, status_word},
    table::{Column, head, table, text, wide},
    visitor::Visitor,
};
use crate::{
    caches::Regard,
    health::{Readiness, Reason},
    http::Service,
};

/// A row of the page.
struct Component {
    name: String,
    /// What it is, in a few words.
    what: String,
    /// What is wrong with it.
    troubles: Vec<String>,
    advice: Markup,
}

pub(super) async fn page(State(service): State<Arc<Service>>, visitor: Visitor) -> Html<String> {
    let view = service.queue.view();
    let readiness = service.health.readiness(view.suspended);
    let (class, word) = status_word(readiness.status);
    let components = components(&service, &readiness);
    let main = html! {
        h1 { "Health" }
        div #health data-live {
            p.lead { (badge(class, word)) " " (meaning(&readiness)) }
            (table("What decache depends on", &COLUMNS, components.iter().map(row)))
            @if !view.owed.is_empty() {
                h2 { "What waits for caches" }
                ul { @for (cache, owed) in &view.owed { li { b { (cache) } ": " a href="/console/jobs?state=failing" { (counted(owed.jobs as u64, "job", "jobs")) } } } }
            }
        }
        p.muted { "The same for programs: " a href="/readyz" { "/readyz" } ", " a href="/metrics" { "/metrics" } " (scope read)." }
    };
    laid_out(&service, &visitor, View::Health, "Health", &main)
}

fn meaning(readiness: &Readiness) -> &'static str {
    use crate::health::Status;
    match readiness.status {
        Status::Ok => "Events are taken, and all that decache depends on answers.",
        Status::Degraded => "Events are taken; some of the work waits.",
        Status::Unavailable => "Events are not taken: clients get 503 and have to ask again.",
    }
}

const COLUMNS: [Column; 5] =
    [text("State"), head("Component"), wide("What is wrong"), wide("What to do"), wide("What it is")];

fn row(component: &Component) -> [Markup; COLUMNS.len()] {
    let is_well = component.troubles.is_empty();
    [
        if is_well { badge("ok", "well") } else { badge("bad", "in trouble") },
        html! { (component.name) },
        html! { @for trouble in &component.troubles { p { (trouble) } } },
        html! { @if !is_well { (component.advice) } },
        html! { (component.what) },
    ]
}

/// What there always is, then whatever else is in trouble.
fn components(service: &Service, readiness: &Readiness) -> Vec<Component> {
    let caches = (service.console.caches)();
    let mut named = vec![
        ("journal".to_owned(), journal(readiness.journal).to_owned()),
        ("store".to_owned(), format!("the index, {}", service.console.store)),
        ("index".to_owned(), "whether the index knows every copy".to_owned()),
        ("invalidations".to_owned(), "whether what was changed is removed".to_owned()),
        ("configuration".to_owned(), "whether what is written runs".to_owned()),
    ];
    named.extend(caches.iter().map(|(name, regard)| (format!("cache:{name}"), cache(*regard).to_owned())));
    let others = readiness.reasons.iter().map(|reason| &reason.component);
    let mut more: Vec<String> =
        others.filter(|name| named.iter().all(|(known, _)| known != *name)).cloned().collect();
    more.dedup();
    named.extend(more.into_iter().map(|name| (name, String::new())));
    let component = |(name, what): (String, String)| {
        let is_its = |reason: &&Reason| reason.component == name;
        let troubles = readiness.reasons.iter().filter(is_its).map(|reason| reason.detail.clone()).collect();
        Component { advice: advice::of_component(&name), name, what, troubles }
    };
    named.into_iter().map(component).collect()
}

fn journal(level: &str) -> &'static str {
    match level {
        "fsync" => "an accepted event outlives a crash of the machine (fsync)",
        "buffered" => "an accepted event outlives a crash of the process (buffered)",
        _ => "there is none: what waits is lost with the process",
    }
}

fn cache(regard: Option<Regard>) -> &'static str {
    match regard {
        Some(Regard::Suspect) => "a cache, left out until it answers: then it is emptied",
        Some(Regard::Returning) => "a cache, which is being emptied",
        Some(Regard::Trusted) | None => "a cache that copies live in",
    }
}
