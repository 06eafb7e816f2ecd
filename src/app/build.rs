//! From a configuration to the rooms, each with its own section of it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, anyhow};
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use super::servers::{redis_pool, server_name};
use crate::{
    caches::{Cache, Caches, Regard, http::HttpCache, pubsub::PubsubCache, redis::RedisCache},
    clock::Clock,
    config::{
        Config, ConfigError, Loaded, Problem,
        caches::{CacheConfig, CacheTarget},
        journal::{JournalConfig, Level},
        queue::QueueConfig,
        rules::RulesConfig,
        secret::SecretConfig,
        server::ServerConfig,
        store::StoreConfig,
        workers::WorkersConfig,
    },
    dead_letters::DeadLetters,
    feed::Feed,
    health::Health,
    hooks::Hooks,
    http::{Auth, Limits, RenderMetrics, Service},
    ingest::Ingest,
    job::JobType,
    journal::{self, Journal, Log, Settings, Volatile},
    lookup::Lookup,
    losses::{Ground, Losses},
    metrics::Metrics,
    notebook::Notebook,
    queue::{Owed, Queue, QueueLimits, RetryPolicy},
    reconcile::Reconciliations,
    redis_pool::RedisPool,
    relations::{ClaimError, Marked, Relations, embedded::Embedded, redis::RedisStore},
    resolver::Resolver,
    resource::Resources,
    retired,
    rules::{RuleProblem, RuleSet},
    secret::{Keys, Secret},
    trust::Trust,
    window::{self, Window},
    worker::Worker,
};

/// A file of the journal goes when no job in it lives: small ones go soon, and each costs a sync of the folder.
const JOURNAL_FILE_BYTES: u64 = 64 << 20;
/// Finished jobs that a failover could undo may take up one part in so many of `queue.max_bytes`, beside it.
const HELD_SHARE: usize = 4;
/// Connections to one cache.
const CACHE_CONNECTIONS: usize = 16;

/// The rooms of a service. Cloning them shares them.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) relations: Arc<dyn Relations>,
    /// The same store, where it has to be swept.
    pub(super) embedded: Option<Arc<Embedded>>,
    pub(super) queue: Arc<Queue>,
    pub(super) journal: Arc<dyn Journal>,
    /// The same journal, where it has to be replayed.
    pub(super) log: Option<Arc<Log>>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) reconciliations: Arc<Reconciliations>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) losses: Arc<Losses>,
    pub(super) feed: Arc<Feed>,
    /// The store is tied to our secret.
    pub(super) is_ours: Arc<AtomicBool>,
    auth: Auth,
    pools: Arc<[(String, RedisPool)]>,
    batch: usize,
    /// How much each cache may be owed, by its name.
    pub(super) bounds: Arc<BTreeMap<Arc<str>, Owed>>,
}

/// The rules and resources of a configuration, and what is allowed there and yet hardly meant.
pub struct Checked {
    /// Which jobs events make.
    pub rules: RuleSet,
    /// Which copies there are.
    pub resources: Resources,
    /// Each with its place in the configuration.
    pub warnings: Vec<Problem>,
}

/// Compiles what a configuration says of rules and resources.
///
/// # Errors
/// [`ConfigError`]: everything that is wrong with it, each with its place.
pub fn check(loaded: &Loaded) -> Result<Checked, ConfigError> {
    let Loaded { config, source } = loaded;
    let place = |problem: &RuleProblem| source.problem(&problem.path, &problem.detail);
    let refused = |problems: Vec<RuleProblem>| ConfigError { problems: problems.iter().map(place).collect() };
    let prefix = config.store.prefix().unwrap_or_default();
    let resources = Resources::compile(&config.resources, prefix).map_err(refused)?;
    refuse_keys_without_url(&config.caches, &resources).map_err(refused)?;
    let rules = RuleSet::compile(&config.rules, &resources).map_err(refused)?;
    if !config.store.by_holder() {
        refuse_revocations(&config.rules).map_err(refused)?;
    }
    let warnings = rules.warnings().iter().map(place).collect();
    Ok(Checked { rules, resources, warnings })
}

/// Without an index by holder nobody knows what to revoke.
fn refuse_revocations(rules: &RulesConfig) -> Result<(), Vec<RuleProblem>> {
    let mut problems = Vec::new();
    for (topic, entries) in &rules.topics {
        for (index, entry) in entries.iter().enumerate() {
            if entry.job_properties.job_type == JobType::Revoke {
                let path = format!("job_scheduler.enricher.topics.{topic}[{index}].job_properties.job_type");
                problems.push(RuleProblem::new(path, "a revoke job needs store.by_holder: true"));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A copy whose key is no path has no URL in a cache where the key stands right behind the host.
fn refuse_keys_without_url(caches: &[CacheConfig], resources: &Resources) -> Result<(), Vec<RuleProblem>> {
    let by_path = |cache: &&CacheConfig| matches!(&cache.target, CacheTarget::Http(http) if http.purge.url.is_key_path());
    let Some(cache) = caches.iter().find(by_path) else { return Ok(()) };
    let mut problems = Vec::new();
    for (resource_type, resource) in resources.iter() {
        let templates = resource.templates().iter().enumerate();
        for (index, _) in templates.filter(|(_, template)| !template.leading_text().starts_with('/')) {
            let path = format!("resources.{resource_type}.cache_keys[{index}]");
            let name = &cache.name;
            let detail =
                format!("must begin with `/`: in the cache {name} {{key}} stands right behind the host");
            problems.push(RuleProblem::new(path, detail));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

impl Parts {
    pub(super) fn build(loaded: &Loaded) -> anyhow::Result<Self> {
        let mut checked = check(loaded)?;
        for warning in &checked.warnings {
            warn!("{warning}");
        }
        let config = &loaded.config;
        let (clock, health) = (Clock::start(), Arc::new(Health::new(config.journal.level.as_str())));
        let metrics = Arc::new(Metrics::new()?);
        let keys = Arc::new(keys(config)?);
        let (journal, log) = journal(&config.journal, &keys, clock)?;
        health.replaying(log.is_some());
        remember_templates(&notes(&config.journal), &mut checked.resources, clock);
        let Built { mut hooks, store, pools } = hooks(config, checked, keys, clock, metrics.clone())?;
        hooks.caches = remembering(hooks.caches, &config.journal, &health);
        let hooks = Arc::new(hooks);
        let queue = Arc::new(queue(&config.queue, &config.workers, clock));
        let ground = Ground {
            store: store.marked,
            redis: store.redis,
            caches: cache_servers(config, &pools),
            notes: notes(&config.journal),
            hooks: hooks.clone(),
            queue: queue.clone(),
            journal: journal.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            clock,
            on_loss: config.store.on_loss(),
        };
        Ok(Self {
            relations: hooks.relations.clone(),
            embedded: store.embedded,
            journal,
            log,
            queue,
            hooks,
            reconciliations: Arc::new(Reconciliations::new(clock)),
            health,
            metrics,
            clock,
            losses: Arc::new(Losses::new(ground)),
            feed: Arc::new(Feed::new(&hex::encode(fastrand::u64(..).to_be_bytes()))),
            is_ours: Arc::default(),
            auth: auth(config),
            pools: pools.into(),
            batch: config.workers.batch,
            bounds: Arc::new(bounds(config)),
        })
    }

    /// Ties the store to our secret.
    async fn claim(&self) -> Result<(), ClaimError> {
        self.relations.claim(self.hooks.keys.fingerprint()).await?;
        self.is_ours.store(true, Ordering::Release);
        Ok(())
    }

    /// Ties the store to our secret, and finds out whether it is the one that it was. Once is enough: what becomes of it later
    /// is noticed later.
    pub(super) async fn claim_and_look(&self) -> Result<(), ClaimError> {
        if self.losses.know_the_store() {
            return Ok(());
        }
        self.claim().await?;
        Ok(self.losses.look_at_store().await?)
    }

    pub(super) fn worker(&self) -> Worker {
        Worker {
            queue: self.queue.clone(),
            hooks: self.hooks.clone(),
            journal: self.journal.clone(),
            clock: self.clock,
            metrics: self.metrics.clone(),
            feed: self.feed.clone(),
            batch: self.batch,
        }
    }

    /// What handlers work with.
    pub(super) fn service(&self, server: &ServerConfig) -> Service {
        let Hooks { rules, resources, keys, .. } = &*self.hooks;
        let ingest = Ingest {
            rules: rules.clone(),
            resources: resources.clone(),
            keys: keys.clone(),
            journal: self.journal.clone(),
            queue: self.queue.clone(),
            clock: self.clock,
            health: self.health.clone(),
            metrics: self.metrics.clone(),
        };
        let limits = limits(server);
        let dead_letters = DeadLetters {
            queue: self.queue.clone(),
            journal: self.journal.clone(),
            clock: self.clock,
            health: self.health.clone(),
            metrics: self.metrics.clone(),
        };
        Service {
            dead_letters,
            ingest: Arc::new(ingest),
            queue: self.queue.clone(),
            lookup: Lookup::new(self.relations.clone(), keys.clone()),
            reconciliations: self.reconciliations.clone(),
            health: self.health.clone(),
            feed: self.feed.clone(),
            streams: Arc::new(Semaphore::new(limits.streams)),
            auth: self.auth.clone(),
            waiting: Arc::new(Semaphore::new(limits.waiting())),
            limits,
            metrics: self.render_metrics(),
            clock: self.clock,
        }
    }

    pub(super) fn tell_what_is_left(&self) {
        let view = self.queue.view();
        let left = view.queued + view.running;
        match (left, &self.log) {
            (0, _) => {}
            (_, Some(_)) => {
                info!(jobs = left, "jobs that were not due or could not be done wait in the journal")
            }
            (_, None) => warn!(
                jobs = left,
                "jobs that were not due or could not be done are lost: there is no journal"
            ),
        }
        info!("stopped");
    }

    fn render_metrics(&self) -> RenderMetrics {
        let (metrics, queue, pools) = (self.metrics.clone(), self.queue.clone(), self.pools.clone());
        let hooks = self.hooks.clone();
        Arc::new(move || {
            let view = queue.view();
            metrics.observe_queue(&view);
            for name in hooks.caches.names() {
                let owed = view.owed.get(name).map_or(0, |owed| owed.jobs);
                metrics.observe_cache(name, owed, hooks.caches.regarded(name) != Some(Regard::Trusted));
            }
            for (name, pool) in pools.iter() {
                let (connections, idle) = pool.connections();
                metrics.observe_pool(name, connections, idle);
            }
            metrics.render().unwrap_or_else(|error| format!("# {error}\n"))
        })
    }
}

/// What jobs run with, and what of it the app looks after.
pub(super) struct Built {
    pub(super) hooks: Hooks,
    pub(super) store: Store,
    pools: Vec<(String, RedisPool)>,
}

/// Whoever may not write the journal's folder does not come here.
fn remember_templates(notes: &Notebook, resources: &mut Resources, clock: Clock) {
    match retired::remember(notes, resources, clock.now()) {
        Ok(0) => {}
        Ok(templates) => {
            info!(templates, "copies under templates of an earlier configuration are removed, too")
        }
        Err(error) => warn!(%error, "copies under templates of an earlier configuration are not known"),
    }
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
    let caches = caches(config, &mut pools)?;
    let trust = Arc::new(Trust::default());
    let hooks = Hooks {
        relations: store.relations.clone(),
        caches: Caches::new(caches, metrics.clone()),
        keys,
        resources: Arc::new(checked.resources),
        window: Arc::new(window(config, clock, &trust)),
        trust,
        resolver: resolver(config)?,
        rules: Arc::new(checked.rules),
        clock,
        metrics,
    };
    Ok(Built { hooks, store, pools })
}

fn resolver(config: &Config) -> anyhow::Result<Option<Resolver>> {
    let resolver = config.resolver.as_ref().map(Resolver::new).transpose();
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

type Kept = (Arc<dyn Journal>, Option<Arc<Log>>);

fn journal(config: &JournalConfig, keys: &Arc<Keys>, clock: Clock) -> anyhow::Result<Kept> {
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
    relations: Arc<dyn Relations>,
    pub(super) marked: Arc<dyn Marked>,
    embedded: Option<Arc<Embedded>>,
    redis: Option<Arc<RedisStore>>,
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

fn caches(config: &Config, pools: &mut Vec<(String, RedisPool)>) -> anyhow::Result<Vec<Box<dyn Cache>>> {
    let mut caches: Vec<Box<dyn Cache>> = Vec::new();
    let store_prefix = config.store.prefix().unwrap_or_default();
    for CacheConfig { name, target, .. } in &config.caches {
        match target {
            CacheTarget::Redis(config) => {
                let tls = config.tls.read().with_context(|| format!("cache {name}"))?;
                let server = (&config.url, &config.sentinel);
                let pool = redis_pool(server, &tls, CACHE_CONNECTIONS, config.timeout)?;
                info!(cache = name, server = %server_name(&config.url, &config.sentinel), "a cache is Redis");
                pools.push((format!("cache:{name}"), pool.clone()));
                let cache = RedisCache::new(name.clone(), pool, config.key_prefix.clone());
                caches.push(Box::new(cache.beside_store(store_prefix)));
            }
            CacheTarget::Http(config) => {
                let cache = HttpCache::new(name.clone(), config);
                caches.push(Box::new(cache.map_err(|detail| anyhow!("cache {name}: {detail}"))?));
                info!(cache = name, server = config.purge.url.server(), "a cache is told over HTTP");
            }
            CacheTarget::Pubsub(config) => {
                let (redis, channel) = (&config.redis, config.channel.clone());
                let tls = redis.tls.read().with_context(|| format!("cache {name}"))?;
                let pool = RedisPool::with_tls(redis.url.expose(), &tls, CACHE_CONNECTIONS, redis.timeout)?;
                info!(cache = name, server = %redis.url.server(), channel, "caches listen on a channel");
                pools.push((format!("cache:{name}"), pool.clone()));
                let key_prefix = redis.key_prefix.clone();
                caches.push(Box::new(PubsubCache::new(name.clone(), pool, channel, key_prefix)));
            }
        }
    }
    Ok(caches)
}

/// Each cache in a Redis: its name, its pool, what its keys begin with.
fn cache_servers(config: &Config, pools: &[(String, RedisPool)]) -> Vec<(String, RedisPool, String)> {
    let server = |CacheConfig { name, target, .. }: &CacheConfig| {
        let CacheTarget::Redis(redis) = target else { return None };
        let (_, pool) = pools.iter().find(|(pool, _)| *pool == format!("cache:{name}"))?;
        Some((name.clone(), pool.clone(), redis.key_prefix.clone()))
    };
    config.caches.iter().filter_map(server).collect()
}

/// Without a journal the folder is nobody's.
fn notes(config: &JournalConfig) -> Notebook {
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

/// Which caches are suspect is known across restarts where jobs are.
fn remembering(caches: Caches, journal: &JournalConfig, health: &Health) -> Caches {
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
fn bounds(config: &Config) -> BTreeMap<Arc<str>, Owed> {
    let bytes = config.queue.max_bytes / 2;
    config.caches.iter().map(|cache| (cache.name.as_str().into(), Owed { jobs: cache.owed, bytes })).collect()
}

fn queue(config: &QueueConfig, workers: &WorkersConfig, clock: Clock) -> Queue {
    let retry = RetryPolicy {
        max_attempts: workers.max_attempts,
        base: workers.backoff.base,
        cap: workers.backoff.cap,
    };
    let &QueueConfig { capacity, max_bytes, aging, finished } = config;
    Queue::new(QueueLimits { capacity, max_bytes, finished, aging, retry }, clock)
}

fn auth(config: &Config) -> Auth {
    Auth::new(config.auth.keys.clone())
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
