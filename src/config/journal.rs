//! `journal:` what outlives a crash.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{quantity, source::Problems};

/// The journal of accepted jobs.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// What an accepted job outlives.
    pub level: Level,
    /// The directory that holds it.
    pub path: PathBuf,
    /// How long finished jobs are held, for a failover may undo them; `None`: as it is usual for the servers there are.
    #[serde(deserialize_with = "quantity::optional_duration")]
    pub replication_window: Option<Duration>,
}

/// What an accepted job outlives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The machine's crash.
    Fsync,
    /// The process's crash.
    Buffered,
    /// Neither.
    None,
}

/// No failover loses more: what a replica lacks beyond that is a loss of its own kind.
const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);

impl JournalConfig {
    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        if self.replication_window.is_some_and(|window| window > LONGEST_WINDOW) {
            let detail = "expected 1h at most: how much a replica may lack when it takes over, such as 5s";
            problems.add("journal.replication_window", detail);
        }
    }
}

impl Level {
    /// The word for it in configuration, answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Buffered => "buffered",
            Self::None => "none",
        }
    }
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { level: Level::Fsync, path: "data/journal".into(), replication_window: None }
    }
}
