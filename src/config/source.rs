//! What a configuration was read from, kept so that a problem found later still gets its file and line.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_yaml::Value;

use super::{environment::Override, error::Problem, locate, path::FieldPath, written::Written, yaml};

/// Problems of a source that are told with their line. Finding one takes reading the whole text: where very many things are wrong
/// with a long text, the lines of the first ones are enough to begin with.
const LOCATED: usize = 50;

/// A file, or the built-in defaults, and the environment's overrides.
#[derive(Clone)]
pub struct Source {
    file: Option<PathBuf>,
    text: String,
    pub(super) overrides: Vec<Override>,
    pub(super) written: Written,
    tree: Arc<OnceLock<Value>>,
    located: Arc<AtomicUsize>,
}

impl Source {
    pub(super) fn new(file: Option<PathBuf>, text: String) -> Self {
        let (tree, located) = (Arc::default(), Arc::default());
        Self { file, text, overrides: Vec::new(), written: Written::default(), tree, located }
    }

    /// The file, where there is one: what a reload has to watch.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// All that the configuration says, with the overrides.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Gives a problem that was found in the checked configuration its place: `path` as in `job_scheduler.job_rules[1].topic`.
    /// The line is that of the deepest field on the path that is there; only the first problems have one, where there are very
    /// many.
    pub fn problem(&self, path: &str, detail: impl Into<String>) -> Problem {
        let (origin, line) = match self.variable_for(path) {
            Some(variable) => (variable.to_owned(), None),
            None => (self.to_string(), self.line_of(path)),
        };
        Problem { origin, line, path: path.to_owned(), detail: detail.into() }
    }

    pub(super) fn problem_at_line(&self, line: Option<usize>, path: &str, detail: String) -> Problem {
        Problem { origin: self.to_string(), line, path: path.to_owned(), detail }
    }

    /// The variable that set the field or what is around it; else, where what is around it is not in the file at all, one
    /// that brought it in.
    fn variable_for(&self, path: &str) -> Option<&str> {
        let around = self.overrides.iter().rev().find(|set| within(path, &set.path));
        let set = around.or_else(|| {
            let absent = self.first_absent(path)?;
            self.overrides.iter().find(|set| within(&set.path, absent))
        })?;
        Some(&set.variable)
    }

    /// The path up to and including its first step that the file does not have.
    fn first_absent<'p>(&self, path: &'p str) -> Option<&'p str> {
        let there = FieldPath::resolve(self.tree(), path).to_string().len();
        let step = path.get(there..).filter(|rest| !rest.is_empty())?;
        let end = step.get(1..)?.find(['.', '[']).map_or(path.len(), |at| there + 1 + at);
        path.get(..end)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn line_of(&self, path: &str) -> Option<usize> {
        if self.located.fetch_add(1, Ordering::Relaxed) >= LOCATED {
            return None;
        }
        locate::line_of(&self.text, &FieldPath::resolve(self.tree(), path))
    }

    fn tree(&self) -> &Value {
        self.tree.get_or_init(|| yaml::parse(&self.text).unwrap_or_default())
    }
}

/// Whether `inner` is `outer` or a field in it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The file as it was named.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => file.display().fmt(f),
            None => f.write_str("built-in defaults"),
        }
    }
}

/// Without the text, which may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Collects what is wrong with one source.
pub(super) struct Problems<'a> {
    pub(super) source: &'a Source,
    pub(super) list: Vec<Problem>,
}

impl Problems<'_> {
    pub(super) fn add(&mut self, path: impl AsRef<str>, detail: impl Into<String>) {
        self.list.push(self.source.problem(path.as_ref(), detail));
    }
}
