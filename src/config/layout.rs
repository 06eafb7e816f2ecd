//! The rules block circulates with `enricher:` and `topics:` indented as siblings of the rule items, or of each other.
//! Both are recognised and answered with the lines as they have to stand.

use serde_yaml::Value;

use super::{path::FieldPath, source::Problems, yaml::Flaw};

/// How it is right.
const RIGHT: &str = "inside job_scheduler these three lines stand like this, the topics inside topics:\n  \
                     \x20 job_rules:\n  \
                     \x20 enricher:\n  \
                     \x20   topics:";

/// What to say of a text that is no YAML, where the line that broke it is one of the misplaced ones.
pub(super) fn of_syntax(text: &str, flaw: &Flaw) -> Option<(&'static str, String)> {
    let line = text.lines().nth(flaw.line?.checked_sub(1)?)?;
    let word = ["enricher", "topics"].into_iter().find(|word| {
        let rest = line.trim_start().strip_prefix(word);
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    })?;
    let detail =
        format!("\"{word}:\" is indented as if it were one of the rule items ({}); {RIGHT}", flaw.detail);
    Some(("job_scheduler", detail))
}

/// What to say of a field that is unknown where it stands.
pub(super) fn of_unknown(path: &FieldPath) -> Option<String> {
    let printed = path.to_string();
    let misplaced = matches!(path.last_key(), "enricher" | "topics" | "job_rules");
    let no_topics = path.0.len() == 3 && printed.starts_with("job_scheduler.enricher.");
    (misplaced || no_topics).then(|| format!("does not belong here; {RIGHT}"))
}

/// What to add where a field is not what it has to be.
pub(super) fn of_empty(path: &FieldPath) -> String {
    match path.to_string().as_str() {
        "job_scheduler.enricher" | "job_scheduler.enricher.topics" => format!("; {RIGHT}"),
        _ => String::new(),
    }
}

/// Takes `topics` beside an empty `enricher` out of `job_scheduler`: one mistake, one problem.
pub(super) fn untangle(section: &mut Value, problems: &mut Problems<'_>) {
    let Value::Mapping(map) = section else { return };
    if map.remove("topics").is_none() {
        return;
    }
    if map.get("enricher").is_some_and(Value::is_null) {
        map.remove("enricher");
    }
    problems.add("job_scheduler.topics", format!("stands beside enricher and belongs inside it; {RIGHT}"));
}
