//! Dotted paths into an event's payload: `payload.author.id`.

use std::fmt;

use serde_json::{Map, Value};

use crate::job::KeyHasher;

/// A path to a field in objects that stand in each other. A field whose own name has a dot cannot be named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PayloadPath {
    text: Box<str>,
}

impl PayloadPath {
    /// Reads `payload.a.b`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let path = text.strip_prefix("payload.")?;
        path.split('.').all(|name| !name.is_empty()).then(|| Self { text: path.into() })
    }

    /// The value there; `null` counts as none.
    pub(crate) fn find<'a>(&self, payload: &'a Map<String, Value>) -> Option<&'a Value> {
        let mut names = self.text.split('.');
        let first = payload.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_object()?.get(name)).filter(|value| !value.is_null())
    }

    /// Makes the value there, or that there is none, part of a job's identity.
    pub(crate) fn add_to(&self, key: &mut KeyHasher, payload: &Map<String, Value>) {
        key.text("payload.");
        key.text(&self.text);
        match self.find(payload) {
            Some(value) => key.json(value),
            None => key.optional(None),
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for PayloadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload.{}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_through_objects() {
        let payload = json!({"author": {"id": 7}, "n": null, "tags": ["a"]});
        let find = |path| PayloadPath::parse(path).unwrap().find(payload.as_object().unwrap()).cloned();
        assert_eq!(find("payload.author.id"), Some(json!(7)));
        assert_eq!(find("payload.author"), Some(json!({"id": 7})));
        for missing in ["payload.n", "payload.editor", "payload.author.id.x", "payload.tags.0"] {
            assert_eq!(find(missing), None, "{missing}");
        }
        for no_path in ["payload", "payload.", "payload.a..b", "author.id"] {
            assert_eq!(PayloadPath::parse(no_path), None);
        }
    }
}
