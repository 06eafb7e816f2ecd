//! Notices that the index was lost, or that a server has failed over, and sees to what follows (DESIGN 7, rules 13 and 14).
//!
//! A server is known by what it says of itself and by this process's beats on it, the index by its marker. `verdict.rs`
//! decides what a look means, `store.rs` and `cache.rs` look and act, `answer.rs` does what is owed after a loss, and
//! `note.rs` is what outlives the process.

mod answer;
mod cache;
mod marks;
mod note;
mod reloaded;
mod store;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Notify;
use tracing::warn;

use self::{
    note::{KnownServer, NAME, Note},
    reloaded::watched,
    verdict::Known,
};
use crate::{
    clock::{Clock, Timestamp},
    config::store::OnLoss,
    current::Current,
    health::Health,
    hooks::Hooks,
    journal::Journal,
    metrics::Metrics,
    notebook::Notebook,
    queue::Queue,
    redis_pool::{Found, PoolError, RedisPool, Watched},
    relations::{Marked, Marker, redis::RedisStore},
    trust::Trust,
    upkeep::run_again,
    window::{STORE, Window},
};

/// What losses are noticed by, and what they are told to.
pub struct Ground {
    /// The index.
    pub store: Arc<dyn Marked>,
    /// The same index, where it is in a Redis.
    pub redis: Option<Arc<RedisStore>>,
    /// Caches in a Redis: name, connections, what their keys begin with.
    pub caches: Vec<(String, RedisPool, String)>,
    /// Where the process remembers.
    pub notes: Notebook,
    /// Caches, resources, the window, trust.
    pub hooks: Arc<Current<Hooks>>,
    /// Where jobs go that are run again.
    pub queue: Arc<Queue>,
    /// What keeps them.
    pub journal: Arc<dyn Journal>,
    /// Says that something is wrong.
    pub health: Arc<Health>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// For pauses.
    pub clock: Clock,
    /// What to do about a loss.
    pub on_loss: OnLoss,
}

/// What the names of caches begin with among the servers that are looked after.
const CACHE: &str = "cache:";

/// Looks after the store and the caches.
pub struct Losses {
    ground: Ground,
    pulse: Option<Box<dyn Watched>>,
    caches: Current<Vec<WatchedCache>>,
    window: Arc<Window>,
    trust: Arc<Trust>,
    memory: Mutex<Memory>,
    one_look: tokio::sync::Mutex<()>,
    one_look_at_caches: tokio::sync::Mutex<()>,
    one_note: tokio::sync::Mutex<()>,
    came_up: Notify,
}

#[derive(Default)]
struct Memory {
    note: Note,
    servers: BTreeMap<Box<str>, Known>,
    told_of_policy: bool,
    /// Servers that do not say which they are.
    silent: BTreeSet<Box<str>>,
    /// The store was looked at in this life.
    joined: bool,
    /// The longest that a copy lives, with its guard and in a cache that fills late, by any configuration of this life.
    life: Duration,
    /// How far a store's clock may be from ours.
    tolerance: Duration,
}

/// A cache that is looked after, and what it is called.
type WatchedCache = (Box<str>, Box<dyn Watched>);

impl Losses {
    /// Remembers what an earlier life knew. Nothing is asked yet.
    pub fn new(ground: Ground) -> Self {
        let note = remember(&ground.notes);
        let process = &note.process;
        let pulse = ground.redis.as_ref().map(|redis| Box::new(redis.pulse(process)) as Box<dyn Watched>);
        let caches = ground.caches.iter().map(|cache| watched(cache, process)).collect();
        Self::watching(ground, note, pulse, caches)
    }

    /// Looks after simulated servers: the store's, and each cache's by its name.
    #[cfg(test)]
    pub(crate) fn simulated(
        ground: Ground,
        servers: impl FnOnce(&str) -> (Box<dyn Watched>, Vec<(String, Box<dyn Watched>)>),
    ) -> Self {
        let note = remember(&ground.notes);
        let (store, caches) = servers(&note.process);
        let caches = caches.into_iter().map(|(name, cache)| (component(&name), cache)).collect();
        Self::watching(ground, note, Some(store), caches)
    }

    fn watching(
        ground: Ground,
        mut note: Note,
        pulse: Option<Box<dyn Watched>>,
        caches: Vec<WatchedCache>,
    ) -> Self {
        let hooks = ground.hooks.get();
        let (window, trust) = (hooks.window.clone(), hooks.trust.clone());
        let mut servers = BTreeMap::new();
        for name in pulse.iter().map(|_| STORE).chain(caches.iter().map(|(name, _)| &**name)) {
            let known = note.servers.get(name);
            // What was let go and not noted may have been let go just now.
            let let_go = known.map_or(Timestamp(0), |known| known.let_go.unwrap_or(Timestamp(u64::MAX)));
            window.watch(name, let_go);
            if let Some(KnownServer { server, evicted_keys, .. }) = known.cloned() {
                servers.insert(name.into(), Known { server, beat: None, evicted_keys });
            }
        }
        if let Some(raised) = note.marks.follow(&hooks.resources, window.now()) {
            trust.lost(raised, raised);
        }
        let (life, tolerance) = (hooks.resources.longest_life(), hooks.resources.tolerance());
        let memory = Mutex::new(Memory { note, servers, life, tolerance, ..Memory::default() });
        let losses = Self {
            ground,
            pulse,
            caches: Current::new(caches),
            window,
            trust,
            memory,
            one_look: tokio::sync::Mutex::default(),
            one_look_at_caches: tokio::sync::Mutex::default(),
            one_note: tokio::sync::Mutex::default(),
            came_up: Notify::new(),
        };
        losses.go_on_owing();
        losses
    }

    /// Waits until there is cause to look at a server at once.
    pub async fn suspected(&self) {
        let caches = self.caches.take();
        let pulses = self.pulse.iter().chain(caches.it.iter().map(|(_, pulse)| pulse));
        let mut any: FuturesUnordered<_> = pulses.map(|pulse| pulse.suspected()).collect();
        tokio::select! {
            Some(()) = any.next() => {}
            // There may be cause to look at those that have taken their place.
            () = caches.replaced.cancelled() => {}
        }
    }

    /// Lets go of finished jobs that no failover can undo any more, once it is noted. To be called after each look.
    pub async fn let_go(&self) {
        let window = &self.window;
        let go = window.ripe();
        self.observe();
        if go.is_empty() {
            return;
        }
        match self.save(false).await {
            Ok(()) => self.ground.journal.forget(go),
            Err(_) => window.put_back(go),
        }
    }

    fn observe(&self) {
        let metrics = &self.ground.metrics;
        let (held, early) = self.window.counts();
        metrics.observe_window(held, early);
        let incomplete = self.trust.incomplete_until(self.window.now()).is_some();
        metrics.index_incomplete.set(i64::from(incomplete));
        self.tell_untold();
    }

    /// The service ends, and all that it has let go is known.
    pub async fn close(&self) {
        // What is not noted is taken for lost at the next start, if a server is another one then.
        let _ = self.save(true).await;
    }

    /// Writes down what is known. Where nothing is held, what is let go is noted only at the `end`.
    async fn save(&self, end: bool) -> io::Result<()> {
        // One after the other: an older note must not take the place of a newer one.
        let _one = self.one_note.lock().await;
        let window = &self.window;
        let known = end || !window.span().is_zero();
        let let_go = window.let_go();
        let note = {
            let mut memory = self.memory();
            let Memory { note, servers, .. } = &mut *memory;
            for (name, known_server) in servers {
                let let_go = let_go.get(name).copied().filter(|_| known);
                let Known { server, evicted_keys, .. } = known_server.clone();
                note.servers.insert(name.clone(), KnownServer { server, let_go, evicted_keys });
            }
            note.clone()
        };
        let written = self.ground.notes.keep(NAME, note).await;
        written.inspect_err(|error| warn!(%error, "what is known of losses cannot be noted"))
    }

    /// A server was looked at and is to be used from here on.
    fn accept(&self, name: &str, pulse: &dyn Watched, found: &Found, same: bool) -> bool {
        let mut memory = self.memory();
        if !found.info.server.is_known() && memory.silent.insert(name.into()) {
            warn!(
                component = name,
                "INFO is not allowed here: a failover is noticed only by what is missing afterwards, and not at a start"
            );
        }
        let known = memory.servers.entry(name.into()).or_default();
        let is_news = known.server != found.info.server;
        let beat = known.beat.filter(|_| same);
        *known =
            Known { server: found.info.server.clone(), beat, evicted_keys: Some(found.info.evicted_keys) };
        drop(memory);
        self.window.begin(name);
        pulse.accept(&found.info.server);
        is_news
    }

    /// Leaves out a beat from later than now. It is of an earlier life, whose clock was ahead: it says nothing of what came
    /// since, and is to be replaced. Returns whether that is so.
    fn doubt(&self, found: &mut Found) -> bool {
        found.beat.take_if(|beat| *beat > self.window.now()).is_some()
    }

    async fn beat(&self, name: &str, pulse: &dyn Watched, replaced: bool) -> Result<(), PoolError> {
        let at = self.window.now();
        pulse.beat(at, replaced).await?;
        if let Some(known) = self.memory().servers.get_mut(name) {
            known.beat = Some(at);
        }
        Ok(())
    }

    /// After a failover what is held is run again, and so is what was begun before.
    fn run_again(&self, component: &str) -> usize {
        self.failed_over(component);
        self.do_again()
    }

    fn do_again(&self) -> usize {
        let Ground { queue, journal, clock, .. } = &self.ground;
        self.trust.new_epoch();
        let held = self.window.again();
        let jobs = held.len();
        for finished in held {
            run_again(queue, journal, finished, clock.accepted());
        }
        jobs
    }

    fn failed_over(&self, component: &str) {
        self.ground.metrics.failovers.with_label_values(&[component]).inc();
    }

    /// Whether something is still to be done after a loss, or even after relationships that `linger`.
    #[cfg(test)]
    pub(crate) fn owes(&self, linger: bool) -> bool {
        let memory = self.memory();
        let owed = &memory.note.owed;
        !memory.joined || owed.index.is_some() || owed.caches.values().any(|owed| linger || owed.all)
    }

    fn known(&self, name: &str) -> Option<Known> {
        self.memory().servers.get(name).cloned()
    }

    fn life(&self) -> Duration {
        self.memory().life
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn component(cache: &str) -> Box<str> {
    format!("{CACHE}{cache}").into()
}

/// What cannot be read is not taken for nothing: the index that is there is not known to be the one of before.
fn remember(notes: &Notebook) -> Note {
    let note = notes.read(NAME).unwrap_or_else(|error| {
        warn!(%error, "what was known of losses cannot be read: the index is taken for lost");
        Some(Note { marker: Some(Marker::new(Timestamp(0), None)), ..Note::default() })
    });
    let mut note = note.unwrap_or_default();
    if note.process.is_empty() {
        note.process = hex::encode(fastrand::u64(..).to_be_bytes()).into();
    }
    note
}
