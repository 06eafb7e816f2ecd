//! A request's body, taken apart into events: one function a form. Every form gives the same: an outcome for each
//! event, so that a bad one does not sink the others, or one error where the body as a whole cannot be read.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

mod lines;

pub use lines::Lines;

use super::{
    Event, EventError,
    parse::{Fields, MAX_DEPTH, depth},
};
use crate::clock::Timestamp;

/// Why a body cannot be taken apart. None of these repeats what stood in it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// Nothing but white space.
    #[error("the body is empty: post an event (a JSON object) or an array of events")]
    Empty,
    /// A syntax error, with its line and column.
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    /// It ends too early.
    #[error("the body is not complete JSON: {0}")]
    Truncated(String),
    /// Too many brackets in each other.
    #[error("the body is nested too deeply: at most {MAX_DEPTH} levels")]
    TooDeep,
    /// JSON, but no event.
    #[error("the body must be an event (a JSON object) or an array of events")]
    NeitherObjectNorArray,
    /// No line with anything on it.
    #[error("the body has no event in it: post a JSON object on each line")]
    NoLine,
    /// JSON, but not one CloudEvent.
    #[error(
        "the body must be one CloudEvent (a JSON object); several are an application/cloudevents-batch+json"
    )]
    NotOneCloudEvent,
    /// JSON, but not a list of CloudEvents.
    #[error("the body must be an array of CloudEvents; one alone is an application/cloudevents+json")]
    NotManyCloudEvents,
    /// More events than one request may bring.
    #[error("the body holds {found} events, and a request may bring {limit}: split it")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// `application/json`: one event, or an array of at most `limit` events, which may be none: who flushes a buffer on a
/// timer has nothing to correct where it is empty. In an array only the syntax is everybody's fault; an event that is
/// nested too deeply is refused alone.
///
/// # Errors
/// [`BodyError`]: nothing of the body was taken.
pub fn json(
    body: &[u8],
    limit: usize,
    arrived: Timestamp,
) -> Result<Vec<Result<Event, EventError>>, BodyError> {
    if let Some(events) = at_once(body, limit, arrived) {
        return Ok(events);
    }
    match body.trim_ascii_start().first() {
        None => Err(BodyError::Empty),
        Some(b'{') => {
            let event: &RawValue = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
            match depth(body) {
                0..=MAX_DEPTH => Ok(vec![Event::parse(event.get().as_bytes(), arrived)]),
                _ => Err(BodyError::TooDeep),
            }
        }
        Some(b'[') => {
            let events = array(body, limit)?;
            Ok(events.into_iter().map(|event| Event::parse(event.get().as_bytes(), arrived)).collect())
        }
        Some(_) => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Err(BodyError::NeitherObjectNorArray),
            Err(error) => Err(unreadable(&error)),
        },
    }
}

/// A body without the byte order mark that some clients put before UTF-8 (RFC 8259, section 8.1, lets a reader ignore it).
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Reads a body in which nothing is wrong but with what events say, in one go. `None` where something else is, or may be: then
/// what it is, and of which event, has to be found out.
fn at_once(body: &[u8], limit: usize, arrived: Timestamp) -> Option<Vec<Result<Event, EventError>>> {
    if depth(body) > MAX_DEPTH {
        return None;
    }
    if body.trim_ascii_start().first() == Some(&b'{') {
        let fields: Fields = serde_json::from_slice(body).ok()?;
        return Some(vec![fields.check(arrived)]);
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let events = Events { limit, arrived }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    events
}

/// Events of an array; `None` where there are more than `limit`.
struct Events {
    limit: usize,
    arrived: Timestamp,
}

impl<'de> DeserializeSeed<'de> for Events {
    type Value = Option<Vec<Result<Event, EventError>>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events {
    type Value = Option<Vec<Result<Event, EventError>>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(fields) = seq.next_element::<Fields>()? {
            if events.len() == self.limit {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            events.push(fields.check(self.arrived));
        }
        Ok(Some(events))
    }
}

pub(super) fn array(body: &[u8], limit: usize) -> Result<Vec<&RawValue>, BodyError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let items = Items { limit }.deserialize(&mut json).map_err(|error| unreadable(&error))?;
    json.end().map_err(|error| unreadable(&error))?;
    items.map_err(|found| BodyError::TooMany { found, limit })
}

pub(super) fn unreadable(error: &serde_json::Error) -> BodyError {
    match error.classify() {
        Category::Eof => BodyError::Truncated(error.to_string()),
        _ => BodyError::NotJson(error.to_string()),
    }
}

/// Keeps `limit` items; where there are more, keeps none and counts them, so that no body makes a list without bound.
struct Items {
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Result<Vec<&'de RawValue>, usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Result<Vec<&'de RawValue>, usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.limit {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Ok(items)),
            }
        }
        let mut found = items.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        Ok(if found > self.limit { Err(found) } else { Ok(items) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_812_800_000);
    const READ: &str = r#"{"action_type":"Read","resource_type":"Posts","entity_id":42}"#;

    fn events(body: &str) -> Result<Vec<Result<Event, EventError>>, BodyError> {
        json(body.as_bytes(), 3, NOW)
    }

    #[test]
    fn one_object_is_one_event_and_an_array_is_many() {
        assert_eq!(events(&format!(" \n{READ}\n")).unwrap().len(), 1);
        assert_eq!(events(&format!("[{READ},{READ}]")).unwrap().len(), 2);
    }

    #[test]
    fn an_empty_array_is_no_events_and_no_error() {
        assert_eq!(events(" [ ] "), Ok(vec![]));
    }

    #[test]
    fn a_bad_item_does_not_sink_the_others() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for bad in ["null", "42", r#""tok-alice""#, "{}", "[]", r#"{"id":"\ud800"}"#, "1e999", &deep] {
            let outcomes = events(&format!("[{READ},{bad},{READ}]")).unwrap();
            assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
            let error = outcomes[1].as_ref().unwrap_err();
            assert!(!error.0.contains("tok-"), "{error}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_says_what_is_wrong_with_it() {
        assert_eq!(events(""), Err(BodyError::Empty));
        assert_eq!(events(" \r\n\t"), Err(BodyError::Empty));
        for broken in ["hello", "{'a':1}", "[1,]", "{} {}", "[] []", "\u{feff}{}", "{\"a\" 1}", "[1}"] {
            assert!(matches!(events(broken), Err(BodyError::NotJson(_))), "{broken}");
        }
        for cut in ["{", "[", "[{", &READ[..20], &format!("[{READ},"), "tru", "\"a"] {
            assert!(matches!(events(cut), Err(BodyError::Truncated(_))), "{cut}");
        }
        for other in ["null", "true", "42", "\"tok-alice\""] {
            assert_eq!(events(other), Err(BodyError::NeitherObjectNorArray), "{other}");
        }
        assert!(matches!(json(b"{\"a\":\"\xff\"}", 3, NOW), Err(BodyError::NotJson(_))));
    }

    #[test]
    fn an_event_nested_too_deeply_is_refused_and_a_deep_one_taken() {
        let nested = |levels: usize| {
            let payload = format!("{}0{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
            READ.replace('}', &format!(r#","payload":{payload}}}"#))
        };
        assert!(events(&nested(63)).unwrap()[0].is_ok());
        assert_eq!(events(&nested(64)), Err(BodyError::TooDeep));
        assert_eq!(events(&nested(1_000_000)), Err(BodyError::TooDeep));
        let batch = events(&format!("[{READ},{}]", nested(64))).unwrap();
        assert!(batch[0].is_ok());
        assert!(batch[1].as_ref().unwrap_err().0.contains("nested too deeply"));
    }

    #[test]
    fn more_items_than_the_limit_are_counted_and_refused() {
        assert_eq!(events("[1,2,3]").unwrap().len(), 3);
        assert_eq!(events("[1,2,3,4,5]"), Err(BodyError::TooMany { found: 5, limit: 3 }));
        assert!(matches!(events("[1,2,3,4,"), Err(BodyError::Truncated(_))));
    }
}
