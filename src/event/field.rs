//! One function a field: what it must be, and the sentence that says so. No sentence repeats a value, which may hold
//! a token that was put in the wrong place.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{AccessToken, Entity, EventError};

const MAX_NAME_BYTES: usize = 256;
/// An entity id of the longest kind, percent-encoded, and as much again for the rest of the key.
const MAX_CACHE_KEY_BYTES: usize = 4 * 1024;
const MAX_ACTION_CHARS: usize = 64;
const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The clocks' resolution: a shorter life would count as none.
const MIN_LIFE: Duration = Duration::from_millis(1);

/// Whether `text` is a resource type: `[A-Za-z0-9_.-]{1,64}`.
pub fn is_resource_type(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether `text` can be an action type: 1 to 64 characters, none of them a control character.
pub(crate) fn is_action_type(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_ACTION_CHARS && !text.chars().any(char::is_control)
}

pub(super) fn action_type(value: Value) -> Result<Box<str>, EventError> {
    match value {
        Value::String(text) if is_action_type(&text) => Ok(text.into()),
        _ => Err(error("action_type must be a string of 1 to 64 characters without control characters")),
    }
}

pub(super) fn resource_type(value: Value) -> Result<Box<str>, EventError> {
    match value {
        Value::String(text) if is_resource_type(&text) => Ok(text.into()),
        _ => Err(error("resource_type must be a string of 1 to 64 of the characters A-Z a-z 0-9 _ . -")),
    }
}

pub(super) fn entity_id(name: &str, value: Value) -> Result<Box<str>, EventError> {
    text_or_integer(name, value, Entity::MAX_ID_BYTES)
}

/// A `user_id` or an event's `id`: for people who look.
pub(super) fn name(field: &str, value: Value) -> Result<Box<str>, EventError> {
    text_or_integer(field, value, MAX_NAME_BYTES)
}

pub(super) fn access_token(name: &str, value: Value) -> Result<AccessToken, EventError> {
    text(name, value, AccessToken::MAX_BYTES).map(AccessToken::new)
}

pub(super) fn cache_key(value: Value) -> Result<Box<str>, EventError> {
    text("cache_key", value, MAX_CACHE_KEY_BYTES)
}

pub(super) fn expires_in(value: &Value) -> Result<Duration, EventError> {
    value
        .as_f64()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|life| *life <= MAX_LIFE)
        .map(|life| life.max(MIN_LIFE))
        .ok_or_else(|| {
            error("expires_in must be a number of seconds above 0 and of at most 366 days (31622400)")
        })
}

pub(super) fn generation(value: &Value) -> Result<u64, EventError> {
    value.as_u64().ok_or_else(|| error("generation must be an integer from 0 to 18446744073709551615"))
}

pub(super) fn payload(value: Value) -> Result<Map<String, Value>, EventError> {
    match value {
        Value::Object(payload) => Ok(payload),
        _ => Err(error("payload must be an object")),
    }
}

fn text_or_integer(name: &str, value: Value, max_bytes: usize) -> Result<Box<str>, EventError> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string().into()),
        Value::String(_) => text(name, value, max_bytes),
        Value::Number(_) => Err(EventError(format!(
            "{name} must be a string, or an integer of 64 bits: send any other number as a string"
        ))),
        _ => Err(EventError(format!("{name} must be a string or an integer"))),
    }
}

fn text(name: &str, value: Value, max_bytes: usize) -> Result<Box<str>, EventError> {
    let Value::String(text) = value else { return Err(EventError(format!("{name} must be a string"))) };
    if text.is_empty() {
        return Err(EventError(format!("{name} must not be empty")));
    }
    if text.len() > max_bytes {
        let len = text.len();
        return Err(EventError(format!("{name} must be at most {max_bytes} bytes long, and has {len}")));
    }
    if text.chars().any(char::is_control) {
        return Err(EventError(format!("{name} must not hold control characters")));
    }
    Ok(text.into())
}

fn error(sentence: &str) -> EventError {
    EventError(sentence.to_owned())
}
