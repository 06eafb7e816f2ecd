//! Explanations for people: a block for each event, with a table of the rules, of each topic's entries, and of the jobs.

use super::{Explanation, FollowUp, JobTold};
use crate::rules::{MatchOutcome, MatchTold, RuleTold};

/// An explanation in lines.
pub fn lines(explanation: &Explanation) -> Vec<String> {
    let what = explanation
        .event
        .as_ref()
        .map(|event| format!(": {} {} {}", event.action_type, event.resource_type, event.entity_id));
    let outcome = format!("{:?}", explanation.outcome).to_lowercase();
    let mut lines = vec![
        format!("event {}{}", explanation.index, what.unwrap_or_default()),
        format!("  {outcome}: {}", explanation.detail),
    ];
    if !explanation.rules.is_empty() {
        lines.push("  job_scheduler.job_rules".to_owned());
        lines.extend(table(4, &explanation.rules.iter().map(rule).collect::<Vec<_>>()));
    }
    for topic in &explanation.topics {
        lines.push(format!("  job_scheduler.enricher.topics.{}", topic.topic));
        lines.extend(table(4, &topic.matches.iter().map(entry).collect::<Vec<_>>()));
    }
    explanation.jobs.iter().for_each(|told| job(told, 2, "job", &mut lines));
    lines
}

fn rule(told: &RuleTold) -> Vec<String> {
    let RuleTold { rule, action_type, resource_type, topic, .. } = told;
    let verdict = if told.matched { "matches".to_owned() } else { no_match(&told.mismatches) };
    vec![
        format!("[{rule}]"),
        format!("action_type {action_type}"),
        format!("resource_type {resource_type}"),
        format!("-> {topic}"),
        verdict,
    ]
}

fn entry(told: &MatchTold) -> Vec<String> {
    let pattern =
        |name: &str, pattern: &Option<String>| format!("{name} {}", pattern.as_deref().unwrap_or("(any)"));
    let verdict = match told.outcome {
        MatchOutcome::Won => "wins".to_owned(),
        MatchOutcome::NoMatch => no_match(&told.mismatches),
        MatchOutcome::NotTried => "not tried: an earlier one wins".to_owned(),
    };
    let (action_type, resource_type) =
        (pattern("action_type", &told.action_type), pattern("resource_type", &told.resource_type));
    vec![format!("[{}]", told.entry), action_type, resource_type, verdict]
}

fn no_match(fields: &[&str]) -> String {
    format!("no: {} does not match", fields.join(" and "))
}

/// A job under a heading, and deeper in what follows it.
fn job(told: &JobTold, indent: usize, heading: &str, lines: &mut Vec<String>) {
    let id = told.entity_id.as_deref().unwrap_or("(known with the secret)");
    lines.push(format!(
        "{:indent$}{heading}: {} {} {id}, in {}",
        "", told.job_type, told.resource_type, told.topic
    ));
    let times = told.expires.map_or("never".to_owned(), |expires| format!("{expires} s after that"));
    let mut rows = vec![
        vec!["priority".to_owned(), told.priority.to_string()],
        vec!["superceedable".to_owned(), told.superceedable.to_string()],
        vec!["due".to_owned(), format!("after {} s", told.due)],
        vec!["expires".to_owned(), times],
        vec!["key".to_owned(), told.key.clone().unwrap_or_else(|| "(known with the secret)".to_owned())],
        vec!["key of".to_owned(), told.key_fields.join(", ")],
    ];
    if let Some(copy) = &told.copy {
        rows.push(vec!["copy lives".to_owned(), format!("{} s", copy.life)]);
    }
    rows.extend(told.cache_keys.iter().map(|key| vec!["copies".to_owned(), key.clone()]));
    lines.extend(table(indent + 2, &rows));
    told.follow_ups.iter().for_each(|told| follow_up(told, indent + 2, lines));
    if told.follow_ups_left_out {
        lines.push(format!("{:1$}(more follow-ups are left out)", "", indent + 2));
    }
}

fn follow_up(told: &FollowUp, indent: usize, lines: &mut Vec<String>) {
    let name = format!("job_manager.job_rules[{}]", told.rule);
    match (&told.job, told.skipped) {
        (Some(next), _) => {
            let heading = format!("{name}, depth {}", told.depth.unwrap_or_default());
            job(next, indent, &heading, lines);
        }
        (None, Some(reason)) => {
            let missing = told.missing.join(", ");
            lines.push(format!("{:indent$}{name}: skipped, {reason} {missing}", "").trim_end().to_owned());
        }
        (None, None) => lines.push(format!("{:indent$}{name}: {}", "", no_match(&told.mismatches))),
    }
}

/// Rows with their columns one below the other.
fn table(indent: usize, rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{:indent$}{}", "", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
