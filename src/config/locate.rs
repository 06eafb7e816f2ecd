//! Where in a YAML text a field stands.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::path::{FieldPath, Step};

/// The line, from 1, of a field that is there in the text: of its key, or of the item's first line.
pub(super) fn line_of(text: &str, path: &FieldPath) -> Option<usize> {
    if path.0.is_empty() {
        return None;
    }
    // There is no asking the parser where it stands; but it says so in an error. So the walk ends in one, on purpose.
    let error = Find { steps: &path.0 }.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.location().map(|location| location.line())
}

/// The line, from 1, where a second document begins, if only by the indentation.
pub(super) fn line_of_second_document(text: &str) -> Option<usize> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    // After a first one that is broken off the parser goes on in the middle of it, and panics.
    IgnoredAny::deserialize(documents.next()?).ok()?;
    documents.next()?.deserialize_any(Stop).err()?.location().map(|location| location.line())
}

/// Follows the steps, and fails where they end.
struct Find<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.steps {
            [] => deserializer.deserialize_any(Stop),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.steps.split_first() else { return Ok(()) };
        for _ in 0..*wanted {
            access.next_element::<IgnoredAny>()?;
        }
        access.next_element_seed(Find { steps: rest })?;
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.steps.split_first() else { return Ok(()) };
        while let Some(found) = access.next_key_seed(Wanted { key: wanted, last: rest.is_empty() })? {
            match found {
                true => access.next_value_seed(Find { steps: rest })?,
                false => access.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// Whether the next key is the wanted one; fails at it where it is the last step.
struct Wanted<'a> {
    key: &'a str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Wanted<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match key == self.key {
            true if self.last => Err(E::custom("here")),
            found => Ok(found),
        }
    }
}

/// Fails at whatever stands next: no visitor takes nothing, so each is refused where it begins.
struct Stop;

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_document_is_found_and_none_after_a_first_that_is_broken() {
        assert_eq!(line_of_second_document("a: 1\n---\nb: 2\n"), Some(3));
        assert_eq!(line_of_second_document("a: 1\n"), None);
        for broken in ["a: [b, *c]\n", "a: { b: *c }\n", "a: [b\n---\nc: 1\n"] {
            assert_eq!(line_of_second_document(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_field_is_found_on_the_line_of_its_key_and_an_item_on_its_first() {
        let text = "a:\n  b: &x\n    - 1\n    - c: 2\n      d:\n        3\ne: { f: [\n  5 ] }\ng: *x\n";
        let root = FieldPath::default();
        let (b, f) = (root.key("a").key("b"), root.key("e").key("f"));
        let line = |path: &FieldPath| line_of(text, path);
        assert_eq!(line(&b), Some(2));
        assert_eq!(
            [line(&b.index(0)), line(&b.index(1)), line(&b.index(1).key("d"))],
            [Some(3), Some(4), Some(5)]
        );
        assert_eq!([line(&f), line(&f.index(0))], [Some(7), Some(8)]);
        assert_eq!([line(&b.index(2)), line(&root.key("z")), line(&root)], [None; 3]);
    }
}
