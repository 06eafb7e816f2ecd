//! `resources:` under which keys each type's copies live, and for how long.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{quantity, source::Problems};
use crate::event::is_resource_type;

/// Every resource type that has copies, by its name in events.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(transparent)]
pub struct ResourcesConfig(pub BTreeMap<String, ResourceConfig>);

/// The copies of one resource type.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceConfig {
    /// Templates of the keys that one user's copies of one entity have; not compiled yet.
    pub cache_keys: Vec<String>,
    /// Patterns of keys of variants, for what is removed by pattern after a loss; not compiled yet.
    #[serde(default)]
    pub variant_patterns: Vec<String>,
    /// The longest life of a copy in any cache, where the event does not say.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub ttl: Duration,
    /// Clock skew between API servers and replica lag, at most.
    #[serde(default = "default_guard", deserialize_with = "quantity::duration")]
    pub guard: Duration,
    /// How late a read may be told of.
    #[serde(default = "default_horizon", deserialize_with = "quantity::some_duration")]
    pub horizon: Duration,
    /// How much later an invalidation removes again what caches have filled meanwhile; zero: it does not.
    #[serde(default, deserialize_with = "quantity::duration")]
    pub recheck: Duration,
    /// Refuses reads that say neither when they began nor under which generation.
    #[serde(default)]
    pub require_read_time: bool,
}

/// Below that a recheck is due before the fan-out that it follows has ended.
const SHORTEST_RECHECK: Duration = Duration::from_millis(10);

impl Default for ResourcesConfig {
    fn default() -> Self {
        let posts = ResourceConfig {
            cache_keys: vec!["/posts/{entity_id}?access_token={access_token}".to_owned()],
            variant_patterns: Vec::new(),
            ttl: Duration::from_secs(300),
            guard: default_guard(),
            horizon: default_horizon(),
            recheck: Duration::ZERO,
            require_read_time: false,
        };
        Self(BTreeMap::from([("Posts".to_owned(), posts)]))
    }
}

impl ResourcesConfig {
    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        for (name, resource) in &self.0 {
            let at = format!("resources.{name}");
            if !is_resource_type(name) {
                problems.add(&at, "expected a resource type: 1 to 64 letters, digits, `_`, `.` or `-`");
            }
            if resource.cache_keys.is_empty() {
                problems
                    .add(format!("{at}.cache_keys"), "is empty: expected the keys' templates, one at least");
            }
            for (index, _) in resource.cache_keys.iter().enumerate().filter(|(_, key)| !is_key(key)) {
                let detail = "expected a key's template: 1 to 1024 bytes without control characters";
                problems.add(format!("{at}.cache_keys[{index}]"), detail);
            }
            if !resource.recheck.is_zero() && resource.recheck < SHORTEST_RECHECK {
                let detail = "expected 10ms at least: how long after an event a cache may still be filled";
                problems.add(format!("{at}.recheck"), detail);
            }
            if resource.horizon <= resource.guard {
                problems.add(
                    format!("{at}.horizon"),
                    "is not above guard: expected how late a read may be told of, such as 1h",
                );
            }
        }
    }

    /// Refuses templates and patterns that, behind a cache's own prefix, name the store's keys.
    pub(super) fn check_prefix(&self, store_prefix: &str, key_prefix: &str, problems: &mut Problems<'_>) {
        for (name, resource) in &self.0 {
            let lists =
                [("cache_keys", &resource.cache_keys), ("variant_patterns", &resource.variant_patterns)];
            let texts = lists.into_iter().flat_map(|(list, texts)| {
                texts.iter().enumerate().map(move |(index, text)| (list, index, text))
            });
            for (list, index, text) in texts {
                if format!("{key_prefix}{text}").starts_with(store_prefix) {
                    let detail =
                        format!("begins with store.prefix {store_prefix:?}: these keys are the store's own");
                    problems.add(format!("resources.{name}.{list}[{index}]"), detail);
                }
            }
        }
    }
}

fn is_key(template: &str) -> bool {
    (1..=1024).contains(&template.len()) && !template.chars().any(char::is_control)
}

fn default_guard() -> Duration {
    Duration::from_secs(2)
}

fn default_horizon() -> Duration {
    Duration::from_secs(3600)
}
