//! What is wrong with a configuration: one [`Problem`] each, with the place where somebody has to go and mend it.

use std::fmt;

/// One thing that is wrong. Prints as `FILE:LINE: FIELD PATH: what would be right`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Who said it: a file, an environment variable, or the built-in defaults.
    pub origin: String,
    /// The line in that file, from 1, where it is known.
    pub line: Option<usize>,
    /// The field (`queue.capacity`, `caches[0].url`); empty where it is the file as a whole.
    pub path: String,
    /// What is wrong and what would be right. Holds no secret and no URL.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// A configuration that cannot be run with. Prints one problem after the other, each on a line of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Everything that was found, never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
