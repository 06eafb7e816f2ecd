//! From a configuration to the rooms, each with its own section of it.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, anyhow};
use tracing::{info, warn};

use super::{
    caches,
    check::Checked,
    servers::{redis_pool, server_name},
};
use crate::{
    caches::Caches,
    clock::Clock,
    config::{
        Config,
        journal::{JournalConfig, Level},
        queue::QueueConfig,
        secret::SecretConfig,
        server::ServerConfig,
        store::StoreConfig,
        workers::WorkersConfig,
    },
    current::Current,
    hooks::Hooks,
    http::{Console, Limits},
    journal::{self, Journal, Log, Settings, Volatile},
    metrics::Metrics,
    notebook::Notebook,
    queue::{Queue, QueueLimits, RetryPolicy},
    redis_pool::RedisPool,
    relations::{Marked, Relations, embedded::Embedded, redis::RedisStore},
    resolver::Resolver,
    resource::Resources,
    retired,
    rules::History,
    secret::{Keys, Secret},
    trust::Trust,
    window::{self, Window},
};

/// A file of the journal goes when no job in it lives: small ones go soon, and each costs a sync of the folder.
const JOURNAL_FILE_BYTES: u64 = 64 << 20;
/// Finished jobs that a failover could undo may take up one part in so many of `queue.max_bytes`, beside it.
const HELD_SHARE: usize = 4;

/// What jobs run with, and what of it the app looks after.
pub(super) struct Built {
    pub(super) hooks: Hooks,
    pub(super) store: Store,
    pub(super) pools: Vec<(String, RedisPool)>,
}

/// Whoever may not write the journal's folder does not come here.
pub(super) fn remember_templates(notes: &Notebook, resources: &mut Resources, clock: Clock) {
    match retired::remember(notes, resources, clock.now()) {
        Ok(0) => {}
        Ok(templates) => {
            info!(templates, "copies under templates of an earlier configuration are removed, too")
        }
        Err(error) => warn!(%error, "copies under templates of an earlier configuration are not known"),
    }
}

/// The pages for people, which nobody has looked at.
pub(super) fn console(config: &Config, hooks: &Arc<Current<Hooks>>) -> anyhow::Result<Console> {
    let store = match config.store {
        StoreConfig::Embedded { .. } => "embedded",
        StoreConfig::Redis(_) => "in Redis",
    };
    let hooks = hooks.clone();
    let caches = move || {
        let caches = &hooks.get().caches;
        caches.names().map(|name| (name.clone(), caches.regarded(name))).collect()
    };
    Console::new(store, Box::new(caches), config.server.tls.is_some()).context("random bytes for the console")
}

/// Opens store and caches.
pub(super) fn hooks(
    config: &Config,
    checked: Checked,
    keys: Arc<Keys>,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Built> {
    let mut pools = Vec::new();
    let store = store(&config.store, clock, &mut pools)?;
    let caches = caches::open_all(config, &mut pools)?;
    let trust = Arc::new(Trust::default());
    let hooks = Hooks {
        relations: store.relations.clone(),
        caches: Caches::new(caches, metrics.clone()),
        keys,
        resources: Arc::new(checked.resources),
        precedence: Arc::default(),
        window: Arc::new(window(config, clock, &trust)),
        trust,
        resolver: resolver(config)?,
        rules: History::new(checked.rules),
        clock,
        metrics,
    };
    Ok(Built { hooks, store, pools })
}

fn resolver(config: &Config) -> anyhow::Result<Option<Arc<Resolver>>> {
    let resolver = config.resolver.as_ref().map(Resolver::new).transpose().map(|it| it.map(Arc::new));
    resolver.map_err(|detail| anyhow!("resolver: {detail}"))
}

/// The keys that come of the secret.
pub(super) fn keys(config: &Config) -> anyhow::Result<Keys> {
    Ok(Keys::derive(&secret(&config.secret)?))
}

fn secret(config: &SecretConfig) -> anyhow::Result<Secret> {
    Ok(match config {
        SecretConfig::File(file) => Secret::from_file(file)?,
        SecretConfig::Value(value) => Secret::from_text(value.expose()).context("secret.value")?,
    })
}

pub(super) type Kept = (Arc<dyn Journal>, Option<Arc<Log>>);

pub(super) fn journal(config: &JournalConfig, keys: &Arc<Keys>, clock: Clock) -> anyhow::Result<Kept> {
    let level = config.level.as_str();
    if config.level == Level::None {
        warn!(
            level,
            "there is no journal: jobs that wait are lost when the process dies, and what becomes of the index while none runs \
             is not noticed"
        );
        if journal::is_there(&config.path) {
            warn!(path = %config.path.display(), "a journal is there and is not replayed: jobs may be left in it");
        }
        return Ok((Arc::new(Volatile), None));
    }
    let settings = Settings { sync: config.level == Level::Fsync, file_bytes: JOURNAL_FILE_BYTES };
    let log = Arc::new(Log::open(&config.path, keys.clone(), settings, clock)?);
    info!(level, path = %config.path.display(), "the journal is open");
    Ok((log.clone(), Some(log)))
}

/// One store, as each of its users knows it.
pub(super) struct Store {
    pub(super) relations: Arc<dyn Relations>,
    pub(super) marked: Arc<dyn Marked>,
    pub(super) embedded: Option<Arc<Embedded>>,
    pub(super) redis: Option<Arc<RedisStore>>,
}

fn store(config: &StoreConfig, clock: Clock, pools: &mut Vec<(String, RedisPool)>) -> anyhow::Result<Store> {
    match config {
        StoreConfig::Embedded { path, by_holder, .. } => {
            let embedded = Arc::new(Embedded::open(PathBuf::as_path(path), clock)?.by_holder(*by_holder));
            info!(path = %path.display(), "the store is embedded");
            let (relations, marked) = (embedded.clone(), embedded.clone());
            Ok(Store { relations, marked, embedded: Some(embedded), redis: None })
        }
        StoreConfig::Redis(config) => {
            let tls = config.tls.read().context("store")?;
            let pool = redis_pool((&config.url, &config.sentinel), &tls, config.pool_size, config.timeout)?;
            info!(server = %server_name(&config.url, &config.sentinel), "the store is Redis");
            pools.push(("store".to_owned(), pool.clone()));
            let redis = Arc::new(RedisStore::new(pool, &config.prefix).by_holder(config.by_holder));
            let (relations, marked) = (redis.clone(), redis.clone());
            Ok(Store { relations, marked, embedded: None, redis: Some(redis) })
        }
    }
}

/// Without a journal the folder is nobody's.
pub(super) fn notes(config: &JournalConfig) -> Notebook {
    if config.level == Level::None { Notebook::none() } else { journal::notes(&config.path) }
}

fn window(config: &Config, clock: Clock, trust: &Arc<Trust>) -> Window {
    let limits = window::Limits {
        span: config.journal.replication_window,
        bytes: config.queue.max_bytes / HELD_SHARE,
        jobs: config.queue.capacity,
    };
    Window::new(limits, clock, trust.clone())
}

pub(super) fn queue(config: &QueueConfig, workers: &WorkersConfig, clock: Clock) -> Queue {
    let retry = RetryPolicy {
        max_attempts: workers.max_attempts,
        base: workers.backoff.base,
        cap: workers.backoff.cap,
    };
    let &QueueConfig { capacity, max_bytes, aging, finished } = config;
    Queue::new(QueueLimits { capacity, max_bytes, finished, aging, retry }, clock)
}

pub(super) fn limits(server: &ServerConfig) -> Limits {
    Limits {
        body_bytes: server.limits.body,
        decompressed_bytes: server.limits.decompressed_body,
        events: server.limits.batch,
        header_read: server.limits.header_read_time,
        body_read: server.limits.body_read_time,
        write: server.limits.write_time,
        streams: server.limits.streams,
        heartbeat: server.limits.heartbeat,
        connections: u32::try_from(server.limits.connections).unwrap_or(u32::MAX),
        drain: server.grace,
        ..Limits::default()
    }
}
