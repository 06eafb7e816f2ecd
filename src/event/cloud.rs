//! CloudEvents 1.0 in JSON, taken as events: `type` ends in `<resource_type>.<action_type>`, `subject` is the entity id, `time`
//! is `occurred_at`, `id` the event's id, and `data` holds the rest. Extension attributes are passed over.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

mod attributes;
mod kind;

pub use attributes::Attributes;
pub(crate) use attributes::is_json;

use super::{
    Event, EventError,
    forms::{self, BodyError},
    parse::{self, Fields, MAX_DEPTH, depth},
};
use crate::clock::Timestamp;

/// Whether a resource type is configured: what `kind::split` tells dots in it from others by.
pub type Knows<'a> = &'a (dyn Fn(&str) -> bool + Sync);

/// `application/cloudevents+json`: one CloudEvent.
///
/// # Errors
/// [`BodyError`]: the body cannot be read.
pub fn structured(
    body: &[u8],
    knows: Knows<'_>,
    arrived: Timestamp,
) -> Result<Vec<Result<Event, EventError>>, BodyError> {
    match body.trim_ascii_start().first() {
        None => return Err(BodyError::Empty),
        _ if depth(body) > MAX_DEPTH + 1 => return Err(BodyError::TooDeep),
        _ => {}
    }
    let event: &RawValue = serde_json::from_slice(body).map_err(|error| forms::unreadable(&error))?;
    match event.get().starts_with('{') {
        true => Ok(vec![of_json(event.get().as_bytes(), knows, arrived)]),
        false => Err(BodyError::NotOneCloudEvent),
    }
}

/// `application/cloudevents-batch+json`: an array of at most `limit` CloudEvents, which may be none.
///
/// # Errors
/// [`BodyError`]: the body cannot be read.
pub fn batch(
    body: &[u8],
    limit: usize,
    knows: Knows<'_>,
    arrived: Timestamp,
) -> Result<Vec<Result<Event, EventError>>, BodyError> {
    match body.trim_ascii_start().first() {
        None => Err(BodyError::Empty),
        Some(b'[') => {
            let events = forms::array(body, limit)?;
            Ok(events.into_iter().map(|event| of_json(event.get().as_bytes(), knows, arrived)).collect())
        }
        Some(_) => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Err(BodyError::NotManyCloudEvents),
            Err(error) => Err(forms::unreadable(&error)),
        },
    }
}

/// The binary mode: attributes in headers, `data` as the body, which may be empty.
///
/// # Errors
/// [`BodyError`]: the body cannot be read.
pub fn binary(
    attributes: &Attributes,
    data: &[u8],
    knows: Knows<'_>,
    arrived: Timestamp,
) -> Result<Vec<Result<Event, EventError>>, BodyError> {
    if data.trim_ascii().is_empty() {
        return Ok(vec![attributes.around(Fields::default(), knows, arrived)]);
    }
    if depth(data) > MAX_DEPTH {
        return Err(BodyError::TooDeep);
    }
    let data: &RawValue = serde_json::from_slice(data).map_err(|error| forms::unreadable(&error))?;
    let event = fields(data.get()).and_then(|fields| attributes.around(fields, knows, arrived));
    Ok(vec![event])
}

/// A CloudEvent as its JSON format has it.
#[derive(Default)]
struct Document<'a> {
    attributes: Attributes,
    data: Option<&'a RawValue>,
    data_base64: Option<Value>,
    /// The first member that is wrong.
    problem: Option<EventError>,
}

fn of_json(json: &[u8], knows: Knows<'_>, arrived: Timestamp) -> Result<Event, EventError> {
    // Its data is one level deeper than the event that comes of it.
    if depth(json) > MAX_DEPTH + 1 {
        return Err(EventError(format!("the event is nested too deeply: at most {MAX_DEPTH} levels")));
    }
    let document: Document<'_> = serde_json::from_slice(json).map_err(|error| parse::unreadable(&error))?;
    if let Some(problem) = document.problem {
        return Err(problem);
    }
    let data = document.data.filter(|data| data.get() != "null");
    let encoded = document.data_base64.filter(|data| !data.is_null());
    let fields = match (data, encoded) {
        (None, None) => Fields::default(),
        (Some(_), Some(_)) => {
            return Err(EventError("data and data_base64 are both there: give one of them".to_owned()));
        }
        (Some(data), None) => {
            document.attributes.expect_json()?;
            fields(data.get())?
        }
        (None, Some(encoded)) => {
            document.attributes.expect_json()?;
            fields(&decoded(&encoded)?)?
        }
    };
    document.attributes.around(fields, knows, arrived)
}

fn fields(data: &str) -> Result<Fields, EventError> {
    match data.starts_with('{') {
        true => serde_json::from_str(data).map_err(|error| parse::unreadable(&error)),
        false => Err(EventError("data must be a JSON object".to_owned())),
    }
}

fn decoded(data: &Value) -> Result<String, EventError> {
    let wrong = || EventError("data_base64 must be the base64 of a JSON object".to_owned());
    let bytes = STANDARD.decode(data.as_str().ok_or_else(wrong)?).map_err(|_| wrong())?;
    if depth(&bytes) > MAX_DEPTH {
        return Err(EventError(format!("data_base64 is nested too deeply: at most {MAX_DEPTH} levels")));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let is_object = serde_json::from_str::<&RawValue>(&text).is_ok_and(|json| json.get().starts_with('{'));
    if is_object { Ok(text.trim().to_owned()) } else { Err(wrong()) }
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
                let mut document = Document::default();
                while let Some(name) = map.next_key::<String>()? {
                    document.take(&name, &mut map)?;
                }
                Ok(document)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl<'de> Document<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let twice = match name {
            "data" => self.data.replace(map.next_value()?).is_some(),
            "data_base64" => self.data_base64.replace(map.next_value()?).is_some(),
            _ if Attributes::NAMES.contains(&name) => match map.next_value()? {
                Value::String(text) => self.attributes.put(name, text).is_some(),
                // An attribute that is null is not there.
                Value::Null => false,
                _ => {
                    self.problem.get_or_insert_with(|| EventError(format!("{name} must be a string")));
                    false
                }
            },
            _ => {
                map.next_value::<IgnoredAny>()?;
                false
            }
        };
        if twice {
            self.problem.get_or_insert_with(|| EventError(format!("{name} stands twice in the CloudEvent")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
