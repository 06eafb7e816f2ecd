//! The caches of a configuration.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, anyhow};
use tracing::{error, info, warn};

use super::servers::{redis_pool, server_name};
use crate::{
    caches::{Cache, Caches, Regard, http::HttpCache, pubsub::PubsubCache, redis::RedisCache},
    config::{
        Config,
        caches::{CacheConfig, CacheTarget},
        journal::{JournalConfig, Level},
        store::StoreConfig,
    },
    health::Health,
    journal,
    queue::Owed,
    redis_pool::RedisPool,
};

/// Connections to one cache.
const CACHE_CONNECTIONS: usize = 16;

/// A cache that can be used, and its connections, where it is a Redis.
pub(super) struct Opened {
    pub(super) cache: Box<dyn Cache>,
    pub(super) pool: Option<RedisPool>,
}

/// All caches, and the connections to those that are Redis.
pub(super) fn open_all(
    config: &Config,
    pools: &mut Vec<(String, RedisPool)>,
) -> anyhow::Result<Vec<Box<dyn Cache>>> {
    let mut caches = Vec::new();
    for one in &config.caches {
        let Opened { cache, pool } = open(one, &config.store)?;
        pools.extend(pool.map(|pool| (pool_name(&one.name), pool)));
        caches.push(cache);
    }
    Ok(caches)
}

/// What a cache's connections are called in metrics.
pub(super) fn pool_name(cache: &str) -> String {
    format!("cache:{cache}")
}

/// Nothing is connected yet. `store`: whose keys are nobody's copies.
pub(super) fn open(
    CacheConfig { name, target, .. }: &CacheConfig,
    store: &StoreConfig,
) -> anyhow::Result<Opened> {
    Ok(match target {
        CacheTarget::Redis(config) => {
            let tls = config.tls.read().with_context(|| format!("cache {name}"))?;
            let server = (&config.url, &config.sentinel);
            let pool = redis_pool(server, &tls, CACHE_CONNECTIONS, config.timeout)?;
            info!(cache = name, server = %server_name(&config.url, &config.sentinel), "a cache is Redis");
            let cache = RedisCache::new(name.clone(), pool.clone(), config.key_prefix.clone());
            let cache = Box::new(cache.beside_store(store.prefix().unwrap_or_default()));
            Opened { cache, pool: Some(pool) }
        }
        CacheTarget::Http(config) => {
            let cache = HttpCache::new(name.clone(), config);
            let cache = Box::new(cache.map_err(|detail| anyhow!("cache {name}: {detail}"))?);
            info!(cache = name, server = config.purge.url.server(), "a cache is told over HTTP");
            Opened { cache, pool: None }
        }
        CacheTarget::Pubsub(config) => {
            let (redis, channel) = (&config.redis, config.channel.clone());
            let tls = redis.tls.read().with_context(|| format!("cache {name}"))?;
            let pool = RedisPool::with_tls(redis.url.expose(), &tls, CACHE_CONNECTIONS, redis.timeout)?;
            info!(cache = name, server = %redis.url.server(), channel, "caches listen on a channel");
            let key_prefix = redis.key_prefix.clone();
            let cache = Box::new(PubsubCache::new(name.clone(), pool.clone(), channel, key_prefix));
            Opened { cache, pool: Some(pool) }
        }
    })
}

/// Each cache in a Redis: its name, its pool, what its keys begin with.
pub(super) fn servers(config: &Config, pools: &[(String, RedisPool)]) -> Vec<(String, RedisPool, String)> {
    let server = |CacheConfig { name, target, .. }: &CacheConfig| {
        let CacheTarget::Redis(redis) = target else { return None };
        let (_, pool) = pools.iter().find(|(pool, _)| *pool == pool_name(name))?;
        Some((name.clone(), pool.clone(), redis.key_prefix.clone()))
    };
    config.caches.iter().filter_map(server).collect()
}

/// Which caches are suspect is known across restarts where jobs are.
pub(super) fn remembering(caches: Caches, journal: &JournalConfig, health: &Health) -> Caches {
    if journal.level == Level::None {
        return caches;
    }
    let (caches, trouble) = caches.remembering(journal::notes(&journal.path));
    if let Some(error) = trouble {
        error!(%error, "the note of suspect caches cannot be read: all caches are suspect");
    }
    for cache in caches.unknown_suspects() {
        warn!(cache, "a suspect cache is no longer configured: nobody removes what is stale in it");
    }
    for name in caches.names().filter(|name| caches.regarded(name) != Some(Regard::Trusted)) {
        warn!(cache = &**name, "the cache is suspect: removals leave it out until it answers and is emptied");
        // Until the first look says more.
        health.report(&format!("cache:{name}"), Some("it is suspect".to_owned()));
    }
    caches
}

/// No cache's jobs may fill the queue, in number or in bytes.
pub(super) fn bounds(config: &Config) -> BTreeMap<Arc<str>, Owed> {
    let bytes = config.queue.max_bytes / 2;
    config.caches.iter().map(|cache| (cache.name.as_str().into(), Owed { jobs: cache.owed, bytes })).collect()
}
