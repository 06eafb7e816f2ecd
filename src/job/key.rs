//! How a job's identity is made: a hash over parts that are told apart by their lengths.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::{JobKey, JobType};
use crate::event::Entity;

/// Takes the parts of one identity in their order. `ab`, `c` and `a`, `bc` give different keys.
pub(crate) struct KeyHasher(SmallVec<[u8; USUAL_BYTES]>);

/// Most identities are no longer.
const USUAL_BYTES: usize = 256;

/// What every key begins with.
static BEGUN: LazyLock<blake3::Hasher> =
    LazyLock::new(|| blake3::Hasher::new_derive_key("decache job key 1"));

impl JobKey {
    /// A key that has what every job's has; more may be added.
    pub(crate) fn of(job_type: JobType, topic: &str, entity: &Entity) -> KeyHasher {
        let mut key = KeyHasher(SmallVec::new());
        key.text(job_type.as_str());
        key.text(topic);
        key.text(&entity.resource_type);
        key.text(&entity.id);
        key
    }
}

impl KeyHasher {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.part(b'b', bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Something that may be missing, which is different from being empty.
    pub(crate) fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.part(b'-', 0),
        }
    }

    /// A JSON value; its fields count in the order of their names, whatever order they came in.
    pub(crate) fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.scalar(b'z', "null"),
            Value::Bool(value) => self.scalar(b't', if *value { "true" } else { "false" }),
            Value::Number(number) => self.scalar(b'n', &number.to_string()),
            Value::String(text) => self.scalar(b's', text),
            Value::Array(items) => {
                self.part(b'a', items.len());
                items.iter().for_each(|item| self.json(item));
            }
            Value::Object(fields) => self.object(fields),
        }
    }

    /// A JSON object, as [`KeyHasher::json`].
    pub(crate) fn object(&mut self, fields: &Map<String, Value>) {
        self.part(b'o', fields.len());
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in fields {
            self.text(name);
            self.json(value);
        }
    }

    pub(crate) fn finish(&self) -> JobKey {
        let mut key = [0; 16];
        BEGUN.clone().update(&self.0).finalize_xof().fill(&mut key);
        JobKey(u128::from_be_bytes(key))
    }

    fn scalar(&mut self, kind: u8, text: &str) {
        self.part(kind, text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn part(&mut self, kind: u8, length: usize) {
        self.0.push(kind);
        self.0.extend_from_slice(&(length as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn start() -> KeyHasher {
        JobKey::of(JobType::Invalidate, "topic", &Entity::new("Posts", "42").unwrap())
    }

    fn of_json(value: &Value) -> JobKey {
        let mut key = start();
        key.json(value);
        key.finish()
    }

    #[test]
    fn json_values_that_differ_in_kind_or_nesting_have_different_keys() {
        let values = [
            json!(null),
            json!("null"),
            json!(1),
            json!("1"),
            json!(true),
            json!("true"),
            json!([]),
            json!({}),
            json!(""),
            json!([1, [2]]),
            json!([[1], 2]),
            json!([1, 2]),
            json!({"a": 1}),
            json!(["a", 1]),
            json!({"a": "1"}),
        ];
        for (index, one) in values.iter().enumerate() {
            for other in &values[index + 1..] {
                assert_ne!(of_json(one), of_json(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn the_order_of_fields_does_not_count() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
        assert_eq!(of_json(&one), of_json(&other));
    }

    #[test]
    fn type_topic_and_entity_are_always_part_of_a_key() {
        let key = |job_type, topic, resource_type, id| {
            JobKey::of(job_type, topic, &Entity::new(resource_type, id).unwrap()).finish()
        };
        let one = key(JobType::Cache, "a", "Posts", "42");
        assert_eq!(one, key(JobType::Cache, "a", "Posts", "42"));
        assert_ne!(one, key(JobType::Invalidate, "a", "Posts", "42"));
        assert_ne!(one, key(JobType::Cache, "b", "Posts", "42"));
        assert_ne!(one, key(JobType::Cache, "a", "Comments", "42"));
        assert_ne!(one, key(JobType::Cache, "a", "Posts", "43"));
    }

    proptest! {
        #[test]
        fn different_parts_never_have_one_key(
            one in prop::collection::vec(prop::option::of("[ab-]{0,3}"), 0..4),
            other in prop::collection::vec(prop::option::of("[ab-]{0,3}"), 0..4),
        ) {
            let key = |parts: &[Option<String>]| {
                let mut key = start();
                parts.iter().for_each(|part| key.optional(part.as_deref().map(str::as_bytes)));
                key.finish()
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }
}
