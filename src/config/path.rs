//! Where a field stands in a configuration: `job_scheduler.job_rules[1].topic`.

use std::fmt;

use serde_yaml::Value;

/// One step from a value to one inside it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Steps from the root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct FieldPath(pub(super) Vec<Step>);

impl FieldPath {
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// What is around it, and its last step; `None` for the root.
    pub(super) fn split_last(&self) -> Option<(Self, &Step)> {
        self.0.split_last().map(|(last, parents)| (Self(parents.to_vec()), last))
    }

    /// The last step where it is a key, else nothing.
    pub(super) fn last_key(&self) -> &str {
        match self.0.last() {
            Some(Step::Key(key)) => key,
            _ => "",
        }
    }

    /// As much of a printed path as is there in `tree`. Keys may hold dots: the reading that leads deepest counts.
    pub(super) fn resolve(tree: &Value, printed: &str) -> Self {
        let (mut steps, _) = deepest(tree, printed);
        steps.reverse();
        Self(steps)
    }

    pub(super) fn of_serde(section: &str, path: &serde_path_to_error::Path) -> Self {
        let mut steps = vec![Step::Key(section.to_owned())];
        for segment in path.iter() {
            match segment {
                serde_path_to_error::Segment::Seq { index } => steps.push(Step::Index(*index)),
                serde_path_to_error::Segment::Map { key } => steps.push(Step::Key(key.clone())),
                _ => break,
            }
        }
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The steps into `tree` that take most of `printed`, last step first, and what they leave of it.
fn deepest<'p>(tree: &Value, printed: &'p str) -> (Vec<Step>, &'p str) {
    let mut best = (Vec::new(), printed);
    for (step, name, inner) in children(tree) {
        let Some(after) = printed.strip_prefix(name.as_str()) else { continue };
        if !(after.is_empty() || after.starts_with(['.', '['])) {
            continue;
        }
        let (mut steps, rest) = deepest(inner, after.strip_prefix('.').unwrap_or(after));
        if rest.len() < best.1.len() {
            steps.push(step);
            best = (steps, rest);
        }
    }
    best
}

fn children(tree: &Value) -> Vec<(Step, String, &Value)> {
    match tree {
        Value::Mapping(map) => map
            .iter()
            .filter_map(|(key, inner)| {
                key.as_str().map(|key| (Step::Key(key.to_owned()), key.to_owned(), inner))
            })
            .collect(),
        Value::Sequence(items) => items
            .iter()
            .enumerate()
            .map(|(index, inner)| (Step::Index(index), format!("[{index}]"), inner))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_path_resolves_as_deep_as_the_tree_goes_even_through_keys_with_dots() {
        let tree = serde_yaml::from_str("topics: { pp: 1, pp.cache: [ { match: 1 } ] }").unwrap();
        let resolve = |printed| FieldPath::resolve(&tree, printed).to_string();
        assert_eq!(resolve("topics.pp.cache[0].match"), "topics.pp.cache[0].match");
        assert_eq!(resolve("topics.pp.cache[0].due"), "topics.pp.cache[0]");
        assert_eq!(resolve("topics.pp.cache[7]"), "topics.pp.cache");
        assert_eq!(resolve("topicsx"), "");
    }
}
