//! `journal:` what outlives a crash.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::quantity;

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
