//! A configuration as it is written, to be compared with another one: which fields differ, and by a hash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_yaml::{Mapping, Value};

use super::path::FieldPath;

/// The sections that a reload changes; for any other a restart is needed.
pub const RELOADABLE: [&str; 5] = ["auth", "resources", "caches", "job_scheduler", "job_manager"];

/// Every section that is written, with the environment's overrides; beside the name of a file that holds a value, what
/// tells its content from another. It holds secrets, so it does not print.
#[derive(Clone, PartialEq, Default)]
pub struct Written {
    sections: BTreeMap<String, Value>,
    files: BTreeSet<PathBuf>,
}

impl Written {
    pub(super) fn of(tree: &Value) -> Self {
        let mut files = BTreeSet::new();
        let sections = tree.as_mapping().into_iter().flatten();
        let sections = sections.filter(|(_, section)| !section.is_null()).filter_map(|(name, section)| {
            let name = name.as_str()?;
            Some((name.to_owned(), resolved(section, &FieldPath::default().key(name), false, &mut files)))
        });
        Self { sections: sections.collect(), files }
    }

    /// Whether nothing is written at all.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.sections.iter().map(|(name, section)| (name.as_str(), section))
    }

    /// The files that hold values of it.
    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }

    /// An entry of `caches`, as something that can be compared with another.
    pub fn cache(&self, name: &str) -> Option<&Value> {
        let named = |cache: &&Value| cache.get("name").and_then(Value::as_str) == Some(name);
        self.sections.get("caches")?.as_sequence()?.iter().find(named)
    }

    /// This one, with the sections of another that a reload changes.
    pub fn reloaded(&self, other: &Self) -> Self {
        let kept = self.sections.iter().filter(|(name, _)| !is_reloadable(name));
        let taken = other.sections.iter().filter(|(name, _)| is_reloadable(name));
        let sections = kept.chain(taken).map(|(name, section)| (name.clone(), section.clone())).collect();
        Self { sections, files: other.files.clone() }
    }

    /// The fields in which another one differs: those that a reload changes, and those that need a restart.
    pub fn changes(&self, other: &Self) -> (Vec<String>, Vec<String>) {
        let names: BTreeSet<&String> = self.sections.keys().chain(other.sections.keys()).collect();
        let (mut fields, absent) = ((Vec::new(), Vec::new()), Value::Mapping(Mapping::new()));
        for name in names {
            let list = if is_reloadable(name) { &mut fields.0 } else { &mut fields.1 };
            let path = FieldPath::default().key(name);
            // The fields of a section that was absent are named, too.
            let [one, other] = [self, other].map(|it| it.sections.get(name).unwrap_or(&absent));
            differing(Some(one), Some(other), &path, list);
        }
        fields
    }

    /// Has `hasher` read all of it. Neither order nor spelling of mappings counts.
    pub fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for (name, section) in &self.sections {
            hash_text(name, hasher);
            hash(section, hasher);
        }
    }
}

fn is_reloadable(section: &str) -> bool {
    RELOADABLE.contains(&section)
}

/// `names_file`: what stands here is the name of a file, or several by name.
fn resolved(value: &Value, path: &FieldPath, names_file: bool, files: &mut BTreeSet<PathBuf>) -> Value {
    match value {
        Value::Mapping(fields) => {
            let field = |(key, inner): (&Value, &Value)| {
                let name = key.as_str().unwrap_or_default();
                let path = path.key(name);
                let names_file = names_file || is_file(&path, name);
                (key.clone(), resolved(inner, &path, names_file, files))
            };
            Value::Mapping(fields.iter().map(field).collect())
        }
        Value::Sequence(items) => {
            let item = |(index, item)| resolved(item, &path.index(index), names_file, files);
            Value::Sequence(items.iter().enumerate().map(item).collect())
        }
        Value::String(file) if names_file => {
            files.insert(file.into());
            let content = fs::read(file).map(|content| blake3::hash(&content).to_hex());
            Value::String(format!("{file} {}", content.as_deref().unwrap_or_default()))
        }
        value => value.clone(),
    }
}

fn is_file(path: &FieldPath, name: &str) -> bool {
    name.ends_with("_file") || matches!(&*path.to_string(), "server.tls.cert" | "server.tls.key")
}

fn differing(one: Option<&Value>, other: Option<&Value>, path: &FieldPath, list: &mut Vec<String>) {
    match (one, other) {
        (one, other) if one == other => {}
        (Some(Value::Mapping(one)), Some(Value::Mapping(other))) => {
            let names: BTreeSet<&str> = one.keys().chain(other.keys()).filter_map(Value::as_str).collect();
            for name in names {
                differing(one.get(name), other.get(name), &path.key(name), list);
            }
        }
        (Some(Value::Sequence(one)), Some(Value::Sequence(other))) => {
            for index in 0..one.len().max(other.len()) {
                differing(one.get(index), other.get(index), &path.index(index), list);
            }
        }
        _ => list.push(path.to_string()),
    }
}

fn hash(value: &Value, hasher: &mut blake3::Hasher) {
    match value {
        Value::Mapping(fields) => {
            let fields: BTreeMap<&str, &Value> =
                fields.iter().filter_map(|(key, inner)| Some((key.as_str()?, inner))).collect();
            hasher.update(b"{").update(&fields.len().to_le_bytes());
            for (name, inner) in fields {
                hash_text(name, hasher);
                hash(inner, hasher);
            }
        }
        Value::Sequence(items) => {
            hasher.update(b"[").update(&items.len().to_le_bytes());
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Tagged(tagged) => hash(&tagged.value, hasher),
        Value::String(text) => hash_text(text, hasher),
        Value::Number(number) => hash_text(&number.to_string(), hasher.update(b"#")),
        Value::Bool(is) => drop(hasher.update(if *is { b"t" } else { b"f" })),
        Value::Null => drop(hasher.update(b"0")),
    }
}

fn hash_text(text: &str, hasher: &mut blake3::Hasher) {
    hasher.update(b"\"").update(&text.len().to_le_bytes()).update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(yaml: &str) -> Written {
        Written::of(&serde_yaml::from_str(yaml).unwrap())
    }

    fn hash_of(yaml: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        written(yaml).hash_into(&mut hasher);
        hasher.finalize().to_hex().to_string()
    }

    #[test]
    fn what_differs_is_named_by_its_fields_and_told_apart_by_what_a_reload_can_do() {
        let one = written(
            "{ server: { bind: a }, auth: { keys: [{ name: api, hash: tok-1 }] }, resources: { Posts: { ttl: 1 } } }",
        );
        let other = written(
            "{ auth: { keys: [{ name: api, hash: tok-2 }, { name: ops }] }, resources: { Posts: { ttl: 1 } }, queue: { capacity: 1 } }",
        );
        let (reloaded, restart) = one.changes(&other);
        assert_eq!(reloaded, ["auth.keys[0].hash", "auth.keys[1]"]);
        assert_eq!(restart, ["queue.capacity", "server.bind"]);
        let (reloaded, restart) = one.reloaded(&other).changes(&other);
        assert_eq!((reloaded.len(), restart.len()), (0, 2), "what needs a restart is still another");
    }

    #[test]
    fn the_hash_goes_by_what_is_said_and_not_by_how() {
        assert_eq!(
            hash_of("{ a: { x: 1, y: [b, c] } }"),
            hash_of("a:\n  # said\n  y: [\"b\", c]\n  x: 1\nq:\n")
        );
        for other in
            ["{ a: { x: 1, y: [c, b] } }", "{ a: { x: '1', y: [b, c] } }", "{ a: { x: 1, y: [[b, c]] } }"]
        {
            assert_ne!(hash_of("{ a: { x: 1, y: [b, c] } }"), hash_of(other), "{other}");
        }
    }

    #[test]
    fn a_file_that_a_field_names_counts_with_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        let text = format!(
            "{{ caches: [{{ name: api, url_file: {0}, headers_file: {{ x: {0} }} }}] }}",
            file.display()
        );
        let missing = written(&text);
        fs::write(&file, "redis://:tok-secret@a").unwrap();
        let there = written(&text);
        assert_eq!(missing.changes(&there).0, ["caches[0].headers_file.x", "caches[0].url_file"]);
        assert_eq!(there.files().iter().collect::<Vec<_>>(), [&file]);
        assert!(there == written(&text) && there.cache("api") != missing.cache("api"));
    }
}
