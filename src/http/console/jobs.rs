//! Jobs by state: what waits, what fails, and dead letters with what to do about them.

use std::sync::Arc;

use axum::{extract::State, response::Html};
use maud::{Markup, html};

use super::{
    advice,
    failure::Failure,
    format::{about, counted, encoded, grouped, state as state_badge, when},
    layout::{View, confirmed, next_page, note, page as laid_out, token},
    table::{Column, head, number, table, text, wide},
    visitor::Visitor,
};
use crate::{
    clock::Timestamp,
    http::{
        Service,
        problem::{Kind, Problem},
        query::Query,
    },
    job::{Cause, JobId},
    queue::{JobState, JobView, QueueView, Which},
};

/// Jobs on a page.
const ON_A_PAGE: usize = 50;

/// What a list is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// Jobs that wait for another attempt.
    Failing,
    State(JobState),
}

/// A list of jobs.
struct List {
    name: &'static str,
    listed: Listed,
    /// What is in it, and what that means.
    what: &'static str,
    /// What it means that nothing is.
    empty: &'static str,
}

const LISTS: [List; 7] = [
    List {
        name: "failing",
        listed: Listed::Failing,
        what: "Jobs that have failed and are tried again: invalidations and revocations until they are done.",
        empty: "No job waits for another attempt: nothing is stuck.",
    },
    List {
        name: "dead",
        listed: Listed::State(JobState::Dead),
        what: "Reads that could not be recorded, and were given up. Their copies were removed: nothing old is served.",
        empty: "There are no dead letters: no read has failed too often.",
    },
    List {
        name: "queued",
        listed: Listed::State(JobState::Queued),
        what: "Jobs that wait for their turn, until they are due, or to be tried again.",
        empty: "Nothing waits.",
    },
    List {
        name: "running",
        listed: Listed::State(JobState::Running),
        what: "Jobs that workers have just now.",
        empty: "Nothing runs just now; jobs take milliseconds.",
    },
    List {
        name: "done",
        listed: Listed::State(JobState::Done),
        what: "Jobs whose work is done, the last of them.",
        empty: "Nothing was done since the start. Does the API post events? Try the page Explain.",
    },
    List {
        name: "superseded",
        listed: Listed::State(JobState::Superseded),
        what: "Jobs whose work a newer one with the same key took over, the last of them.",
        empty: "No job was superseded by a newer one of its kind.",
    },
    List {
        name: "expired",
        listed: Listed::State(JobState::Expired),
        what: "Jobs that were not worth starting any more, the last of them. Their copies were removed.",
        empty: "No job has expired.",
    },
];

pub(super) async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    query: Query,
) -> Result<Html<String>, Failure> {
    let view = service.queue.view();
    let usual = match (view.suspended, view.dead) {
        (1.., _) => "failing",
        (0, 1..) => "dead",
        (0, 0) => "queued",
    };
    let word = query.get("state").unwrap_or(usual);
    let Some(List { name, listed, what, empty }) = LISTS.into_iter().find(|list| list.name == word) else {
        return Err(invalid("there is no such list of jobs").into());
    };
    let from =
        query.get("cursor").map(|text| text.parse().map_err(|_| invalid("the page is not one of ours")));
    let which = which(&query)?;
    let (jobs, next) = list(&service, listed, &which, from.transpose()?);
    let order = if listed.has_ended() { "Jobs, the latest first" } else { "Jobs, the oldest first" };
    let is_dead = listed == Listed::State(JobState::Dead) && view.dead > 0;
    let here = |more: &str| format!("/console/jobs?state={name}{}{more}", narrowed(&which));
    let next = next.map(|id| here(&format!("&cursor={id}")));
    let now = service.clock.now();
    let main = html! {
        h1 { "Jobs" }
        (told(&query))
        div #jobs data-live {
            (tabs(name, &view))
            @if jobs.is_empty() && !is_dead { p.empty { (empty) } } @else { p.muted { (what) } }
            @if is_dead { (reasons(&view, &visitor)) (filters(&which)) }
            @if jobs.is_empty() && is_dead { p.empty { "None is like that." } }
            @if !jobs.is_empty() { (table(order, &COLUMNS, jobs.iter().map(|job| row(job, now, &visitor)))) }
            (next_page(next.as_deref(), query.get("cursor").is_none(), &here("")))
        }
    };
    Ok(laid_out(&service, &visitor, View::Jobs, "Jobs", &main))
}

impl Listed {
    /// Whether it is one of those of which the last are of interest.
    fn has_ended(self) -> bool {
        matches!(self, Self::State(JobState::Done | JobState::Superseded | JobState::Expired))
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

fn list(
    service: &Service,
    listed: Listed,
    which: &Which,
    from: Option<JobId>,
) -> (Vec<JobView>, Option<JobId>) {
    let limit = ON_A_PAGE + 1;
    let mut jobs = match listed {
        Listed::Failing => service.queue.failing(from, limit),
        Listed::State(JobState::Dead) => service.queue.letters(which, from, limit),
        Listed::State(state) if listed.has_ended() => service.queue.last_ended(state, from, limit),
        Listed::State(state) => service.queue.jobs(Some(state), from, limit),
    };
    let more = jobs.len() > ON_A_PAGE;
    jobs.truncate(ON_A_PAGE);
    let next = jobs.last().filter(|_| more).map(|last| last.id);
    (jobs, next)
}

/// Which dead letters are meant, by the fields of a page or of a form.
pub(super) fn which(fields: &Query) -> Result<Which, Problem> {
    let given = |name| fields.get(name).filter(|text| !text.is_empty());
    let cause =
        given("reason").map(|word| Cause::parse(word).ok_or_else(|| invalid("there is no such reason")));
    Ok(Which {
        cause: cause.transpose()?,
        resource_type: given("resource_type").map(Into::into),
        topic: given("topic").map(Into::into),
    })
}

fn narrowed(which: &Which) -> String {
    let fields = [
        ("reason", which.cause.map(Cause::as_str)),
        ("resource_type", which.resource_type.as_deref()),
        ("topic", which.topic.as_deref()),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value?))));
    given.collect()
}

/// What the last form has done, for the page that it leads to.
fn told(query: &Query) -> Markup {
    let count = |name| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let sentence = match (query.get("told"), count("count"), count("left")) {
        (Some("discarded"), Some(count), left) => format!("{count} discarded{}.", of_these(left)),
        (Some("retried"), Some(count), left) => {
            format!("{} tried again{}.", counted(count, "is", "are"), of_these(left))
        }
        _ => return html! {},
    };
    note("ok", &html! { p role="status" { (sentence) } })
}

fn of_these(left: Option<u64>) -> String {
    left.filter(|left| *left > 0).map(|left| format!("; {left} of these are left")).unwrap_or_default()
}

fn tabs(current: &str, view: &QueueView) -> Markup {
    let count = |listed| match listed {
        Listed::Failing => Some(view.suspended),
        Listed::State(JobState::Dead) => Some(view.dead),
        Listed::State(JobState::Queued) => Some(view.queued),
        Listed::State(JobState::Running) => Some(view.running),
        Listed::State(_) => None,
    };
    html! {
        nav.tabs aria-label="Lists of jobs" {
            ul {
                @for list in &LISTS {
                    li {
                        a href={ "/console/jobs?state=" (list.name) } aria-current=[(list.name == current).then_some("page")] {
                            (list.name) @if let Some(count) = count(list.listed) { " " span.count { (grouped(count as u64)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Dead letters by why they died.
fn reasons(view: &QueueView, visitor: &Visitor) -> Markup {
    const COLUMNS: [Column; 4] = [head("Reason"), number("Letters"), wide("What to do"), text("All of them")];
    let rows = view.dead_by_cause.iter().map(|(cause, count)| {
        [
            html! { a href={ "/console/jobs?state=dead&reason=" (cause.as_str()) } { (cause.as_str()) } },
            html! { (grouped(*count as u64)) },
            html! { (advice::of_cause(*cause)) " " (advice::of_letters(*cause)) },
            for_all(*cause, *count, visitor),
        ]
    });
    table("Dead letters by reason", &COLUMNS, rows)
}

fn for_all(cause: Cause, count: usize, visitor: &Visitor) -> Markup {
    let fields = html! { (token(visitor)) input type="hidden" name="reason" value=(cause.as_str()); };
    html! {
        @if visitor.may_act {
            div.actions {
                form method="post" action="/console/jobs/retry-all" {
                    (fields) button type="submit" aria-label={ "Retry all of " (cause.as_str()) } { "Retry all" }
                }
                (confirmed("Discard all", &format!("Forget {} of {}? What they are about has no copy any more.", counted(count as u64, "dead letter", "dead letters"), cause.as_str()), &html! {
                    form method="post" action="/console/jobs/discard-all" {
                        (fields) button.danger type="submit" { "Discard them" }
                    }
                }))
            }
        } @else { span.muted { "needs the scope admin" } }
    }
}

fn filters(which: &Which) -> Markup {
    html! {
        form.row method="get" action="/console/jobs" {
            input type="hidden" name="state" value="dead";
            label { span { "Reason" }
                select name="reason" {
                    option value="" { "any" }
                    @for cause in Cause::ALL { option value=(cause.as_str()) selected[which.cause == Some(cause)] { (cause.as_str()) } }
                }
            }
            label { span { "Resource type" } input name="resource_type" value=[which.resource_type.as_deref()] maxlength="64"; }
            label { span { "Topic" } input name="topic" value=[which.topic.as_deref()]; }
            button.quiet type="submit" { "Show" }
        }
    }
}

pub(super) const COLUMNS: [Column; 9] = [
    text("Job"),
    text("State"),
    text("About"),
    number("Priority"),
    number("Failed"),
    number("Removed"),
    wide("Last error"),
    text("Accepted"),
    text("Actions"),
];
/// The place of what a job is about.
pub(super) const ABOUT: usize = 2;

pub(super) fn row(job: &JobView, now: Timestamp, visitor: &Visitor) -> [Markup; COLUMNS.len()] {
    [
        html! { a href={ "/console/jobs/" (job.id) } title=(job.id) { (job.job_type) } },
        state_badge(job),
        about(job),
        html! { (job.priority) },
        html! { @if job.attempts > 0 { (grouped(job.attempts.into())) } },
        html! { @if let Some(tally) = job.tally.filter(|_| job.finished_at.is_some()) { (grouped(tally.deleted)) } },
        last_error(job),
        when(job.accepted_at, now),
        actions(job, visitor),
    ]
}

fn last_error(job: &JobView) -> Markup {
    html! {
        @if let Some(cause) = job.cause { code { (cause.as_str()) } " " }
        @if let Some(error) = &job.last_error { (error) }
    }
}

/// What can be done about a dead letter.
pub(super) fn actions(job: &JobView, visitor: &Visitor) -> Markup {
    let fields = html! { (token(visitor)) input type="hidden" name="id" value=(job.id); };
    html! {
        @if job.state == JobState::Dead && visitor.may_act {
            div.actions {
                form method="post" action="/console/jobs/retry" {
                    (fields) button type="submit" aria-label={ "Retry job " (job.id) } { "Retry" }
                }
                (confirmed("Discard", "Forget this dead letter? Its copy is gone already.", &html! {
                    form method="post" action="/console/jobs/discard" { (fields) button.danger type="submit" { "Discard it" } }
                }))
            }
        }
    }
}
