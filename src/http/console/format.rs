//! Numbers, times and links as people read them.

use std::time::Duration;

use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    clock::Timestamp,
    job::JobType,
    queue::{JobState, JobView},
};

const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As it stands in a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// A number with as many digits as matter.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => grouped(value.round() as u64),
        value if value >= 100.0 || value == value.round() => format!("{value:.0}"),
        value if value >= 10.0 => without_zeros(&format!("{value:.1}")),
        value => without_zeros(&format!("{value:.2}")),
    }
}

/// A fraction without what says nothing at its end.
fn without_zeros(fraction: &str) -> String {
    fraction.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many there are of what is called one thing alone and another together.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// `12345` as `12 345`, with spaces that do not break.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A time span in its largest unit.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        s if s < 0.001 => format!("{} µs", number((s * 1e6).round())),
        s if s < 1.0 => format!("{} ms", number((s * 1e3).round())),
        s if s < 120.0 => format!("{} s", number((s * 10.0).round() / 10.0)),
        s if s < 7200.0 => format!("{} min", (s / 60.0).round()),
        s if s < 172_800.0 => format!("{} h", (s / 3600.0).round()),
        s => format!("{} days", (s / 86_400.0).round()),
    }
}

/// A point in time by how far it is from now; the time itself where one points at it.
pub(super) fn when(at: Timestamp, now: Timestamp) -> Markup {
    let told = match at > now {
        true => format!("in {}", whole(at.since(now))),
        false => format!("{} ago", whole(now.since(at))),
    };
    html! { time datetime=(at) title=(at) { (told) } }
}

/// The same with the time itself, to be held against logs.
pub(super) fn exactly(at: Timestamp, now: Timestamp) -> Markup {
    html! { (when(at, now)) " " span.muted { "(" (to_the_second(&at.to_string())) ")" } }
}

/// A time as people read it. `assets/console/console.js` does the same.
pub(super) fn to_the_second(time: &str) -> String {
    let seconds = time.split_once('.').map_or(time, |(seconds, _)| seconds);
    format!("{} UTC", seconds.trim_end_matches('Z').replacen('T', " ", 1))
}

/// A sentence of the API, as one that stands alone. One that begins with a field's name keeps that.
pub(super) fn sentence(text: &str) -> String {
    if text.split(' ').next().is_some_and(|word| word.contains('_')) {
        return format!("{text}.");
    }
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    let end = if text.ends_with('.') { "" } else { "." };
    first.chain(characters).chain(end.chars()).collect()
}

fn whole(distance: Duration) -> String {
    span(distance.as_secs_f64().round())
}

/// A link to what is known of an entity.
pub(super) fn entity(resource_type: &str, id: &str) -> Markup {
    let href = entity_href(resource_type, id);
    html! { a.about href=(href) { (resource_type) " " b { (id) } } }
}

/// Where that is.
pub(super) fn entity_href(resource_type: &str, id: &str) -> String {
    format!("/console/entity?resource_type={}&entity_id={}", encoded(resource_type), encoded(id))
}

/// A link to what is known of a holder.
pub(super) fn holder(id: &str) -> Markup {
    html! { a.about href={ "/console/holder?holder=" (encoded(id)) } { code { (id) } } }
}

/// A link to what a job is about.
pub(super) fn about(job: &JobView) -> Markup {
    match job.job_type {
        JobType::Revoke => html! { "holder " (holder(&job.entity_id)) },
        JobType::Cache | JobType::Invalidate => entity(&job.resource_type, &job.entity_id),
    }
}

/// A job's state, and whether it is to be worried about.
pub(super) fn state(job: &JobView) -> Markup {
    let (class, word) = match job.state {
        JobState::Dead => ("bad", "dead"),
        JobState::Queued if job.attempts > 0 => ("warn", "failing"),
        JobState::Done => ("ok", "done"),
        state => ("idle", state.as_str()),
    };
    badge(class, word)
}

/// A word in its colour.
pub(super) fn badge(class: &str, word: &str) -> Markup {
    html! { span class={ "badge " (class) } { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let told = [0.0, 0.001, 0.123, 7.6, 8.999, 4.0, 12.04, 12.34, 123.4, 9999.0, 12_345.6].map(number);
        assert_eq!(told, ["0", "0", "0.12", "7.6", "9", "4", "12", "12.3", "123", "9999", "12\u{202f}346"]);
        assert_eq!(grouped(1_000_000), "1\u{202f}000\u{202f}000");
    }

    #[test]
    fn spans_are_in_their_largest_unit() {
        let told = [0.0, 0.000_25, 0.0123, 1.26, 90.0, 3600.0, 86_400.0, 200_000.0].map(span);
        assert_eq!(told, ["0 s", "250 µs", "12 ms", "1.3 s", "90 s", "60 min", "24 h", "2 days"]);
    }

    #[test]
    fn a_time_has_its_zone_and_what_is_told_of_is_counted() {
        assert_eq!(to_the_second("2026-11-27T20:41:03.123Z"), "2026-11-27 20:41:03 UTC");
        assert_eq!([0, 1, 2].map(|count| counted(count, "job", "jobs")), ["0 jobs", "1 job", "2 jobs"]);
        assert_eq!(sentence("no job has this id"), "No job has this id.");
        assert_eq!(sentence("`limit` is missing."), "`limit` is missing.");
        assert_eq!(sentence("entity_id is missing"), "entity_id is missing.");
    }

    #[test]
    fn what_stands_in_a_link_cannot_leave_it() {
        let link = entity("Posts", "a&b=\"<x>/../\u{e9}").into_string();
        assert!(link.contains("entity_id=a%26b%3D%22%3Cx%3E%2F..%2F%C3%A9\""), "{link}");
        assert!(link.contains("a&amp;b=&quot;&lt;x&gt;/../\u{e9}"), "{link}");
    }
}
