//! The configuration that runs, without its secrets, and what the last reload has said.

use std::sync::Arc;

use axum::{extract::State, response::Html};
use maud::{Markup, html};

use super::{
    format::exactly,
    layout::{View, note, page as laid_out},
    visitor::Visitor,
};
use crate::{
    clock::Timestamp,
    config::{RELOADABLE, SECTIONS},
    http::Service,
    in_force::{Attempt, Outcome, Told},
};

pub(super) async fn page(State(service): State<Arc<Service>>, visitor: Visitor) -> Html<String> {
    let told = service.console.in_force.told();
    let running = service.health.readiness(0).configuration;
    let now = service.clock.now();
    let absent: Vec<&str> = SECTIONS
        .into_iter()
        .filter(|name| told.sections.iter().all(|(section, _)| section != name))
        .collect();
    let main = html! {
        h1 { "Configuration" }
        div #configuration data-live {
            dl.facts {
                @if let Some(running) = &running {
                    dt { "Generation" } dd { (running.generation) @if running.generation == 1 { ", as it was at the start" } }
                    dt { "Hash" } dd { code { (running.hash) } }
                }
                @if let Some(since) = told.since { dt { "In force since" } dd { (exactly(since, now)) } }
            }
            h2 { "Last reload" }
            (last(told.last.as_ref(), now))
            h2 { "In force" }
            p.muted { "As it is written, with what the environment overrides. Secrets are hidden, and of URLs all but whom they lead to." }
            (sections(&told))
            @if !absent.is_empty() {
                p { "At their defaults, as config/default.yaml explains them: " @for name in &absent { code { (name) } " " } }
            }
        }
    };
    laid_out(&service, &visitor, View::Configuration, "Configuration", &main)
}

fn sections(told: &Told) -> Markup {
    html! {
        @for (name, text) in &told.sections {
            details.section open {
                summary { (name) @if !RELOADABLE.contains(&name.as_str()) { span.muted { " a change needs a restart" } } }
                pre tabindex="0" aria-label=(name) { (text) }
            }
        }
    }
}

fn last(attempt: Option<&Attempt>, now: Timestamp) -> Markup {
    let Some(attempt) = attempt else {
        return html! { p.empty { "There was none. A change of the file is taken over within seconds, or at once on SIGHUP." } };
    };
    let (class, told) = match attempt.outcome {
        Outcome::Applied => ("ok", "A change was taken over"),
        Outcome::Unchanged => ("idle", "Nothing had changed that a reload changes"),
        Outcome::Refused => ("bad", "A change was refused; what ran before runs on"),
    };
    note(
        class,
        &html! {
            p { b { (told) } ", " (exactly(attempt.at, now)) "." }
            @if !attempt.details.is_empty() { ul { @for detail in &attempt.details { li { (detail) } } } }
            @if !attempt.restart.is_empty() {
                p { b { "A restart is needed for" } }
                ul { @for field in &attempt.restart { li { code { (field) } } } }
            }
        },
    )
}
