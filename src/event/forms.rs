//! The forms that a request's events may take.

use serde_json::Value;

use super::{Event, EventError};
use crate::clock::Timestamp;

/// Why a body holds no events at all.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is not JSON.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// More events than one request may hold.
    #[error("the body holds {found} events, more than the {max} that one request may hold")]
    TooMany {
        /// How many it holds.
        found: usize,
        /// How many it may hold.
        max: usize,
    },
}

/// The events of a JSON object or array, each valid or not.
///
/// # Errors
/// [`BodyError`] where there is nothing to take apart.
pub fn json(
    body: &[u8],
    max_events: usize,
    arrived: Timestamp,
) -> Result<Vec<Result<Event, EventError>>, BodyError> {
    let _ = arrived;
    let items = match serde_json::from_slice(body) {
        Ok(Value::Array(items)) => items,
        Ok(item) => vec![item],
        Err(error) => return Err(BodyError::Syntax(error.to_string())),
    };
    if items.len() > max_events {
        return Err(BodyError::TooMany { found: items.len(), max: max_events });
    }
    Ok(items.iter().map(|_| Err(EventError("not read".to_owned()))).collect())
}
