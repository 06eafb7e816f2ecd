//! `log:` what is logged, and how.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::source::Problems;

/// The log.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines there are, in `tracing`'s words: `info`, `warn,decache=debug`.
    pub filter: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: an object each.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl LogConfig {
    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        if let Err(error) = EnvFilter::try_new(&self.filter) {
            problems
                .add("log.filter", format!("expected a filter such as info or warn,decache=debug ({error})"));
        }
    }
}
