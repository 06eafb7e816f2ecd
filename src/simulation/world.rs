//! A world: what there is in it, what happens to it, and how it is looked at once it is quiet. All of it comes of a seed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::{
    api::{Api, PROVISIONAL, Wanted},
    cache::{Copy, SimCache},
    config::Config,
    database::Database,
    dice::Dice,
    kinds::{Kind, Mishap, Tempo, Told},
    network::{Network, Outage},
    process::{Process, Surroundings, send, skewed},
    realm::Realm,
    store::SimStore,
    trace::{DAWN, Trace, note},
};
use crate::{
    clock::{Clock, Timestamp},
    event::Entity,
    relations::{Relations as _, Staleness, StoreError},
};

/// The most that one clock is ahead of another, in milliseconds.
const SKEW: u64 = 8;
/// The most that a replica is behind. Together they are less than any `guard`.
const LAG: u64 = 30;
/// The shorter `horizon` of those that are configured.
const HORIZON: u64 = 600;
const PHASES: usize = 2;
/// A phase's actions begin within this.
const PHASE: u64 = 160;
/// The first write of a phase of a kind, in milliseconds.
const EARLY: u64 = 150;
/// When nothing else begins any more.
const LATE: u64 = 1000;
/// A world that is not quiet by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

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
    actors: TaskTracker,
    ids: AtomicU64,
    scene: Scene,
}

/// What a world is like.
struct Scene {
    /// Nothing is lost, nobody dies, nothing is away.
    calm: bool,
    /// Entities that are written, and read.
    written: Vec<Entity>,
    /// One that is only read.
    unwritten: Entity,
    authors: u64,
    users: u64,
    pages: u64,
    /// Of a thousand steps of an API.
    mortality: u64,
    apis: Vec<Duration>,
}

/// What was seen of a world from outside.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Seen {
    /// Copies that lived when it was quiet.
    pub(super) living: usize,
    /// Copies of entities that nobody writes, whose read was accepted, and that had life left: those that lived.
    pub(super) kept: usize,
    /// And those that did not.
    pub(super) gone: usize,
}

impl std::ops::Add for Seen {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let Self { living, kept, gone } = self;
        Self { living: living + more.living, kept: kept + more.kept, gone: gone + more.gone }
    }
}

impl Scene {
    fn of(dice: &Dice, realm: Realm) -> Self {
        let kinds = ["Posts", "Notes", "Items"];
        let calm = dice.chance(150) && realm != Realm::Failover && realm != Realm::Loss;
        let kind = *dice.pick(&kinds);
        let (other, unwritten) = (*dice.pick(&kinds), *dice.pick(&kinds));
        let mut written = vec![entity(kind, 1), entity(other, 2)];
        written.dedup();
        let authors = 7..=dice.number(7..=8);
        if kind == "Posts" || other == "Posts" {
            written.extend(authors.clone().map(|author| entity("Feeds", author)));
        }
        Self {
            calm,
            written,
            unwritten: entity(unwritten, 99),
            authors: *authors.end(),
            users: dice.number(1..=3),
            pages: dice.number(0..=2),
            mortality: if calm || dice.chance(300) { 0 } else { 15 },
            apis: (0..3).map(|_| dice.millis(0..=SKEW)).collect(),
        }
    }
}

impl Scene {
    fn of_kind(kind: &Kind, dice: &Dice) -> Self {
        Self {
            calm: false,
            written: vec![entity(kind.resource_type, 1)],
            unwritten: entity(kind.resource_type, 99),
            authors: 7,
            users: kind.users,
            pages: kind.pages,
            mortality: kind.mortality,
            apis: (0..3).map(|_| dice.millis(0..=SKEW)).collect(),
        }
    }

    fn has(&self, resource_type: &str) -> bool {
        self.all().any(|entity| &*entity.resource_type == resource_type)
    }

    /// Whether there is something whose `guard` is zero.
    fn without_guard(&self, config: &Config) -> bool {
        self.all().any(|entity| !config.has_guard(entity))
    }

    fn all(&self) -> impl Iterator<Item = &Entity> {
        self.written.iter().chain([&self.unwritten])
    }
}

fn tempo_of(dice: &Dice) -> Tempo {
    if dice.chance(200) { Tempo::Slow } else { Tempo::Usual }
}

impl World {
    pub(super) fn new(seed: u64, config: Arc<Config>, traced: bool) -> Arc<Self> {
        let (dice, clock) = (Dice::of(seed), Clock::simulated(Timestamp(DAWN)));
        let trace = Trace::new(traced, clock);
        let (realm, kind) = (Realm::of(seed), Kind::of(seed));
        let scene = kind.map_or_else(|| Scene::of(&dice, realm), |kind| Scene::of_kind(kind, &dice));
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
        let around = Surroundings {
            network: network.clone(),
            config: config.clone(),
            store: store.clone(),
            caches: caches.clone(),
            clock,
            watch: realm.watch(&dice),
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
            if self.processes.iter().any(|process| process.watches()) {
                self.disturb();
            }
            self.until_quiet().await?;
            seen = self.look()?;
        }
        Ok(seen)
    }

    /// Lets something happen within the phase.
    fn happen(self: &Arc<Self>) {
        let at = self.dice.millis(0..=PHASE);
        match self.dice.number(0..=99) {
            0..=5 if !self.scene.calm => self.crash(at),
            6..=9 if !self.scene.calm => self.fail(at),
            10..=19 => self.write(at, self.dice.pick(&self.scene.written)),
            20..=31 => self.race(at),
            _ => self.read(at, self.wanted()),
        }
    }

    /// What a world of a kind is bent on, once in a phase, and at last a few reads that nothing comes after.
    fn happen_as(self: &Arc<Self>, kind: &'static Kind) {
        let dice = &self.dice;
        let entity = &self.scene.written[0];
        let began = EARLY.saturating_add_signed(dice.signed(0..=20));
        let from = |by: i64| Duration::from_millis(began.saturating_add_signed(by));
        let mut written = 0;
        self.write(from(written), entity);
        for gap in kind.writes {
            written += dice.signed(gap.clone());
            self.write(from(written), entity);
        }
        for like in kind.reads {
            for _ in 0..like.count {
                let wanted = Wanted { like: Some(like), ..self.wanted() };
                self.read(from(dice.signed(like.begin.clone())), wanted);
            }
        }
        let strikes = |mishap: &&Mishap| dice.chance(mishap.per_mille);
        if let Some(Mishap { after, lasts, .. }) = kind.crash.as_ref().filter(strikes) {
            self.die(from(dice.signed(after.clone())), dice.millis(lasts.clone()));
        }
        if let Some(Mishap { after, lasts, .. }) = kind.outage.as_ref().filter(strikes) {
            self.go_away(&self.store.outage, from(dice.signed(after.clone())), dice.millis(lasts.clone()));
        }
        for _ in 0..2 {
            self.read(Duration::from_millis(LATE) + dice.millis(0..=100), self.wanted());
        }
    }

    /// A write, and reads that begin about when it is committed; at times whoever has to tell of them dies.
    fn race(self: &Arc<Self>, at: Duration) {
        let dice = &self.dice;
        let entity = dice.pick(&self.scene.written);
        let hot = Wanted { entity: entity.clone(), ..self.wanted() };
        self.write(at, entity);
        for _ in 0..dice.number(1..=3) {
            self.read(at + dice.millis(0..=14), hot.clone());
        }
        if !self.scene.calm && dice.chance(350) {
            self.crash(at + dice.millis(5..=45));
        }
    }

    fn read(self: &Arc<Self>, at: Duration, wanted: Wanted) {
        let api = self.api();
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            api.read(wanted).await;
        });
    }

    fn write(self: &Arc<Self>, at: Duration, written: &Entity) {
        let (api, author) = (self.api(), self.dice.number(7..=self.scene.authors));
        // A feed changes with the posts in it alone.
        let (changed, author) = match &*written.resource_type {
            "Feeds" => (entity("Posts", 1), written.id.parse().unwrap()),
            _ => (written.clone(), author),
        };
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            api.write(changed, author).await;
        });
    }

    /// A process dies, for a moment or for about as long as an invalidation is remembered.
    fn crash(self: &Arc<Self>, at: Duration) {
        let dice = &self.dice;
        let long = dice.chance(500) && (self.scene.has("Notes") || self.scene.has("Items"));
        let down = if long { dice.millis(HORIZON - 50..=HORIZON + 140) } else { dice.millis(1..=60) };
        self.die(at, down);
    }

    fn die(self: &Arc<Self>, at: Duration, down: Duration) {
        let process = self.dice.pick(&self.processes).clone();
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            process.crash();
            tokio::time::sleep(down).await;
            process.start().await;
        });
    }

    /// The store or a cache is away for a while.
    fn fail(self: &Arc<Self>, at: Duration) {
        let outages: Vec<Outage> = self.outages();
        self.go_away(self.dice.pick(&outages), at, self.dice.millis(10..=150));
    }

    fn go_away(&self, outage: &Outage, at: Duration, length: Duration) {
        let (outage, trace) = (outage.clone(), self.trace.clone());
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            note!(trace, "a store or cache is away");
            outage.set(true);
            tokio::time::sleep(length).await;
            outage.set(false);
        });
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

    fn outages(&self) -> Vec<Outage> {
        self.caches.iter().map(|cache| cache.outage.clone()).chain([self.store.outage.clone()]).collect()
    }

    fn api(self: &Arc<Self>) -> Api {
        let skew = *self.dice.pick(&self.scene.apis);
        let clock = Clock::simulated(skewed(self.clock.now(), skew));
        Api { world: self.clone(), clock, mortality: self.scene.mortality }
    }

    fn wanted(&self) -> Wanted {
        let dice = &self.dice;
        let entity = match dice.chance(150) {
            true => self.scene.unwritten.clone(),
            false => dice.pick(&self.scene.written).clone(),
        };
        let tokens = ["tok-alice", "tok-bob", "tok-carol"];
        let token = tokens[dice.number(0..=self.scene.users - 1) as usize];
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

    /// In a calm world nobody tells of a hit on a copy that is so old that it would have to go.
    pub(super) fn is_old(&self, copy: &Copy) -> bool {
        let began = copy.read.occurred_at.or(copy.read.generation.map(Timestamp)).unwrap_or(self.clock.now());
        self.scene.calm && self.clock.now().since(began) > Duration::from_millis(HORIZON / 3)
    }

    /// At times a message arrives twice, the second time much later perhaps.
    pub(super) fn repeat(self: &Arc<Self>, event: &Value) {
        if self.scene.calm || !self.dice.chance(80) {
            return;
        }
        let later = if self.dice.chance(150) { HORIZON + 100 } else { 60 };
        let (world, event) = (self.clone(), event.to_string());
        self.actors.spawn(async move {
            world.network.pause(later).await;
            let process = world.dice.pick(&world.processes);
            // Nobody cares for the answer.
            let _ = send(&world.network, process, event).await;
        });
    }

    /// Lets everything come to its end, with nothing in its way.
    async fn until_quiet(&self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(if self.kind.is_some() { LATE } else { PHASE })).await;
        self.network.calm(true);
        note!(self.trace, "from here on nothing goes wrong");
        let gives_up = self.clock.now().after(PATIENCE);
        let mut quiet_for = 0;
        // What a process has just begun may not be seen yet.
        while quiet_for < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            // What an API that died has left is gone before long.
            let soon = self.clock.now().after(PROVISIONAL);
            let is_provisional = |copy: &Copy| !copy.raised && copy.expires_at <= soon;
            let provisional = self.caches.iter().any(|cache| cache.living().iter().any(is_provisional));
            let quiet = self.actors.is_empty()
                && self.network.flying.is_empty()
                && self.processes.iter().all(|process| process.is_quiet())
                && !provisional;
            quiet_for = if quiet { quiet_for + 1 } else { 0 };
            if self.clock.now() > gives_up {
                let jobs: Vec<String> = self.processes.iter().map(|process| process.describe()).collect();
                return Err(format!("never quiet: {} actors, {}", self.actors.len(), jobs.join(" | ")));
            }
        }
        Ok(())
    }

    /// The promise, checked from outside.
    fn look(&self) -> Result<Seen, String> {
        if let Some(failure) = self.network.failure() {
            return Err(failure);
        }
        let mut seen = Seen::default();
        for cache in &self.caches {
            for copy in cache.living() {
                seen.living += 1;
                self.check(&copy)?;
            }
            let unwritten = |copy: &Copy| copy.entity == self.scene.unwritten;
            let (kept, gone) = cache.kept(unwritten);
            (seen.kept, seen.gone) = (seen.kept + kept, seen.gone + gone.len());
            if let Some(gone) = gone.first().filter(|_| self.scene.calm) {
                return Err(format!("gone for no reason: {gone:?}"));
            }
        }
        Ok(seen)
    }

    fn check(&self, copy: &Copy) -> Result<(), String> {
        let newest = self.database.version(&copy.entity, Duration::ZERO);
        if copy.version < newest {
            return Err(format!("stale, {newest} is committed: {copy:?}"));
        }
        // The store's clock is ahead.
        let tracked = self.store.tracked_until(&copy.entity, &copy.member);
        let ahead = self.store.ahead_of(&self.clock);
        match tracked {
            Some(until) if until.before(ahead) >= copy.expires_at => Ok(()),
            _ => Err(format!("untracked, only until {tracked:?} less {ahead:?}: {copy:?}")),
        }
    }
}

fn entity(resource_type: &str, id: u64) -> Entity {
    Entity { resource_type: resource_type.into(), id: id.to_string().into() }
}
