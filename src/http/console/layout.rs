//! What all pages have in common.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use super::{form::TOKEN, format::badge, visitor::Visitor};
use crate::{
    health::{Readiness, Status},
    http::Service,
};

/// A place in the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    Jobs,
    Entity,
    Holder,
    Invalidate,
    Explain,
    Live,
    Configuration,
    Health,
}

const NAVIGATION: [(View, &str, &str); 9] = [
    (View::Overview, "/", "Overview"),
    (View::Jobs, "/console/jobs", "Jobs"),
    (View::Entity, "/console/entity", "Entity"),
    (View::Holder, "/console/holder", "Holder"),
    (View::Invalidate, "/console/invalidate", "Invalidate"),
    (View::Explain, "/console/explain", "Explain"),
    (View::Live, "/console/live", "Live"),
    (View::Configuration, "/console/configuration", "Configuration"),
    (View::Health, "/console/health", "Health"),
];

/// A page of the console for somebody who may look.
pub(super) fn page(
    service: &Service,
    visitor: &Visitor,
    view: View,
    title: &str,
    main: &Markup,
) -> Html<String> {
    let readiness = service.health.readiness(service.queue.suspended());
    document(
        title,
        &html! {
            a.skip href="#main" { "Skip to the content" }
            header {
                div.bar {
                    a.brand href="/" { "decache" }
                    span #status data-live { (status(&readiness)) }
                    (account(visitor))
                }
                nav aria-label="Views" {
                    ul {
                        @for (place, href, name) in NAVIGATION {
                            li { a href=(href) aria-current=[(place == view).then_some("page")] { (name) } }
                        }
                    }
                }
            }
            main #main tabindex="-1" { (main) }
            footer {
                span { "decache " (env!("CARGO_PKG_VERSION")) }
                @if let Some(running) = &readiness.configuration {
                    a href="/console/configuration" { "configuration " (running.generation) ", " code { (running.hash) } }
                }
                a href="/docs" { "API" }
            }
        },
    )
}

/// A page without navigation.
pub(super) fn plain(title: &str, main: &Markup) -> Html<String> {
    document(title, &html! { main.plain #main { p.brand { "decache" } (main) } })
}

fn document(title: &str, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · decache" }
                link rel="icon" href="/console/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/console/assets/console.css";
                script src="/console/assets/console.js" defer {}
            }
            body { (body) }
        }
    };
    Html(page.into_string())
}

fn status(readiness: &Readiness) -> Markup {
    let (class, word) = status_word(readiness.status);
    html! { a.status href="/console/health" { (badge(class, word)) } }
}

/// What readiness comes to, for people.
pub(super) fn status_word(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Ok => ("ok", "working"),
        Status::Degraded => ("warn", "degraded"),
        Status::Unavailable => ("bad", "taking no events"),
    }
}

fn account(visitor: &Visitor) -> Markup {
    html! {
        div.account {
            @match &visitor.name {
                Some(name) => {
                    span { b { (name) } @if !visitor.may_act { ", may only look" } }
                    form method="post" action="/console/sign-out" {
                        (token(visitor))
                        button.quiet type="submit" { "Sign out" }
                    }
                }
                None => span { "no API keys: open to whoever reaches it" },
            }
        }
    }
}

/// What shows that a form is the visitor's own.
pub(super) fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(visitor.token); }
}

/// Something to be read before all else.
pub(super) fn note(class: &str, content: &Markup) -> Markup {
    html! { div class={ "note " (class) } { (content) } }
}

/// What leads to the next page of a list.
pub(super) fn next_page(href: Option<&str>, is_first: bool, first: &str) -> Markup {
    html! {
        @if href.is_some() || !is_first {
            p.pages {
                @if !is_first { a href=(first) { "To the beginning" } }
                @if let Some(href) = href { a href=(href) rel="next" { "Next page" } }
            }
        }
    }
}

/// A button that asks once more before it does something that cannot be undone.
pub(super) fn confirmed(label: &str, question: &str, form: &Markup) -> Markup {
    html! {
        details.confirm {
            summary { (label) }
            div { p { (question) } (form) }
        }
    }
}

/// Fields of an entity, and what names its types.
pub(super) fn entity_fields(service: &Service, resource_type: &str, id: &str) -> Markup {
    html! {
        label { span { "Resource type" }
            input name="resource_type" value=(resource_type) list="resource-types" required autocomplete="off" maxlength="64";
        }
        datalist #resource-types { @for name in service.ingest.resource_types() { option value=(name) {} } }
        label { span { "Entity id" }
            input name="entity_id" value=(id) required autocomplete="off" maxlength="1024";
        }
    }
}
