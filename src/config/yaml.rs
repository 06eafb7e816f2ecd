//! YAML text to a tree, stricter than YAML: no key twice at any level, only text as keys, no tags.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};

use super::{locate, path::FieldPath};

/// Why a text is not a tree.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) line: Option<usize>,
    pub(super) path: FieldPath,
    /// Quotes keys, never values.
    pub(super) detail: String,
    /// Whether it is the text that is no YAML, rather than the YAML that is refused.
    pub(super) syntax: bool,
}

/// Reads a whole text. Empty text is `null`.
pub(super) fn parse(text: &str) -> Result<Value, Flaw> {
    let refused = RefCell::new(None);
    let seed = Strict { path: FieldPath::default(), refused: &refused };
    seed.deserialize(serde_yaml::Deserializer::from_str(text)).or_else(|error| {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Value::Null);
        }
        Err(flaw(text, &error, refused.take()))
    })
}

fn flaw(text: &str, error: &serde_yaml::Error, refused: Option<(FieldPath, String)>) -> Flaw {
    let line = error.location().map(|location| location.line());
    if let Some((path, detail)) = refused {
        return Flaw { line, path, detail, syntax: false };
    }
    let second = if line.is_none() { locate::line_of_second_document(text) } else { None };
    let detail = match second {
        Some(_) => {
            "a second document begins here: the lines before are indented further, or a `---` too many"
                .to_owned()
        }
        None => error.to_string(),
    };
    Flaw { line: line.or(second), path: FieldPath::default(), detail, syntax: true }
}

/// Builds the tree, or leaves a refusal and its path.
struct Strict<'a> {
    path: FieldPath,
    refused: &'a RefCell<Option<(FieldPath, String)>>,
}

impl Strict<'_> {
    fn at(&self, path: FieldPath) -> Self {
        Self { path, refused: self.refused }
    }

    fn refuse<E: Error>(&self, detail: impl Into<String>) -> E {
        *self.refused.borrow_mut() = Some((self.path.clone(), detail.into()));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.at(self.path.index(items.len())))? {
            items.push(item);
        }
        Ok(Value::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Mapping::new();
        while let Some(key) = access.next_key_seed(Key { of: &self, taken: &map })? {
            let value = access.next_value_seed(self.at(self.path.key(&key)))?;
            map.insert(key.into(), value);
        }
        Ok(Value::Mapping(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _tagged: A) -> Result<Value, A::Error> {
        Err(self.refuse("a YAML tag (`!...`) means nothing here: leave it out, or put the text in quotes"))
    }
}

/// Reads a key where it stands, so that a refusal carries the key's own line.
struct Key<'a, 'r> {
    of: &'a Strict<'r>,
    taken: &'a Mapping,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is text: put it in quotes")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        match self.taken.contains_key(key) {
            true => Err(self
                .of
                .at(self.of.path.key(key))
                .refuse("stands here a second time: keep one of the two")),
            false => Ok(key.to_owned()),
        }
    }
}
