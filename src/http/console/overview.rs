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
    layout::{View, note, page as laid_out, status_word, table},
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
            div.charts { (charts(&points)) }
            div.columns {
                (by_priority(&view))
                (by_state(&service, &view))
            }
        }
    };
    Ok(laid_out(&service, &visitor, View::Overview, "Overview", &main))
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
    html! {
        div.tiles {
            (tile("Status", &badge(class, word), "/console/health"))
            (tile("Events per second", &html! { (number(rate)) }, "/console/live"))
            (tile("Jobs waiting", &html! { (grouped(view.queued as u64)) }, "/console/jobs?state=queued"))
            (tile("Oldest is ready for", &html! { (span(oldest)) }, "/console/jobs?state=queued"))
            (tile("Failing", &html! { (grouped(view.suspended as u64)) }, "/console/jobs?state=failing"))
            (tile("Dead letters", &html! { (grouped(view.dead as u64)) }, "/console/jobs?state=dead"))
            (tile("Event to deletion, 95 %", &html! { (slowest.map_or_else(|| "–".to_owned(), span)) }, "/console/live"))
        }
    }
}

fn tile(name: &str, value: &Markup, href: &str) -> Markup {
    html! { a.tile href=(href) { span { (name) } b { (value) } } }
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
    let age = |priority| view.oldest_by_priority.get(priority).map(|age| span(age.as_secs_f64()));
    table(
        "Waiting by priority",
        &["Priority", "#Jobs", "#Oldest is ready for"],
        &html! {
            @if view.by_priority.is_empty() { tr { td colspan="3" { "Nothing waits." } } }
            @for (priority, jobs) in &view.by_priority {
                tr {
                    td { (priority) @if *priority == 0 { span.muted { " (most urgent)" } } }
                    td.number { (grouped(*jobs as u64)) }
                    td.number { (age(priority).unwrap_or_else(|| "not due yet".to_owned())) }
                }
            }
        },
    )
}

fn by_state(service: &Service, view: &QueueView) -> Markup {
    const ENDS: [JobState; 4] = [JobState::Done, JobState::Superseded, JobState::Expired, JobState::Dead];
    let ended = |state| {
        JobType::ALL.iter().map(|job_type| (service.job_counts)(*job_type, state)).collect::<Vec<u64>>()
    };
    table(
        "Jobs by state",
        &["State", "#cache", "#invalidate", "#revoke", "#All"],
        &html! {
            tr { th scope="row" { a href="/console/jobs?state=queued" { "queued" } } td colspan="3" {} td.number { (grouped(view.queued as u64)) } }
            tr { th scope="row" { a href="/console/jobs?state=running" { "running" } } td colspan="3" {} td.number { (grouped(view.running as u64)) } }
            @for state in ENDS {
                @let counts = ended(state);
                tr {
                    th scope="row" { a href={ "/console/jobs?state=" (state.as_str()) } { (state.as_str()) } span.muted { " since the start" } }
                    @for count in &counts { td.number { (grouped(*count)) } }
                    td.number { (grouped(counts.iter().sum())) }
                }
            }
        },
    )
}
