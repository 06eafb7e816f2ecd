//! Is it working, how busy is it, and what is stuck.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use axum::{extract::State, response::Html};
use maud::{Markup, html};

use super::{
    advice,
    chart::{Line, chart},
    failure::Failure,
    format::{badge, grouped, number, span},
    layout::{View, entity_fields, note, page as laid_out, status_word},
    table::{self, Column, head, text},
    visitor::Visitor,
};
use crate::{
    health::{Readiness, Status},
    history::{Point, SPAN},
    http::Service,
    job::JobType,
    queue::{JobState, QueueView},
};

/// The latest rates are of so many points: a minute.
const LATEST: usize = 6;
/// Priorities that are told apart in a chart.
const LINES: usize = 4;
/// What people come with, and the page that answers it.
const QUESTIONS: [(&str, &str); 6] = [
    ("/console/entity", "Who holds a post, and until when? Why is an old copy still there?"),
    ("/console/holder", "What does a token hold? Revoke it."),
    ("/console/jobs", "What is stuck, what has died, and why?"),
    ("/console/explain", "What would come of an event? Why did it do nothing?"),
    ("/console/live", "What is being removed just now?"),
    ("/console/invalidate", "Remove every copy of a post, counted first."),
];

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
) -> Result<Html<String>, Failure> {
    let view = service.queue.view();
    let readiness = service.health.readiness(view.suspended);
    let (points, slowest) = {
        let history = service.console.history.lock().unwrap_or_else(PoisonError::into_inner);
        (history.points(service.clock.tick()), history.latency(0.95, SPAN))
    };
    let main = html! {
        h1 { "Overview" }
        div #overview data-live {
            (troubles(&readiness))
            (tiles(&readiness, &view, &points, slowest))
        }
        form.row method="get" action="/console/entity" role="search" aria-label="Look up an entity" {
            (entity_fields(&service, "", ""))
            button type="submit" { "Who holds it?" }
        }
        div #load data-live {
            div.charts { (charts(&points)) }
            div.columns {
                div {
                    (questions())
                    (by_priority(&view))
                }
                (by_state(&service, &view))
            }
        }
    };
    Ok(laid_out(&service, &visitor, View::Overview, "Overview", &main))
}

fn questions() -> Markup {
    html! {
        section.card aria-labelledby="questions" {
            h2 #questions { "What do you want to know?" }
            ul.plain { @for (href, question) in QUESTIONS { li { a href=(href) { (question) } } } }
        }
    }
}

/// What is wrong, and what to do about it.
fn troubles(readiness: &Readiness) -> Markup {
    html! {
        @if readiness.status == Status::Ok {
            (note("ok", &html! { p { b { "All is well." } " Events are taken, and copies are removed as they should be." } }))
        }
        @for reason in &readiness.reasons {
            (note("warn", &html! {
                p { b { (reason.component) } ": " (reason.detail) }
                p { (advice::of_component(&reason.component)) }
            }))
        }
    }
}

fn tiles(readiness: &Readiness, view: &QueueView, points: &[Point], slowest: Option<f64>) -> Markup {
    let latest = &points[points.len().saturating_sub(LATEST)..];
    let rate = latest.iter().map(|point| point.events_per_second).fold(0.0, |sum, rate| sum + rate)
        / latest.len().max(1) as f64;
    let oldest = view.oldest_age.as_secs_f64();
    let (class, word) = status_word(readiness.status);
    let alarm = |count: usize, class: &'static str| {
        html! { @if count > 0 { b class=(class) { (grouped(count as u64)) } } @else { "0" } }
    };
    html! {
        div.tiles {
            (tile("Status", &badge(class, word), "/console/health"))
            (tile("Events per second", &html! { (number(rate)) }, "/console/live"))
            (tile("Jobs waiting", &html! { (grouped(view.queued as u64)) }, "/console/jobs?state=queued"))
            (tile("Oldest ready job waits", &html! { (span(oldest)) }, "/console/jobs?state=queued"))
            (tile("Failing jobs", &alarm(view.suspended, "bad"), "/console/jobs?state=failing"))
            (tile("Dead letters", &alarm(view.dead, "warn"), "/console/jobs?state=dead"))
            (tile("95 % deleted within, last hour", &html! { (slowest.map_or_else(|| "–".to_owned(), span)) }, "/console/live"))
        }
    }
}

fn tile(name: &str, value: &Markup, href: &str) -> Markup {
    html! { a.tile href=(href) { span { (name) } span.value { (value) } } }
}

fn charts(points: &[Point]) -> Markup {
    let line = |name: &str, value: &dyn Fn(&Point) -> Option<f64>| Line {
        name: name.to_owned(),
        values: points.iter().map(|point| (point.ago.as_secs_f64(), value(point))).collect(),
    };
    let rates = [
        line("events taken", &|point| Some(point.events_per_second)),
        line("jobs ended", &|point| Some(point.ended_per_second)),
    ];
    let depth = [line("waiting", &|point| Some(point.queued as f64))];
    let latency = [line("median", &|point| point.median), line("95 %", &|point| point.slowest)];
    let mut priorities: Vec<u16> = points.iter().flat_map(|point| point.oldest.keys().copied()).collect();
    priorities.sort_unstable();
    priorities.dedup();
    if priorities.is_empty() {
        priorities.push(0);
    }
    let age = |point: &Point, priority| point.oldest.get(&priority).map_or(0.0, Duration::as_secs_f64);
    let of_priority =
        |priority: &u16| line(&format!("priority {priority}"), &|point| Some(age(point, *priority)));
    let oldest: Vec<Line> = priorities.iter().take(LINES).map(of_priority).collect();
    html! {
        (chart("Throughput", &rates, |value| format!("{}/s", number(value))))
        (chart("Jobs waiting", &depth, number))
        (chart("Event to deletion", &latency, span))
        (chart("Oldest job", &oldest, span))
    }
}

fn by_priority(view: &QueueView) -> Markup {
    const COLUMNS: [Column; 3] =
        [text("Priority"), table::number("Jobs"), table::number("Oldest ready job waits")];
    let age = |priority: &u16| view.oldest_by_priority.get(priority).map(|age| span(age.as_secs_f64()));
    let row = |(priority, jobs): (&u16, &usize)| {
        [
            html! { (priority) @if *priority == 0 { span.muted { " (most urgent)" } } },
            html! { (grouped(*jobs as u64)) },
            html! { (age(priority).unwrap_or_else(|| "none is ready".to_owned())) },
        ]
    };
    html! {
        @if !view.by_priority.is_empty() {
            (table::table("Waiting by priority", &COLUMNS, view.by_priority.iter().map(row)))
        }
    }
}

fn by_state(service: &Service, view: &QueueView) -> Markup {
    const ENDS: [JobState; 4] = [JobState::Done, JobState::Superseded, JobState::Expired, JobState::Dead];
    const COLUMNS: [Column; 5] = [
        head("State"),
        table::number("cache"),
        table::number("invalidate"),
        table::number("revoke"),
        table::number("All"),
    ];
    let name =
        |state: JobState| html! { a href={ "/console/jobs?state=" (state.as_str()) } { (state.as_str()) } };
    let now =
        |state, count: usize| [name(state), html! {}, html! {}, html! {}, html! { (grouped(count as u64)) }];
    let ended = |state| {
        let counts = JobType::ALL.map(|job_type| (service.job_counts)(job_type, state));
        let all = counts.iter().sum();
        let [cache, invalidate, revoke] = counts.map(|count| html! { (grouped(count)) });
        [name(state), cache, invalidate, revoke, html! { (grouped(all)) }]
    };
    let rows = [now(JobState::Queued, view.queued), now(JobState::Running, view.running)];
    table::table(
        "Jobs by state (ended ones: since the start)",
        &COLUMNS,
        rows.into_iter().chain(ENDS.into_iter().map(ended)),
    )
}
