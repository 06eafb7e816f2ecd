//! `workers:` how many jobs run at once, and how a failed one is tried again.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{quantity, source::Problems};

/// The workers.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkersConfig {
    /// Workers.
    #[serde(deserialize_with = "workers")]
    pub concurrency: usize,
    /// Jobs at most that one takes at a time.
    #[serde(deserialize_with = "batch")]
    pub batch: usize,
    /// How often a `cache` job is tried before it is dead.
    #[serde(deserialize_with = "attempts")]
    pub max_attempts: u32,
    /// How long a failed job waits for its next attempt.
    pub backoff: Backoff,
}

/// Doubles from `base` to `cap`, jittered.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// After the first failure.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub base: Duration,
    /// At most.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub cap: Duration,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self { concurrency: 4, batch: 512, max_attempts: 8, backoff: Backoff::default() }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(100), cap: Duration::from_secs(30) }
    }
}

impl WorkersConfig {
    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        if self.backoff.cap < self.backoff.base {
            problems
                .add("workers.backoff.cap", "is below workers.backoff.base: expected the longer of the two");
        }
    }
}

fn workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of workers", 1..=1024, deserializer)
}

fn batch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of jobs", 1..=65_536, deserializer)
}

fn attempts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    quantity::whole("a number of attempts", 1..=1000, deserializer)
}
