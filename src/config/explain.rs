//! serde's messages in the words of whoever wrote the file. None repeats a value: it may be a secret in the wrong place.

use super::{layout, path::FieldPath};

/// The field that serde misses, where that is what it says.
pub(super) fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field ").map(|field| field.trim_matches('`'))
}

/// The known field that an unknown one was meant to be, where it is close to one.
pub(super) fn meant<'a>(path: &FieldPath, message: &'a str) -> Option<&'a str> {
    let known = quoted(message.strip_prefix("unknown field ")?);
    closest(path.last_key(), known.get(1..)?)
}

/// What is wrong with the field at `path` and what would be right.
pub(super) fn explain(path: &FieldPath, message: &str) -> String {
    if missing_field(message).is_some() {
        return format!("is missing, and has no default{}", layout::of_empty(path));
    }
    if message.starts_with("unknown field") {
        return unknown(path, quoted(message).get(1..).unwrap_or_default());
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let words = quoted(rest);
        let (found, known) = words.split_first().map_or(("", &[][..]), |(found, known)| (*found, known));
        return format!("expected {}, found {found:?}", known.join(" or "));
    }
    if message.starts_with("duplicate field") {
        return format!("has {} under both of its spellings: keep one of the two", quoted(message).concat());
    }
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => mismatched(path, found, expected),
        None => message.to_owned(),
    }
}

/// What to say of a section or field that nobody knows; `known`: those that could stand there.
pub(super) fn unknown(path: &FieldPath, known: &[&str]) -> String {
    if let Some(advice) = layout::of_unknown(path) {
        return advice;
    }
    match closest(path.last_key(), known) {
        Some(closest) => format!("is not a known field: did you mean {closest:?}?"),
        None => format!("is not a known field: expected {}", known.join(", ")),
    }
}

fn mismatched(path: &FieldPath, found: &str, expected: &str) -> String {
    let found = match found.split([' ', '(']).next() {
        Some("unit" | "Option") => "nothing",
        Some("string") => "text",
        Some("boolean") => "true or false",
        Some("integer" | "floating") => "a number",
        Some("sequence") => "a list",
        _ => "a mapping",
    };
    let expected = match expected {
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a string" => "text",
        "a Value::Tagged enum" => "a word",
        _ => "a mapping of fields",
    };
    format!("expected {expected}, found {found}{}", layout::of_empty(path))
}

/// The words between backticks.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// The known field that the unknown one may be a slip of the hand for: a third of its letters at most are other ones.
fn closest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |field: &str| strsim::damerau_levenshtein(&unknown.to_lowercase(), field);
    let best = known.iter().min_by_key(|field| distance(field))?;
    (distance(best) <= (best.len() / 3).max(1)).then_some(best)
}
