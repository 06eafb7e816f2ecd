//! `resources:` what users hold copies of.

use std::{collections::BTreeMap, time::Duration};

/// Settings by resource type.
pub type ResourcesConfig = BTreeMap<String, ResourceConfig>;

/// How one type of entity is cached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceConfig {
    /// The key templates of one user's copies.
    pub cache_keys: Vec<String>,
    /// How long a copy lives at most, in any cache.
    pub ttl: Duration,
    /// Clock skew and replica lag.
    pub guard: Duration,
    /// How late a read may be told of.
    pub horizon: Duration,
    /// Whether a read with neither time nor generation is refused.
    pub require_read_time: bool,
}
