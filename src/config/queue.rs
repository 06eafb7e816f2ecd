//! `queue:` how much may wait, and in which order.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::quantity;
pub use crate::queue::Aging;

/// The queue's bounds and order.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Jobs at most.
    #[serde(deserialize_with = "jobs")]
    pub capacity: usize,
    /// Bytes at most that these jobs take.
    #[serde(deserialize_with = "quantity::size")]
    pub max_bytes: usize,
    /// What a level of priority is worth.
    pub aging: Aging,
    /// Finished jobs that can still be looked at.
    #[serde(deserialize_with = "finished")]
    pub finished: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            max_bytes: 512 << 20,
            aging: Aging::PerLevel(Duration::from_secs(1)),
            finished: 10_000,
        }
    }
}

impl<'de> Deserialize<'de> for Aging {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.as_str() == Some("strict") {
            return Ok(Self::Strict);
        }
        let expected =
            "a time for each level of priority, in seconds or with a unit (1, 250ms, 2s), or `strict`";
        quantity::to_duration(&value).map(Self::PerLevel).ok_or_else(|| quantity::refused(expected, &value))
    }
}

fn jobs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of jobs", 1..=1_000_000_000, deserializer)
}

fn finished<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of jobs", 0..=10_000_000, deserializer)
}
