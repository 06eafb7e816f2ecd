//! A section from tree to type: every mistake in it that can be told apart, not only the first.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::{
    explain::{explain, meant, missing_field},
    path::{FieldPath, Step},
    source::Problems,
};

/// Reads the section `name`. After a mistake its field is taken out and the rest is read again, so `Some` is only to be
/// trusted where no problem was added. `None`: nothing could be read.
pub(super) fn read<T: DeserializeOwned>(name: &str, value: Value, problems: &mut Problems<'_>) -> Option<T> {
    let mut section = Section { name, value, pruned: BTreeSet::new(), dropped: BTreeMap::new() };
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(section.value.clone()) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let at = FieldPath::of_serde(name, error.path());
        if !section.mend(&at, &error.inner().to_string(), problems) {
            return None;
        }
    }
}

fn report(path: &FieldPath, message: &str, problems: &mut Problems<'_>) {
    let printed = path.to_string();
    let set = problems.source.overrides.iter().find(|set| set.path == printed);
    let flaw = set.and_then(|set| set.flaw.as_ref()).map(|flaw| format!(" that is not valid YAML: {flaw}"));
    problems.add(printed, explain(path, message) + &flaw.unwrap_or_default());
}

struct Section<'a> {
    name: &'a str,
    value: Value,
    /// Fields that were taken out, or that another name was meant for: that they are missing is no second mistake.
    pruned: BTreeSet<FieldPath>,
    /// How many items were taken from the front of each list, by its path.
    dropped: BTreeMap<FieldPath, usize>,
}

impl Section<'_> {
    /// Reports the mistake and takes it out. `false` where there is nothing left to read.
    fn mend(&mut self, at: &FieldPath, message: &str, problems: &mut Problems<'_>) -> bool {
        let written = self.as_written(at);
        let missing = missing_field(message).map(|field| written.key(field));
        if missing.is_none() && self.retry_as_text(at, &written, problems) {
            return true;
        }
        let path = missing.unwrap_or_else(|| written.clone());
        if !self.pruned.contains(&path) {
            report(&path, message, problems);
        }
        if let Some((around, meant)) = path.split_last().zip(meant(&path, message)) {
            self.pruned.insert(around.0.key(meant));
        }
        self.prune(at, written)
    }

    /// A variable's value that YAML read as a number, where text is wanted: taken as it stands.
    fn retry_as_text(&mut self, at: &FieldPath, written: &FieldPath, problems: &Problems<'_>) -> bool {
        let printed = written.to_string();
        let Some(set) = problems.source.overrides.iter().find(|set| set.path == printed) else {
            return false;
        };
        match self.get(at) {
            Some(value) if !value.is_string() && !value.is_null() => {
                *value = set.raw.expose().into();
                true
            }
            _ => false,
        }
    }

    fn prune(&mut self, at: &FieldPath, written: FieldPath) -> bool {
        let Some((parent, last)) = at.split_last() else { return false };
        match (self.get(&parent), last) {
            (Some(Value::Mapping(map)), Step::Key(key)) => {
                map.remove(key.as_str()).is_some() && self.pruned.insert(written)
            }
            (Some(Value::Sequence(items)), Step::Index(index)) => {
                // The items before it were read without a mistake: they are done with, too.
                items.drain(..=*index);
                *self.dropped.entry(self.as_written(&parent)).or_default() += index + 1;
                true
            }
            _ => false,
        }
    }

    /// The path in the file of a path in what is left of it.
    fn as_written(&self, at: &FieldPath) -> FieldPath {
        at.0.iter().fold(FieldPath::default(), |path, step| match step {
            Step::Key(key) => path.key(key),
            Step::Index(index) => path.index(index + self.dropped.get(&path).copied().unwrap_or(0)),
        })
    }

    /// The value at a path that begins with the section's name.
    fn get(&mut self, at: &FieldPath) -> Option<&mut Value> {
        let (first, rest) = at.0.split_first()?;
        if *first != Step::Key(self.name.to_owned()) {
            return None;
        }
        rest.iter().try_fold(&mut self.value, |value, step| match step {
            Step::Key(key) => value.get_mut(key.as_str()),
            Step::Index(index) => value.get_mut(*index),
        })
    }
}
