//! `sentinel:` of a Redis: who knows where it is, where that may change.

use serde::Deserialize;

use super::{redis_url::RedisUrl, source::Problems};

/// Redis Sentinel.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentinelConfig {
    /// What the sentinels call the primary.
    pub master: String,
    /// The sentinels, with user and password where they ask for them.
    pub urls: Vec<RedisUrl>,
}

impl SentinelConfig {
    /// For logs.
    pub fn servers(&self) -> String {
        let urls: Vec<&str> = self.urls.iter().map(RedisUrl::server).collect();
        format!("{} as told by {}", self.master, urls.join(", "))
    }

    /// `url` is the one beside it, in the section at `path`.
    pub(super) fn check(&self, path: &str, url: &RedisUrl, problems: &mut Problems<'_>) {
        if self.master.is_empty() || self.master.chars().any(|char| char.is_control() || char == ' ') {
            problems.add(
                format!("{path}.sentinel.master"),
                "expected the name that the sentinels have for the primary, such as mymaster",
            );
        }
        if self.urls.is_empty() {
            problems.add(format!("{path}.sentinel.urls"), "is empty: expected redis://host:26379 of each");
        }
        if url.is_socket() || self.urls.iter().any(RedisUrl::is_socket) {
            problems.add(
                format!("{path}.sentinel"),
                "stands beside unix://: sentinels and what they watch have hosts",
            );
        }
    }
}
