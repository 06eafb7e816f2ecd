//! A world: what there is in it, what happens to it, and how it is looked at once it is quiet. All of it comes of a seed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::task::TaskTracker;

use super::{
    api::{Api, Wanted},
    cache::{Copy, SimCache},
    config::Config,
    database::Database,
    dice::Dice,
    kinds::{Kind, Tempo, Told},
    message::{Message, send},
    network::{Network, Outage},
    outside::Seen,
    process::{Process, Surroundings, skewed},
    realm::Realm,
    scene::Scene,
    store::SimStore,
    trace::{DAWN, Trace, note},
};
use crate::{
    clock::{Clock, Timestamp},
    event::Entity,
    relations::{Relations as _, Staleness, StoreError},
};

/// The most that one clock is ahead of another, in milliseconds.
pub(super) const SKEW: u64 = 8;
/// The most that a replica is behind. Together they are less than any `guard`.
const LAG: u64 = 30;
/// The shorter `horizon` of those that are configured.
pub(super) const HORIZON: u64 = 600;
/// Users' tokens.
pub(super) const TOKENS: [&str; 3] = ["tok-alice", "tok-bob", "tok-carol"];
const PHASES: usize = 2;
/// A phase's actions begin within this, in milliseconds.
pub(super) const PHASE: u64 = 160;
/// The first write of a phase of a kind, in milliseconds.
pub(super) const EARLY: u64 = 150;
/// When nothing else begins any more.
pub(super) const LATE: u64 = 1000;

pub(super) struct World {
    pub(super) realm: Realm,
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    pub(super) network: Network,
    /// True time.
    pub(super) clock: Clock,
    pub(super) config: Arc<Config>,
    pub(super) database: Database,
    pub(super) caches: Vec<SimCache>,
    pub(super) store: SimStore,
    pub(super) processes: Vec<Arc<Process>>,
    /// `None`: of any kind.
    pub(super) kind: Option<&'static Kind>,
    /// Everybody outside of decache.
    pub(super) actors: TaskTracker,
    ids: AtomicU64,
    pub(super) scene: Scene,
}

fn tempo_of(dice: &Dice) -> Tempo {
    if dice.chance(200) { Tempo::Slow } else { Tempo::Usual }
}

impl World {
    pub(super) fn new(seed: u64, config: Arc<Config>, traced: bool) -> Arc<Self> {
        let (dice, clock) = (Dice::of(seed), Clock::simulated(Timestamp(DAWN)));
        let trace = Trace::new(traced, clock);
        let (realm, kind) = (Realm::of(seed), Kind::of(seed));
        let scene = kind.map_or_else(|| Scene::of(&dice, seed), |kind| Scene::of_kind(kind, &dice));
        let tempo = kind.map_or_else(|| tempo_of(&dice), |kind| kind.tempo);
        let network = Network::new(dice.clone(), trace.clone(), scene.calm, tempo);
        let count = if realm == Realm::LateFill { 2 } else { dice.number(1..=2) as usize };
        let caches = ["inner", "outer"].into_iter().take(count);
        let caches: Vec<_> = caches.map(|name| SimCache::new(name, network.clone(), clock)).collect();
        // A `guard` of zero says that there is none between decache and its store.
        let skew = if scene.without_guard(&config) { 0 } else { SKEW };
        let of_store = Clock::simulated(skewed(clock.now(), dice.millis(0..=skew)));
        let page = kind.map_or_else(|| *dice.pick(&[1, 2, 100]), |kind| kind.page);
        let store = SimStore::new(Some(network.clone()), of_store, page);
        let store = if scene.revoked > 0 || realm == Realm::Revocations { store.by_holder() } else { store };
        let around = Surroundings {
            network: network.clone(),
            config: config.clone(),
            store: store.clone(),
            caches: caches.clone(),
            clock,
            watch: kind.and_then(|kind| kind.watch).or_else(|| realm.watch(&dice)),
        };
        let process = |name| Arc::new(Process::new(name, around.clone(), dice.millis(0..=skew)));
        let processes = (0..kind.map_or(2, |kind| kind.processes) as usize).map(process).collect();
        let database = Database::new(clock);
        let (actors, ids) = (TaskTracker::new(), AtomicU64::default());
        Arc::new(Self {
            realm,
            dice,
            trace,
            network,
            clock,
            config,
            database,
            caches,
            store,
            processes,
            kind,
            actors,
            ids,
            scene,
        })
    }

    /// Everything that happens, up to the first thing that must not.
    pub(super) async fn run(self: &Arc<Self>) -> Result<Seen, String> {
        for process in &self.processes {
            process.start().await;
        }
        let mut seen = Seen::default();
        for phase in 0..PHASES {
            let kind = self.kind.map_or("any kind", |kind| kind.name);
            note!(self.trace, "phase {phase}, {kind}, calm: {}", self.scene.calm);
            self.network.calm(self.scene.calm);
            match self.kind {
                Some(kind) => self.happen_as(kind),
                None => (0..self.dice.number(8..=20)).for_each(|_| self.happen()),
            }
            if self.realm.loses() && self.kind.is_none() {
                self.disturb();
            }
            self.until_quiet().await?;
            seen = self.look()?;
        }
        if self.realm.loses() {
            note!(self.trace, "afterwards");
            self.go_on();
            self.until_quiet().await?;
            seen = self.look()?;
        }
        Ok(seen)
    }

    pub(super) fn spawn(&self, what: impl Future<Output = ()> + Send + 'static) {
        self.actors.spawn(what);
    }

    /// What the store says of an entity; where processes look after it, as one of them is told.
    pub(super) async fn staleness(&self, entity: &Entity) -> Result<Staleness, StoreError> {
        if !self.processes.iter().any(|process| process.watches()) {
            return self.store.staleness(entity).await;
        }
        match self.dice.pick(&self.processes).store() {
            Some(store) => store.staleness(entity).await,
            None => Err(StoreError::Unavailable("the process is dead".to_owned())),
        }
    }

    pub(super) fn outages(&self) -> Vec<Outage> {
        self.caches.iter().map(|cache| cache.outage.clone()).chain([self.store.outage.clone()]).collect()
    }

    pub(super) fn api(self: &Arc<Self>) -> Api {
        let skew = *self.dice.pick(&self.scene.apis);
        let clock = Clock::simulated(skewed(self.clock.now(), skew));
        Api { world: self.clone(), clock, mortality: self.scene.mortality }
    }

    pub(super) fn wanted(&self) -> Wanted {
        let dice = &self.dice;
        let entity = match dice.chance(150) {
            true => self.scene.unwritten.clone(),
            false => dice.pick(&self.scene.written).clone(),
        };
        let token = TOKENS[dice.number(0..=self.scene.users - 1) as usize];
        Wanted { entity, token, page: dice.number(0..=self.scene.pages), like: None }
    }

    /// How far a replica is behind.
    pub(super) fn lag(&self) -> Duration {
        match self.kind {
            Some(kind) => self.dice.millis(kind.lag.clone()),
            None => self.dice.millis(0..=*self.dice.pick(&[2, LAG])),
        }
    }

    /// What a read of an entity tells of when it began.
    pub(super) fn told(&self, entity: &Entity) -> Told {
        match (&*entity.resource_type, self.dice.number(0..=9)) {
            ("Items", 0..=4) => Told::Both,
            ("Items", _) => Told::Generation,
            (_, 0 | 1) => Told::Nothing,
            (_, 2..=6) => Told::Time,
            (_, 7 | 8) => Told::Generation,
            _ => Told::Both,
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn has_guard(&self, entity: &Entity) -> bool {
        self.config.has_guard(entity)
    }

    /// Whether an API has to tell of hits with the time of their copies: where it does not, nothing is rebuilt after a loss.
    pub(super) fn rebuilds(&self) -> bool {
        self.processes.iter().any(|process| process.rebuilds())
    }

    /// In a calm world nobody tells of a hit on a copy that is so old that it would have to go.
    pub(super) fn is_old(&self, copy: &Copy) -> bool {
        let began = copy.read.occurred_at.or(copy.read.generation.map(Timestamp)).unwrap_or(self.clock.now());
        self.scene.calm && self.clock.now().since(began) > Duration::from_millis(HORIZON / 3)
    }

    /// At times a message arrives twice, the second time much later perhaps.
    pub(super) fn repeat(self: &Arc<Self>, message: &Message) {
        if self.scene.calm || !self.dice.chance(80) {
            return;
        }
        let later = if self.dice.chance(150) { HORIZON + 100 } else { 60 };
        let (world, message) = (self.clone(), message.clone());
        self.actors.spawn(async move {
            world.network.pause(later).await;
            let process = world.dice.pick(&world.processes);
            // Nobody cares for the answer.
            let _ = send(&world.network, process, message).await;
        });
    }
}
