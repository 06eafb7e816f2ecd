//! The rooms of a service, and how they are given to those who work in them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    build::{self, Built, hooks, limits, notes, remember_templates},
    caches,
    check::check,
};
use crate::{
    caches::Regard,
    clock::Clock,
    config::Loaded,
    current::Current,
    dead_letters::DeadLetters,
    feed::Feed,
    health::Health,
    history::Reading,
    hooks::Hooks,
    http::{Auth, Console, JobCounts, Limits, RenderMetrics, Service},
    ingest::Ingest,
    journal::{Journal, Log},
    lookup::Lookup,
    losses::{Ground, Losses},
    metrics::Metrics,
    queue::{JobState, Owed, Queue},
    reconcile::Reconciliations,
    redis_pool::RedisPool,
    relations::{ClaimError, Relations, embedded::Embedded},
    secret::Keys,
    worker::Worker,
};

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
    /// What a reload replaces, with [`Parts::outfit`].
    pub(super) hooks: Arc<Current<Hooks>>,
    pub(super) reconciliations: Arc<Reconciliations>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) losses: Arc<Losses>,
    pub(super) feed: Arc<Feed>,
    /// The store is tied to our secret.
    pub(super) is_ours: Arc<AtomicBool>,
    pub(super) keys: Arc<Keys>,
    pub(super) outfit: Arc<Current<Outfit>>,
    pub(super) console: Arc<Console>,
    batch: usize,
    limits: Limits,
    streams: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// What there is for the caches beside them.
pub(super) struct Outfit {
    /// Connections, by what they lead to.
    pub(super) pools: Vec<(String, RedisPool)>,
    /// How much each cache may be owed, by its name.
    pub(super) bounds: BTreeMap<Arc<str>, Owed>,
}

/// Who may ask.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) auth: Auth,
    /// Told when that changes.
    pub(super) keys_changed: CancellationToken,
}

impl Entry {
    pub(super) fn new(auth: Auth) -> Self {
        Self { auth, keys_changed: CancellationToken::new() }
    }
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
        let keys = Arc::new(build::keys(config)?);
        let (journal, log) = build::journal(&config.journal, &keys, clock)?;
        health.replaying(log.is_some());
        remember_templates(&notes(&config.journal), &mut checked.resources, clock);
        let Built { mut hooks, store, pools } = hooks(config, checked, keys.clone(), clock, metrics.clone())?;
        hooks.caches = caches::remembering(hooks.caches, &config.journal, &health);
        let (relations, hooks) = (hooks.relations.clone(), Arc::new(Current::new(hooks)));
        let queue = Arc::new(build::queue(&config.queue, &config.workers, clock));
        let ground = Ground {
            store: store.marked,
            redis: store.redis,
            caches: caches::servers(config, &pools),
            notes: notes(&config.journal),
            hooks: hooks.clone(),
            queue: queue.clone(),
            journal: journal.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            clock,
            on_loss: config.store.on_loss(),
        };
        let limits = limits(&config.server);
        let console = Arc::new(build::console(config, &hooks)?);
        Ok(Self {
            console,
            relations,
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
            keys,
            outfit: Arc::new(Current::new(Outfit { pools, bounds: caches::bounds(config) })),
            batch: config.workers.batch,
            limits,
            streams: Arc::new(Semaphore::new(limits.streams)),
            waiting: Arc::new(Semaphore::new(limits.waiting())),
        })
    }

    /// Ties the store to our secret.
    async fn claim(&self) -> Result<(), ClaimError> {
        self.relations.claim(self.keys.fingerprint()).await?;
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
            reads: Worker::gathering(),
        }
    }

    /// What handlers work with, until the next reload.
    pub(super) fn service(&self, Entry { auth, keys_changed }: Entry) -> Service {
        let Hooks { rules, resources, keys, .. } = &*self.hooks.get();
        let ingest = Ingest {
            rules: rules.in_force().clone(),
            resources: resources.clone(),
            keys: keys.clone(),
            journal: self.journal.clone(),
            queue: self.queue.clone(),
            clock: self.clock,
            health: self.health.clone(),
            metrics: self.metrics.clone(),
        };
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
            streams: self.streams.clone(),
            auth,
            keys_changed,
            waiting: self.waiting.clone(),
            limits: self.limits,
            metrics: self.render_metrics(),
            job_counts: self.job_counts(),
            console: self.console.clone(),
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

    fn job_counts(&self) -> JobCounts {
        let metrics = self.metrics.clone();
        Arc::new(move |job_type, state| metrics.jobs_of(job_type, state))
    }

    /// Has the console keep how things are, for its charts.
    pub(super) fn note_for_console(&self) {
        self.console.note(self.clock.tick(), || {
            let view = self.queue.view();
            let ends = [JobState::Done, JobState::Superseded, JobState::Expired, JobState::Dead];
            Reading {
                events: self.metrics.events_taken(),
                ended: ends.into_iter().map(|state| self.metrics.jobs_ended(state)).sum(),
                queued: view.queued,
                dead: view.dead,
                oldest: view.oldest_by_priority,
                latency: self.metrics.invalidations(),
            }
        });
    }

    fn render_metrics(&self) -> RenderMetrics {
        let (metrics, queue, outfit) = (self.metrics.clone(), self.queue.clone(), self.outfit.clone());
        let (hooks, health) = (self.hooks.clone(), self.health.clone());
        Arc::new(move || {
            let (view, hooks) = (queue.view(), hooks.get());
            metrics.observe_queue(&view);
            metrics.condition.observe(&health.readiness(view.suspended), health.is_journal_unwritable());
            metrics.forget_caches();
            for name in hooks.caches.names() {
                let owed = view.owed.get(name).map_or(0, |owed| owed.jobs);
                metrics.observe_cache(name, owed, hooks.caches.regarded(name) != Some(Regard::Trusted));
            }
            for (name, pool) in &outfit.get().pools {
                let (connections, idle) = pool.connections();
                metrics.observe_pool(name, connections, idle);
            }
            metrics.render().unwrap_or_else(|error| format!("# {error}\n"))
        })
    }
}
