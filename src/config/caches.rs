//! `caches:` where copies live, in the order in which they are removed: inner ones first.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use super::{quantity, redis_url::RedisUrl, sentinel::SentinelConfig, source::Problems, tls::RedisTls};

/// One place where copies live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheConfig {
    /// Its name in metrics and answers.
    pub name: String,
    /// What it is.
    pub target: CacheTarget,
    /// Jobs at most that wait for it; past them it is suspect.
    pub owed: usize,
}

/// What a cache is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CacheTarget {
    /// Keys in a Redis server.
    Redis(RedisCache),
}

/// A cache in Redis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisCache {
    /// The server; where there are sentinels, all of it but where it is.
    pub url: RedisUrl,
    /// Who knows where it is.
    pub sentinel: Option<SentinelConfig>,
    /// Whom to believe, and who we are, where the URL asks for TLS.
    pub tls: RedisTls,
    /// What stands before every copy's key in this cache.
    pub key_prefix: String,
    /// The longest that connecting, or one answer, may take.
    pub timeout: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCache {
    name: String,
    #[serde(rename = "kind", deserialize_with = "redis")]
    _kind: (),
    url: Option<RedisUrl>,
    url_file: Option<PathBuf>,
    sentinel: Option<SentinelConfig>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    #[serde(default)]
    key_prefix: String,
    #[serde(default = "default_timeout", deserialize_with = "quantity::some_duration")]
    timeout: Duration,
    #[serde(default, deserialize_with = "owed")]
    owed: Option<usize>,
}

/// Jobs that may wait for a cache, where the configuration does not say.
const OWED: usize = 100_000;

/// Checks the list; a cache whose URL cannot be had is left out. `capacity`: of the queue.
pub(super) fn check(raw: Vec<RawCache>, capacity: usize, problems: &mut Problems<'_>) -> Vec<CacheConfig> {
    // One cache must not fill the queue.
    let most = capacity.div_ceil(2);
    let mut names = BTreeMap::new();
    let mut caches = Vec::new();
    for (index, cache) in raw.into_iter().enumerate() {
        let at = format!("caches[{index}]");
        if !is_name(&cache.name) {
            problems.add(format!("{at}.name"), "expected a name: 1 to 64 letters, digits, `_`, `.` or `-`");
        }
        if let Some(first) = names.insert(cache.name.clone(), index) {
            problems
                .add(format!("{at}.name"), format!("is the name of caches[{first}] too: each needs its own"));
        }
        let owed = cache.owed.unwrap_or(OWED.min(most));
        if owed > most {
            problems
                .add(format!("{at}.owed"), format!("expected half of queue.capacity at most: {most} jobs"));
        }
        let tls = RedisTls {
            ca_file: cache.ca_file,
            client_cert_file: cache.client_cert_file,
            client_key_file: cache.client_key_file,
        };
        let (sentinel, urls) = (cache.sentinel, (cache.url, cache.url_file));
        if let Some(url) = RedisUrl::beside(sentinel.as_ref(), &at, urls, problems) {
            tls.check(&at, &url, problems);
            let redis =
                RedisCache { url, sentinel, tls, key_prefix: cache.key_prefix, timeout: cache.timeout };
            caches.push(CacheConfig { name: cache.name, target: CacheTarget::Redis(redis), owed });
        }
    }
    caches
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn redis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "redis" => Ok(()),
        kind @ ("http" | "pubsub") => {
            Err(D::Error::custom(format!("kind: {kind} is not built yet: only redis is")))
        }
        kind => Err(D::Error::custom(format!("expected redis, found {kind:?}"))),
    }
}

fn owed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    quantity::whole("a number of jobs", 1..=1_000_000_000, deserializer).map(Some)
}

fn default_timeout() -> Duration {
    Duration::from_secs(2)
}
