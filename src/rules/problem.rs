//! What is wrong with a setting, and where it stands.

use std::fmt;

/// A setting that cannot be, or, as a warning, that hardly is what was meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleProblem {
    /// Where in the configuration, such as `job_scheduler.job_rules[1].action_type`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl RuleProblem {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), detail: detail.into() }
    }
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.detail)
    }
}
