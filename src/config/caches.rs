//! `caches:` where copies live, in the order in which they are removed: inner ones first.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use self::http::{HttpCacheConfig, RawRequest};
use super::{
    hidden::Hidden, quantity, redis_url::RedisUrl, secret, sentinel::SentinelConfig, source::Problems,
    tls::RedisTls as TlsFiles,
};

pub mod http;

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
    /// Told by requests.
    Http(Box<HttpCacheConfig>),
    /// In the memory of processes that listen on a Redis channel.
    Pubsub(PubsubCache),
}

/// A cache in Redis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisCache {
    /// The server; where there are sentinels, all of it but where it is.
    pub url: RedisUrl,
    /// Who knows where it is.
    pub sentinel: Option<SentinelConfig>,
    /// Whom to believe, and who we are, where the URL asks for TLS.
    pub tls: TlsFiles,
    /// What stands before every copy's key in this cache.
    pub key_prefix: String,
    /// The longest that connecting, or one answer, may take.
    pub timeout: Duration,
}

/// In-process caches behind a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PubsubCache {
    /// The server, and what stands before every key in a message.
    pub redis: RedisCache,
    /// The channel.
    pub channel: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Redis,
    Http,
    Pubsub,
}

/// The fields of all kinds; which of them belong to one, `misplaced` knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCache {
    name: String,
    #[serde(deserialize_with = "kind")]
    kind: Kind,
    url: Option<Hidden>,
    url_file: Option<PathBuf>,
    sentinel: Option<SentinelConfig>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    #[serde(default = "default_timeout", deserialize_with = "quantity::some_duration")]
    timeout: Duration,
    #[serde(default, deserialize_with = "owed")]
    owed: Option<usize>,
    key_prefix: Option<String>,
    channel: Option<String>,
    method: Option<String>,
    headers: Option<BTreeMap<String, Hidden>>,
    headers_file: Option<BTreeMap<String, PathBuf>>,
    bearer: Option<Hidden>,
    bearer_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "http::concurrency")]
    concurrency: Option<usize>,
    deleted_on: Option<BTreeSet<u16>>,
    absent_on: Option<BTreeSet<u16>>,
    health: Option<String>,
    purge_all: Option<RawRequest>,
}

/// Jobs that may wait for a cache, where the configuration does not say.
const OWED: usize = 100_000;

/// The channel, where the configuration does not say.
const CHANNEL: &str = "decache:removed";

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
        let name = cache.name.clone();
        if let Some(target) = cache.target(&at, problems) {
            caches.push(CacheConfig { name, target, owed });
        }
    }
    caches
}

impl RawCache {
    fn target(self, at: &str, problems: &mut Problems<'_>) -> Option<CacheTarget> {
        for (field, kinds) in self.misplaced() {
            problems.add(format!("{at}.{field}"), format!("belongs to a cache of kind {kinds}"));
        }
        match self.kind {
            Kind::Redis => self.redis(at, problems).map(CacheTarget::Redis),
            Kind::Http => self.http(at, problems).map(Box::new).map(CacheTarget::Http),
            Kind::Pubsub => {
                let channel = self.channel.clone().unwrap_or_else(|| CHANNEL.to_owned());
                if channel.is_empty() {
                    problems.add(format!("{at}.channel"), "expected a channel's name");
                }
                self.redis(at, problems).map(|redis| CacheTarget::Pubsub(PubsubCache { redis, channel }))
            }
        }
    }

    /// The fields that are given and belong to caches of other kinds.
    fn misplaced(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let is_http = self.kind == Kind::Http;
        let of_http = [
            ("method", self.method.is_some()),
            ("headers", self.headers.is_some()),
            ("headers_file", self.headers_file.is_some()),
            ("bearer", self.bearer.is_some()),
            ("bearer_file", self.bearer_file.is_some()),
            ("concurrency", self.concurrency.is_some()),
            ("deleted_on", self.deleted_on.is_some()),
            ("absent_on", self.absent_on.is_some()),
            ("health", self.health.is_some()),
            ("purge_all", self.purge_all.is_some()),
        ];
        let of_http = of_http.map(|(field, given)| (field, "http", given && !is_http));
        let of_redis = [("key_prefix", self.key_prefix.is_some()), ("sentinel", self.sentinel.is_some())];
        let of_redis = of_redis.map(|(field, given)| (field, "redis or pubsub", given && is_http));
        let channel = ("channel", "pubsub", self.channel.is_some() && self.kind != Kind::Pubsub);
        let all = of_http.into_iter().chain(of_redis).chain([channel]);
        all.filter(|(.., is_misplaced)| *is_misplaced).map(|(field, kinds, _)| (field, kinds))
    }

    fn redis(self, at: &str, problems: &mut Problems<'_>) -> Option<RedisCache> {
        let tls = self.tls();
        let url = match self.url.map(|url| RedisUrl::parse(url.expose())).transpose() {
            Ok(url) => RedisUrl::beside(self.sentinel.as_ref(), at, (url, self.url_file), problems)?,
            Err(detail) => {
                problems.add(format!("{at}.url"), detail);
                return None;
            }
        };
        tls.check(at, &url, problems);
        let key_prefix = self.key_prefix.unwrap_or_default();
        Some(RedisCache { url, sentinel: self.sentinel, tls, key_prefix, timeout: self.timeout })
    }

    fn tls(&self) -> TlsFiles {
        TlsFiles {
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
        }
    }
}

/// The one of a field and its file that is given.
fn one_of(
    at: &str,
    field: &str,
    (value, file): (Option<Hidden>, Option<PathBuf>),
    problems: &mut Problems<'_>,
) -> Option<Hidden> {
    let detail = match (value, file) {
        (value, None) => return value,
        (Some(_), Some(_)) => format!("stands beside {field}: keep one of the two"),
        (None, Some(file)) => match secret::read_file(&file) {
            Ok(text) => return Some(Hidden::new(text)),
            Err(detail) => detail,
        },
    };
    problems.add(format!("{at}.{field}_file"), detail);
    None
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "redis" => Ok(Kind::Redis),
        "http" => Ok(Kind::Http),
        "pubsub" => Ok(Kind::Pubsub),
        kind => Err(serde::de::Error::custom(format!("expected redis, http or pubsub, found {kind:?}"))),
    }
}

fn owed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    quantity::whole("a number of jobs", 1..=1_000_000_000, deserializer).map(Some)
}

fn default_timeout() -> Duration {
    Duration::from_secs(2)
}
