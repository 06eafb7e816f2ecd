//! From JSON to an [`Event`](super::Event).

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, error::Category};

use super::{Entity, Event, field, time};
use crate::clock::Timestamp;

/// Why an event is not valid: a sentence that names the field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct EventError(pub String);

/// How many objects and arrays may stand in each other, the event itself being the first.
pub(super) const MAX_DEPTH: usize = 64;

impl Event {
    /// Reads one event from its JSON text. `arrived` bounds `occurred_at`.
    ///
    /// # Errors
    /// [`EventError`] names the first field that is wrong, and what would be right. It never repeats a value.
    pub fn parse(json: &[u8], arrived: Timestamp) -> Result<Self, EventError> {
        if depth(json) > MAX_DEPTH {
            return Err(EventError(format!("the event is nested too deeply: at most {MAX_DEPTH} levels")));
        }
        let fields: Fields = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
        fields.check(arrived)
    }
}

/// How deeply brackets stand in each other outside of strings, at most. Of broken JSON it may be too much or too little.
pub(super) fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// serde_json's own sentences about syntax repeat nothing of the text; those about data do.
pub(super) fn unreadable(error: &serde_json::Error) -> EventError {
    match error.classify() {
        Category::Data => EventError("an event must be a JSON object".to_owned()),
        _ => EventError(format!("the event is not valid JSON: {error}")),
    }
}

/// An event's fields as they came. `null` counts as missing.
#[derive(Default)]
pub(super) struct Fields {
    id: Option<Value>,
    action_type: Option<Value>,
    resource_type: Option<Value>,
    entity_id: Option<Value>,
    access_token: Option<Value>,
    user_id: Option<Value>,
    occurred_at: Option<Value>,
    cache_key: Option<Value>,
    expires_in: Option<Value>,
    generation: Option<Value>,
    payload: Option<Value>,
    /// The first field that is unknown or stands twice.
    problem: Option<EventError>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Id,
    ActionType,
    ResourceType,
    EntityId,
    AccessToken,
    UserId,
    OccurredAt,
    CacheKey,
    ExpiresIn,
    Generation,
    Payload,
    Other(String),
}

impl Fields {
    fn put(&mut self, name: Name, value: Value) {
        let (slot, name) = match name {
            Name::Id => (&mut self.id, "id"),
            Name::ActionType => (&mut self.action_type, "action_type"),
            Name::ResourceType => (&mut self.resource_type, "resource_type"),
            Name::EntityId => (&mut self.entity_id, "entity_id"),
            Name::AccessToken => (&mut self.access_token, "access_token"),
            Name::UserId => (&mut self.user_id, "user_id"),
            Name::OccurredAt => (&mut self.occurred_at, "occurred_at"),
            Name::CacheKey => (&mut self.cache_key, "cache_key"),
            Name::ExpiresIn => (&mut self.expires_in, "expires_in"),
            Name::Generation => (&mut self.generation, "generation"),
            Name::Payload => (&mut self.payload, "payload"),
            // Says more than whatever other attribute of a CloudEvent came before it.
            Name::Other(name) if name == "specversion" => {
                self.problem = Some(a_cloud_event());
                return;
            }
            Name::Other(name) => {
                self.problem.get_or_insert_with(|| unknown(&name));
                return;
            }
        };
        if slot.replace(value).is_some() {
            self.problem.get_or_insert_with(|| EventError(format!("{name} stands twice in the event")));
        }
    }

    /// Gives a field that a CloudEvent has as an attribute. Where it stands in `data` as well, it is to be the same there.
    pub(super) fn put_attribute(&mut self, attribute: &str, text: &str, arrived: Timestamp) {
        let (slot, field) = match attribute {
            "id" => (&mut self.id, "id"),
            "subject" => (&mut self.entity_id, "entity_id"),
            "time" => (&mut self.occurred_at, "occurred_at"),
            "resource_type" => (&mut self.resource_type, "resource_type"),
            _ => (&mut self.action_type, "action_type"),
        };
        let given = Value::from(text);
        match slot.as_ref().filter(|value| !value.is_null()) {
            Some(Value::String(inside)) if inside == text => {}
            Some(Value::Number(inside)) if inside.to_string() == text => {}
            Some(inside) if attribute == "time" && same_time(inside, &given, arrived) => {}
            Some(_) => {
                self.problem.get_or_insert_with(|| {
                    EventError(format!(
                        "{attribute} and data.{field} differ: give it in one place, or the same in both"
                    ))
                });
            }
            None => *slot = Some(given),
        }
    }

    /// A text field, where it is given.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        let value = match field {
            "resource_type" => self.resource_type.as_ref(),
            _ => self.action_type.as_ref(),
        };
        value.and_then(Value::as_str)
    }

    /// Whether anything says what the event is about.
    pub(super) fn has_entity_id(&self) -> bool {
        let inside = self.payload.as_ref().and_then(|payload| payload.get("entity_id"));
        [self.entity_id.as_ref(), inside].into_iter().flatten().any(|value| !value.is_null())
    }

    pub(super) fn check(self, arrived: Timestamp) -> Result<Event, EventError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut payload = given(self.payload).map(field::payload).transpose()?.unwrap_or_default();
        let entity_id =
            in_one_place("entity_id", self.entity_id, payload.get("entity_id").cloned(), field::entity_id)?;
        let access_token = in_one_place(
            "access_token",
            self.access_token,
            payload.remove("access_token"),
            field::access_token,
        )?;
        let user_id = in_one_place("user_id", self.user_id, payload.get("user_id").cloned(), field::name)?;
        let time = given(self.occurred_at).map(|value| time::occurred_at(&value, arrived)).transpose()?;
        Ok(Event {
            id: given(self.id).map(|value| field::name("id", value)).transpose()?,
            action_type: field::action_type(given(self.action_type).ok_or_else(|| missing("action_type"))?)?,
            entity: Entity {
                resource_type: field::resource_type(
                    given(self.resource_type).ok_or_else(|| missing("resource_type"))?,
                )?,
                id: entity_id.ok_or_else(|| missing("entity_id"))?,
            },
            access_token,
            user_id,
            occurred_at: time.map(|(at, _)| at),
            ahead: time.map(|(_, ahead)| ahead).unwrap_or_default(),
            cache_key: given(self.cache_key).map(field::cache_key).transpose()?,
            expires_in: given(self.expires_in).map(|value| field::expires_in(&value)).transpose()?,
            generation: given(self.generation).map(|value| field::generation(&value)).transpose()?,
            payload,
        })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((name, value)) = map.next_entry()? {
                    fields.put(name, value);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

fn same_time(one: &Value, other: &Value, arrived: Timestamp) -> bool {
    let time = |value| time::occurred_at(value, arrived).ok();
    time(one).is_some_and(|one| Some(one) == time(other))
}

/// A field that may stand in the event or in its payload, or in both alike.
fn in_one_place<T: PartialEq>(
    name: &str,
    outside: Option<Value>,
    inside: Option<Value>,
    check: fn(&str, Value) -> Result<T, EventError>,
) -> Result<Option<T>, EventError> {
    let outside = given(outside).map(|value| check(name, value)).transpose()?;
    let inside = given(inside).map(|value| check(&format!("payload.{name}"), value)).transpose()?;
    match (outside, inside) {
        (Some(outside), Some(inside)) if outside != inside => Err(EventError(format!(
            "{name} and payload.{name} differ: give it in one place, or the same in both"
        ))),
        (outside, inside) => Ok(outside.or(inside)),
    }
}

fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !value.is_null())
}

fn missing(name: &str) -> EventError {
    EventError(format!("{name} is missing"))
}

fn a_cloud_event() -> EventError {
    EventError(
        "this is a CloudEvent: its content type is application/cloudevents+json, and of several in an array \
         application/cloudevents-batch+json"
            .to_owned(),
    )
}

/// A name that may be a value in the wrong place is not repeated.
fn unknown(name: &str) -> EventError {
    let plain =
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let what = if plain {
        format!("{name} is not a field of an event")
    } else {
        "the event has an unknown field".to_owned()
    };
    EventError(format!("{what}: attributes of your own belong in payload"))
}

#[cfg(test)]
mod tests;
