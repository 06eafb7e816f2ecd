//! Overrides from the environment: `DECACHE__SERVER__BIND=0.0.0.0:8080` sets `server.bind`.

use serde_yaml::{Mapping, Value};

use super::{
    error::Problem,
    hidden::Hidden,
    path::{FieldPath, Step},
    yaml,
};

const PREFIX: &str = "DECACHE__";

/// A variable that set a field.
#[derive(Clone)]
pub(super) struct Override {
    pub(super) variable: String,
    /// The field as it is spelt in the tree.
    pub(super) path: String,
    /// The text as it stands, for a field that wants text where YAML saw something else.
    pub(super) raw: Hidden,
    /// Why a text that looks like a YAML list or mapping is none, for a field that wants one.
    pub(super) flaw: Option<String>,
}

/// Sets every variable's field in the tree. A section's variable goes before those of its fields.
pub(super) fn apply(
    tree: &mut Value,
    env: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) -> Vec<Override> {
    let mut variables: Vec<_> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    let mut overrides = Vec::new();
    for (variable, raw) in variables {
        match set(tree, &variable, &raw) {
            Ok((path, flaw)) => {
                let path = path.to_string();
                overrides.push(Override { variable, path, raw: Hidden::new(raw), flaw });
            }
            Err(detail) => {
                problems.push(Problem { origin: variable, line: None, path: String::new(), detail });
            }
        }
    }
    overrides
}

fn set(tree: &mut Value, variable: &str, raw: &str) -> Result<(FieldPath, Option<String>), String> {
    let names: Vec<&str> = variable.strip_prefix(PREFIX).unwrap_or_default().split("__").collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err("expected a name such as DECACHE__SERVER__BIND".to_owned());
    }
    let (value, flaw) = read(raw);
    let mut path = FieldPath::default();
    let mut at = tree;
    for (depth, name) in names.iter().enumerate() {
        let step = step(at, name).map_err(|detail| match path.to_string() {
            around if around.is_empty() => detail,
            around => format!("{around}: {detail}"),
        })?;
        path.0.push(step.clone());
        at = match step {
            Step::Key(key) => {
                let Value::Mapping(map) = at else { return Err(format!("{path}: is not in a section")) };
                if depth + 1 == names.len() {
                    map.remove(alternative(&key).as_str());
                }
                map.entry(key.into()).or_insert(Value::Null)
            }
            Step::Index(index) => &mut at[index],
        };
    }
    *at = value;
    Ok((path, flaw))
}

/// The step that a variable's part means here. Keys of the tree are found whatever their case: `POSTS` is `Posts`.
fn step(at: &mut Value, name: &str) -> Result<Step, String> {
    if at.is_null() {
        *at = Value::Mapping(Mapping::new());
    }
    match at {
        Value::Mapping(map) => {
            let known = map.keys().filter_map(Value::as_str).find(|key| key.eq_ignore_ascii_case(name));
            Ok(Step::Key(known.map_or_else(|| name.to_ascii_lowercase(), str::to_owned)))
        }
        Value::Sequence(items) => match name.parse() {
            Ok(index) if index < items.len() => Ok(Step::Index(index)),
            _ => Err(format!(
                "expected the number of one of the {} items, from 0, found {name:?}",
                items.len()
            )),
        },
        _ => Err(format!("is a single value: it has no {:?} in it", name.to_ascii_lowercase())),
    }
}

/// `url` from the environment replaces the file's `url_file`, and the other way round.
fn alternative(key: &str) -> String {
    key.strip_suffix("_file").map_or_else(|| format!("{key}_file"), str::to_owned)
}

/// A value as YAML reads it, but text that is not in quotes stays as it stands: `#` and `: ` have no meaning there.
fn read(raw: &str) -> (Value, Option<String>) {
    match yaml::parse(raw) {
        Ok(Value::String(_)) if !raw.starts_with(['"', '\'']) => (raw.into(), None),
        Ok(value) => (value, None),
        Err(flaw) if raw.starts_with(['[', '{']) => (raw.into(), Some(flaw.detail)),
        Err(_) => (raw.into(), None),
    }
}
