//! A process's eyes: it looks after servers that may be lost, with the real losses (rules 13 and 14).

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    cache::SimCache, journal::SimJournal, link::SimPulse, process::Surroundings, realm::Watch,
    store::SimStore,
};
use crate::{
    caches::Cache as _,
    clock::Clock,
    current::Current,
    health::Health,
    hooks::Hooks,
    losses::{Ground, Losses},
    notebook::Notebook,
    queue::Queue,
    redis_pool::Watched,
    upkeep,
    worker::Worker,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Before a look out of turn.
const BREATH: Duration = Duration::from_millis(10);

/// The store and the caches as one process reaches them, and what it knows of them.
#[derive(Clone)]
pub(super) struct Eyes {
    pub(super) store: SimStore,
    caches: Vec<SimCache>,
    losses: Arc<Losses>,
    pub(super) hooks: Arc<Current<Hooks>>,
    queue: Arc<Queue>,
    journal: Arc<SimJournal>,
    clock: Clock,
    /// Whether untracked copies may be left until relationships no longer linger.
    waits: bool,
}

/// What a process is made of that looks after its servers.
pub(super) struct Body<'a> {
    pub(super) watch: Watch,
    pub(super) notes: Notebook,
    pub(super) around: &'a Surroundings,
    pub(super) hooks: Arc<Current<Hooks>>,
    pub(super) queue: Arc<Queue>,
    pub(super) journal: Arc<SimJournal>,
    pub(super) clock: Clock,
}

impl Eyes {
    /// `around` is as this process reaches it.
    pub(super) fn new(body: Body<'_>) -> Self {
        let Body { watch, notes, around, hooks, queue, journal, clock } = body;
        let (store, caches) = (around.store.clone(), around.caches.clone());
        let ground = Ground {
            store: Arc::new(store.clone()),
            redis: None,
            caches: Vec::new(),
            notes,
            hooks: hooks.clone(),
            queue: queue.clone(),
            journal: journal.clone(),
            health: Arc::new(Health::new("simulated")),
            metrics: around.config.metrics.clone(),
            clock,
            on_loss: watch.on_loss,
        };
        let servers = |process: &str| {
            let of_cache = |cache: &SimCache| (cache.name().to_owned(), boxed(cache.pulse(process)));
            (boxed(store.pulse(process)), caches.iter().map(of_cache).collect())
        };
        let losses = Arc::new(Losses::simulated(ground, servers));
        let waits = watch.span < Duration::from_secs(1);
        Self { store, caches, losses, hooks, queue, journal, clock, waits }
    }

    /// Whether it has seen all there is to see, and nothing is to be done about it.
    pub(super) fn are_quiet(&self) -> bool {
        self.store.is_current()
            && self.caches.iter().all(SimCache::is_current)
            && !self.losses.owes(self.waits)
    }

    /// As the service's monitor does.
    pub(super) async fn watch(self) {
        loop {
            // Whatever is wrong with the store is found again by the next look.
            let store = async {
                if self.losses.know_the_store() {
                    let _ = self.losses.look_at_store().await;
                }
            };
            let caches = async {
                self.losses.look_at_caches(PAUSE).await;
                self.hooks.get().caches.ping(PAUSE).await;
            };
            tokio::join!(biased; store, caches);
            self.losses.let_go().await;
            let journal: Arc<dyn crate::journal::Journal> = self.journal.clone();
            upkeep::tidy(&self.queue, &journal, self.clock.accepted());
            if tokio::time::timeout(PAUSE, self.losses.suspected()).await.is_ok() {
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    /// Nothing runs before the store is known.
    pub(super) async fn work(self, worker: Worker) {
        let Hooks { relations, keys, .. } = &*self.hooks.get();
        while relations.claim(keys.fingerprint()).await.is_err() || self.losses.look_at_store().await.is_err()
        {
            tokio::time::sleep(BREATH).await;
        }
        let never = CancellationToken::new;
        let (one, other) = (worker.clone().run(never()), worker.run(never()));
        tokio::join!(biased; one, other, self.losses.answer(never()));
    }
}

fn boxed(pulse: SimPulse) -> Box<dyn Watched> {
    Box::new(pulse)
}
