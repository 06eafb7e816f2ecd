//! From JSON to an [`Event`](super::Event).

/// Why an event is not valid: a sentence that names the field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct EventError(pub String);
