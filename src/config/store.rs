//! `store:` where the index of relationships is kept.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use super::{quantity, redis_url::RedisUrl, sentinel::SentinelConfig, source::Problems, tls::RedisTls};

/// The store of relationships.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreConfig {
    /// On this machine's disk, for a single process.
    Embedded {
        /// The directory that holds it.
        path: PathBuf,
        /// Whether it also knows what each holder holds.
        by_holder: bool,
        /// What to do where it is lost.
        on_loss: OnLoss,
    },
    /// In a Redis server, for production.
    Redis(RedisStore),
}

/// An index in Redis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisStore {
    /// The server; where there are sentinels, all of it but where it is.
    pub url: RedisUrl,
    /// Who knows where it is.
    pub sentinel: Option<SentinelConfig>,
    /// Whom to believe, and who we are, where the URL asks for TLS.
    pub tls: RedisTls,
    /// What every key begins with: not empty, no braces.
    pub prefix: String,
    /// Connections at most.
    pub pool_size: usize,
    /// The longest that connecting, or one answer, may take.
    pub timeout: Duration,
    /// Whether it also knows what each holder holds.
    pub by_holder: bool,
    /// What to do where it is lost.
    pub on_loss: OnLoss,
}

/// What to do about copies that a lost index knew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnLoss {
    /// Scan every cache, and evict what nothing tracks any more. Right only where a hit is told with the time of its copy.
    Rebuild,
    /// Evict every copy that the resources' templates name.
    #[default]
    Evict,
    /// Scan nothing: until the last of them has ended, ask the resolver whom each invalidation concerns.
    Resolver,
}

impl StoreConfig {
    /// Whether the store also knows what each holder holds, which `revoke` needs.
    pub fn by_holder(&self) -> bool {
        match self {
            Self::Embedded { by_holder, .. } => *by_holder,
            Self::Redis(redis) => redis.by_holder,
        }
    }

    /// What to do where it is lost.
    pub fn on_loss(&self) -> OnLoss {
        match self {
            Self::Embedded { on_loss, .. } => *on_loss,
            Self::Redis(redis) => redis.on_loss,
        }
    }

    /// What the store's own keys begin with, where it shares a server with caches: no copy's key may begin with it.
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Self::Embedded { .. } => None,
            Self::Redis(redis) => Some(&redis.prefix),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Embedded,
    Redis,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    kind: Kind,
    path: PathBuf,
    url: Option<RedisUrl>,
    url_file: Option<PathBuf>,
    sentinel: Option<SentinelConfig>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    prefix: String,
    #[serde(deserialize_with = "connections")]
    pool_size: usize,
    #[serde(deserialize_with = "quantity::some_duration")]
    timeout: Duration,
    by_holder: bool,
    #[serde(deserialize_with = "on_loss")]
    on_loss: OnLoss,
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            kind: Kind::Embedded,
            path: "data".into(),
            url: None,
            url_file: None,
            sentinel: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            prefix: "decache:".to_owned(),
            pool_size: 16,
            timeout: Duration::from_secs(2),
            by_holder: true,
            on_loss: OnLoss::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        let RawStore { path, by_holder, on_loss, .. } = RawStore::default();
        Self::Embedded { path, by_holder, on_loss }
    }
}

impl RawStore {
    pub(super) fn check(self, problems: &mut Problems<'_>) -> StoreConfig {
        self.check_foreign(problems);
        if self.kind == Kind::Embedded {
            let Self { path, by_holder, on_loss, .. } = self;
            return StoreConfig::Embedded { path, by_holder, on_loss };
        }
        if self.prefix.is_empty()
            || self.prefix.contains(['{', '}'])
            || self.prefix.chars().any(char::is_control)
        {
            problems.add(
                "store.prefix",
                "expected what keys begin with, such as \"decache:\": not empty, no braces",
            );
        }
        let tls = self.tls();
        let urls = (self.url, self.url_file);
        let Some(url) = RedisUrl::beside(self.sentinel.as_ref(), "store", urls, problems) else {
            return StoreConfig::default();
        };
        tls.check("store", &url, problems);
        StoreConfig::Redis(RedisStore {
            url,
            sentinel: self.sentinel,
            tls,
            prefix: self.prefix,
            pool_size: self.pool_size,
            timeout: self.timeout,
            by_holder: self.by_holder,
            on_loss: self.on_loss,
        })
    }

    fn tls(&self) -> RedisTls {
        RedisTls {
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
        }
    }

    /// A setting of the other kind changes nothing; who changed it meant something. At its default it may stand, so that
    /// the file with every setting works with either kind.
    fn check_foreign(&self, problems: &mut Problems<'_>) {
        let default = Self::default();
        let tls = self.tls();
        let foreign = match self.kind {
            Kind::Redis => vec![("path", self.path != default.path)],
            Kind::Embedded => vec![
                ("url", self.url.is_some()),
                ("url_file", self.url_file.is_some()),
                ("sentinel", self.sentinel.is_some()),
                ("prefix", self.prefix != default.prefix),
                ("pool_size", self.pool_size != default.pool_size),
                ("timeout", self.timeout != default.timeout),
            ]
            .into_iter()
            .chain(tls.given().map(|field| (field, true)))
            .collect(),
        };
        let (other, own) = match self.kind {
            Kind::Redis => ("embedded", "redis"),
            Kind::Embedded => ("redis", "embedded"),
        };
        for (field, _) in foreign.into_iter().filter(|(_, set)| *set) {
            let detail = format!(
                "belongs to kind: {other}, and this store's kind is {own}: change the kind, or leave it out"
            );
            problems.add(format!("store.{field}"), detail);
        }
    }
}

fn connections<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of connections", 1..=1024, deserializer)
}

fn on_loss<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnLoss, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "rebuild" => Ok(OnLoss::Rebuild),
        "evict" => Ok(OnLoss::Evict),
        "resolver" => Ok(OnLoss::Resolver),
        _ => Err(D::Error::custom("expected rebuild, evict or resolver")),
    }
}
