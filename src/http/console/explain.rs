//! What would come of an event, and why. What was pasted may hold a token, so it is not shown again.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::header,
    response::Html,
};
use maud::{Markup, html};

use super::{
    form::Sent,
    format::{badge, counted, entity, holder, sentence, span},
    layout::{View, note, page as laid_out, token},
    table::{Column, table, text, wide},
    visitor::Visitor,
};
use crate::{
    explain::{Explanation, FollowUp, JobTold, MOST_EXPLAINED, Outcome},
    http::{Limits, Service, problem::Problem, reading::Reader},
    rules::{MatchOutcome, MatchTold, RuleTold, TopicTold},
};

/// Forms that an event may have, by their media types.
const FORMS: [(&str, &str); 4] = [
    ("application/json", "JSON: one event, or an array"),
    ("application/x-ndjson", "NDJSON: an event on each line"),
    ("application/cloudevents+json", "a CloudEvent"),
    ("application/cloudevents-batch+json", "an array of CloudEvents"),
];
const EXAMPLE: &str = r#"{"action_type": "Update", "resource_type": "Posts", "entity_id": 42}"#;

pub(super) async fn page(State(service): State<Arc<Service>>, visitor: Visitor) -> Html<String> {
    let empty = html! { p.empty { "Nothing is explained yet." } };
    shown(&service, &visitor, FORMS[0].0, &empty)
}

/// Says it, and queues nothing.
pub(super) async fn post(State(service): State<Arc<Service>>, sent: Sent) -> Html<String> {
    let chosen = FORMS.iter().find(|(form, _)| sent.fields.get("form") == Some(*form)).unwrap_or(&FORMS[0]).0;
    let read = read(&service, chosen, sent.fields.get("event").unwrap_or_default()).await;
    let result = match read {
        Ok(explanations) => html! { @for explanation in &explanations { (explained(explanation)) } },
        Err(problem) => {
            note("bad", &html! { p { b { "It cannot be read." } " " (sentence(&problem.into_detail())) } })
        }
    };
    shown(&service, &sent.visitor, chosen, &result)
}

async fn read(service: &Service, form: &str, text: &str) -> Result<Vec<Explanation>, Problem> {
    let knows = |name: &str| service.ingest.knows(name);
    let limits = Limits { events: service.limits.events.min(MOST_EXPLAINED), ..service.limits };
    let reader = Reader { limits: &limits, clock: service.clock, knows: &knows };
    let mut request = Request::new(Body::from(text.to_owned()));
    request
        .headers_mut()
        .extend([form.parse().ok().map(|form| (header::CONTENT_TYPE, form))].into_iter().flatten());
    Ok(service.ingest.explain(reader.read(request).await?))
}

fn shown(service: &Service, visitor: &Visitor, chosen: &str, result: &Markup) -> Html<String> {
    let main = html! {
        h1 { "Explain" }
        p { "Paste an event as the API posts it, to see which rules match, which jobs it makes, and what their keys are. Nothing is queued, and what you paste is not kept." }
        form.stack method="post" action="/console/explain" data-swap="result" autocomplete="off" {
            (token(visitor))
            label { span { "Event" }
                textarea name="event" rows="8" required spellcheck="false" placeholder=(EXAMPLE) {}
            }
            label { span { "Form" }
                select name="form" { @for (form, name) in FORMS { option value=(form) selected[form == chosen] { (name) } } }
            }
            button type="submit" { "Explain" }
        }
        section #result aria-live="polite" { (result) }
    };
    laid_out(service, visitor, View::Explain, "Explain", &main)
}

fn explained(it: &Explanation) -> Markup {
    let (class, word) = match it.outcome {
        Outcome::Accepted => ("ok", "accepted"),
        Outcome::Ignored => ("warn", "accepted and ignored"),
        Outcome::Rejected => ("bad", "rejected"),
    };
    html! {
        article.explained {
            h2 {
                "Event " (it.index + 1) " " (badge(class, word))
                @if let Some(event) = &it.event { " " span.name { (event.action_type) " of " (entity(&event.resource_type, &event.entity_id)) } }
            }
            p { @match it.outcome {
                Outcome::Accepted => { "It makes " (counted(it.jobs.len() as u64, "job", "jobs")) "." }
                Outcome::Ignored | Outcome::Rejected => (sentence(&it.detail)),
            } }
            @if !it.rules.is_empty() { (table("Rules (job_scheduler.job_rules)", &RULES, it.rules.iter().map(rule))) }
            @for topic in &it.topics { (entries(topic)) }
            @for (index, told) in it.jobs.iter().enumerate() { (job(&format!("Job {}", index + 1), told)) }
        }
    }
}

const RULES: [Column; 6] =
    [text("Verdict"), text("Rule"), text("action_type"), text("resource_type"), text("Topic"), wide("Why")];
const ENTRIES: [Column; 5] =
    [text("Verdict"), text("Entry"), text("action_type"), text("resource_type"), wide("Why")];

fn rule(told: &RuleTold) -> [Markup; RULES.len()] {
    [
        verdict(told.matched),
        place(told.rule),
        html! { code { (told.action_type) } },
        html! { code { (told.resource_type) } },
        html! { (told.topic) },
        html! { (why(&told.mismatches)) },
    ]
}

/// A place in a list of the configuration, which is counted from 0 there.
fn place(index: usize) -> Markup {
    html! { code { "[" (index) "]" } }
}

fn verdict(matched: bool) -> Markup {
    if matched { badge("ok", "matches") } else { badge("idle", "no") }
}

fn why(mismatches: &[&str]) -> String {
    match mismatches {
        [] => String::new(),
        [one] => format!("{one} does not match"),
        several => format!("{} do not match", several.join(" and ")),
    }
}

fn entries(topic: &TopicTold) -> Markup {
    let caption = format!("Topic {} (job_scheduler.enricher.topics)", topic.topic);
    table(&caption, &ENTRIES, topic.matches.iter().map(entry))
}

fn entry(told: &MatchTold) -> [Markup; ENTRIES.len()] {
    let pattern = |text: &Option<String>| html! { @match text { Some(text) => code { (text) }, None => span.muted { "any" } } };
    let (badge, why) = match told.outcome {
        MatchOutcome::Won => (badge("ok", "makes the job"), String::new()),
        MatchOutcome::NoMatch => (badge("idle", "no"), why(&told.mismatches)),
        MatchOutcome::NotTried => (badge("idle", "not tried"), "an earlier one wins".to_owned()),
    };
    [badge, place(told.entry), pattern(&told.action_type), pattern(&told.resource_type), html! { (why) }]
}

fn job(name: &str, told: &JobTold) -> Markup {
    html! {
        section.job {
            h3 { (name) ": " (told.job_type) " in " (told.topic) }
            dl.facts {
                dt { "About" } dd { (told.resource_type) " " b { (told.entity_id.as_deref().unwrap_or("–")) } }
                dt { "Priority" } dd { (told.priority) @if told.superceedable { ", may be superseded" } @else { ", is never superseded" } }
                dt { "Starts" } dd { @if told.due > 0.0 { "after " (span(told.due)) } @else { "at once" } @if let Some(expires) = told.expires { ", is not worth starting " (span(expires)) " after that" } }
                @if let Some(copy) = &told.copy {
                    dt { "Copy lives" } dd { (span(copy.life)) @if let Some(id) = &copy.holder { ", of holder " (holder(id)) } }
                }
                dt { "Key" } dd { @if let Some(key) = &told.key { code { (key) } " of " } (told.key_fields.join(", ")) }
                @if !told.cache_keys.is_empty() {
                    dt { "Keys of copies" } dd { ul.plain { @for key in &told.cache_keys { li { code { (key) } } } } }
                }
            }
            @for told in &told.follow_ups { (follow_up(told)) }
            @if told.follow_ups_left_out { p.muted { "More follow-ups are left out." } }
        }
    }
}

fn follow_up(told: &FollowUp) -> Markup {
    let name = format!("Follow-up (job_manager.job_rules[{}])", told.rule);
    match (&told.job, told.skipped) {
        (Some(next), _) => job(&name, next),
        (None, Some(reason)) => html! { p { (name) ": skipped, " (reason) " " (told.missing.join(", ")) } },
        (None, None) => html! { p.muted { (name) ": " (why(&told.mismatches)) } },
    }
}
