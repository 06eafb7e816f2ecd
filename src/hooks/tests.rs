//! What hooks do while a cache is away, is suspect or fills late.

use std::{
    collections::BTreeSet,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    caches::{Cache, CacheError},
    clock::{Tick, Timestamp},
    config::{
        resources::{ResourceConfig, ResourcesConfig},
        rules::RulesConfig,
    },
    fan_out::FanOut,
    job::{CopyHeld, JobId, JobKey, JobType},
    queue::Phase,
    relations::{Held, Position, Recorded, Recording, embedded::Embedded},
    rules::RuleSet,
    secret::{Secret, VaultEntry},
    window::{Limits, Window},
};

mod giving_way;
mod revoking;

/// A cache that can be away.
struct Shelf {
    name: &'static str,
    is_away: AtomicBool,
    keys: Mutex<BTreeSet<String>>,
}

struct OnShelf(Arc<Shelf>);

impl Shelf {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, is_away: AtomicBool::new(false), keys: Mutex::default() })
    }

    fn fill(&self) {
        self.put(KEY);
    }

    fn has_copy(&self) -> bool {
        self.has(KEY)
    }

    fn put(&self, key: &str) {
        self.keys.lock().unwrap().insert(key.to_owned());
    }

    fn has(&self, key: &str) -> bool {
        self.keys.lock().unwrap().contains(key)
    }

    fn answer<T: Send + 'static>(&self, with: impl FnOnce() -> T) -> BoxFuture<'_, Result<T, CacheError>> {
        let answer = match self.is_away.load(Ordering::Relaxed) {
            true => Err(CacheError("refused".to_owned())),
            false => Ok(with()),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Cache for OnShelf {
    fn name(&self) -> &str {
        self.0.name
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        self.0.answer(|| {
            let mut held = self.0.keys.lock().unwrap();
            keys.iter().filter(|key| held.remove(&key.0)).count()
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        self.0.answer(|| ())
    }
}

const KEY: &str = "/posts/42?t=tok-alice";

struct Kit {
    hooks: Hooks,
    near: Arc<Shelf>,
    far: Arc<Shelf>,
    _folder: tempfile::TempDir,
}

impl Kit {
    /// Alice holds a copy of post 42 in both caches, and the index knows. Copies of notes are never filled late.
    async fn new(recheck: Duration) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::start());
        let metrics = Arc::new(Metrics::new().unwrap());
        let (near, far) = (Shelf::new("near"), Shelf::new("far"));
        let on = |shelf: &Arc<Shelf>| Box::new(OnShelf(shelf.clone())) as Box<dyn Cache>;
        let resource = |cache_key: &str, recheck| ResourceConfig {
            cache_keys: vec![cache_key.to_owned()],
            variant_patterns: Vec::new(),
            ttl: Duration::from_secs(300),
            guard: Duration::ZERO,
            horizon: Duration::from_secs(3600),
            recheck,
            require_read_time: false,
        };
        let config = [
            ("Posts".to_owned(), resource("/posts/{entity_id}?t={access_token}", recheck)),
            ("Notes".to_owned(), resource("/notes/{entity_id}?t={access_token}", Duration::ZERO)),
        ];
        let resources = Resources::compile(&ResourcesConfig(config.into()), "").unwrap();
        let rules =
            RulesConfig { job_rules: Vec::new(), topics: [].into(), follow_ups: Vec::new(), max_depth: 8 };
        let secret = Secret::from_text("a secret for tests, thirty-two bytes or more").unwrap();
        let hooks = Hooks {
            relations: Arc::new(Embedded::open(folder.path(), clock).unwrap()),
            caches: Caches::new(vec![on(&near), on(&far)], metrics.clone()),
            keys: Arc::new(Keys::derive(&secret)),
            rules: History::new(RuleSet::compile(&rules, &resources).unwrap()),
            resources: Arc::new(resources),
            trust: Arc::default(),
            resolver: None,
            precedence: Arc::default(),
            window: Arc::new(Window::new(
                Limits { span: Some(Duration::ZERO), bytes: 0, jobs: 0 },
                clock,
                Arc::default(),
            )),
            clock,
            metrics,
        };
        let kit = Self { hooks, near, far, _folder: folder };
        kit.record().await;
        kit
    }

    fn copy(&self) -> CopyHeld {
        let token = AccessToken::new("tok-alice");
        let holder = self.hooks.keys.holder_id(&token);
        CopyHeld { holder, token, user_id: None, cache_key: None, life: Duration::from_secs(300) }
    }

    async fn record(&self) -> Recorded {
        self.record_as(post(), KEY).await
    }

    async fn record_as(&self, entity: Entity, key: &str) -> Recorded {
        self.near.put(key);
        self.far.put(key);
        let copy = self.copy();
        let entry = VaultEntry { token: copy.token.clone(), user_id: None };
        let recording = Recording {
            entity,
            member: Member { holder: copy.holder, variant: None },
            expires_at: self.hooks.clock.now().after(copy.life),
            vault: self.hooks.keys.seal(copy.holder, &entry),
            names_holder: false,
        };
        self.hooks.relations.record(&[recording]).await.unwrap().remove(0)
    }

    fn update(&self) -> Job {
        let now = self.hooks.clock.now();
        Job {
            id: JobId::new(now),
            key: JobKey(1),
            job_type: JobType::Invalidate,
            topic: Arc::from("pp-cache"),
            entity: post(),
            priority: 0,
            superceedable: true,
            ready_at: Tick(0),
            expires_at: None,
            occurred_at: Some(now),
            generation: None,
            accepted_at: now,
            copy: None,
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        }
    }

    /// A read that began long before everything.
    fn old_read(&self) -> Job {
        Job {
            job_type: JobType::Cache,
            occurred_at: Some(Timestamp(1)),
            copy: Some(Box::new(self.copy())),
            ..self.update()
        }
    }

    async fn goes(&self, shelf: &Shelf, is_away: bool) {
        shelf.is_away.store(is_away, Ordering::Relaxed);
        self.hooks.caches.ping(Duration::from_secs(1)).await;
    }

    async fn run(&self, attempt: &Attempt) -> Outcome {
        match attempt.job.job_type {
            JobType::Cache => self.hooks.cache(std::slice::from_ref(attempt)).await.pop().unwrap(),
            JobType::Invalidate => self.hooks.invalidate(attempt).await,
            JobType::Revoke => self.hooks.revoke(attempt).await,
        }
    }

    /// The next attempt, after this one has failed for the far cache.
    async fn fails_for_the_far_cache(&self, attempt: &Attempt) -> Attempt {
        let Outcome::Failed { error, fan_out, waits_for, .. } = self.run(attempt).await else {
            panic!("it failed")
        };
        assert_eq!((&*error, &*waits_for), ("cache far: cache unavailable: refused", &["far".into()][..]));
        let fan_out = fan_out.unwrap_or_default();
        Attempt {
            job: attempt.job.clone(),
            phase: attempt.phase,
            kept: Vec::new(),
            fan_out,
            waits_for,
            ..*attempt
        }
    }

    async fn is_done(&self, attempt: &Attempt) -> Vec<Job> {
        match self.run(attempt).await {
            Outcome::Done { follow_ups, .. } | Outcome::Evicted { ending: None, follow_ups } => follow_ups,
            other => panic!("{other:?}"),
        }
    }

    async fn walk(&self) -> Vec<Held> {
        self.hooks.relations.walk(&post(), Position::default(), 10).await.unwrap().held
    }

    async fn members(&self) -> usize {
        self.walk().await.len()
    }

    async fn generation(&self) -> u64 {
        self.hooks.relations.staleness(&post()).await.unwrap().stale.unwrap().generation
    }
}

fn post() -> Entity {
    Entity::new("Posts", "42").unwrap()
}

fn first(job: Job) -> Attempt {
    Attempt {
        job: Arc::new(job),
        phase: Phase::Work,
        failures: 0,
        fan_out: FanOut::default(),
        waits_for: Box::default(),
        waited: Duration::ZERO,
        kept: Vec::new(),
    }
}

#[tokio::test]
async fn a_fan_out_that_waits_for_a_cache_costs_no_fresh_copies_in_the_others() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    let again = kit.fails_for_the_far_cache(&first(kit.update())).await;
    assert!(!kit.near.has_copy(), "the others are served at once");
    kit.record().await;
    let again = kit.fails_for_the_far_cache(&again).await;
    assert!(kit.near.has_copy(), "nothing is done while it is away");
    kit.goes(&kit.far, false).await;
    assert!(kit.is_done(&again).await.is_empty());
    assert_eq!((kit.near.has_copy(), kit.far.has_copy(), kit.members().await), (false, false, 0));
}

#[tokio::test]
async fn a_read_that_is_evicted_waits_for_a_cache_in_the_same_way() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    for phase in [Phase::Work, Phase::Evict(crate::queue::Ending::Expired)] {
        kit.record().await;
        let attempt = Attempt { phase, ..first(kit.old_read()) };
        let again = kit.fails_for_the_far_cache(&attempt).await;
        assert!(!kit.near.has_copy());
        kit.near.fill();
        let again = kit.fails_for_the_far_cache(&again).await;
        assert!(kit.near.has_copy());
        kit.goes(&kit.far, false).await;
        assert!(matches!(kit.run(&again).await, Outcome::Done { .. } | Outcome::Evicted { .. }));
        assert!(!kit.far.has_copy());
        kit.goes(&kit.far, true).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_cache_is_done_when_that_is_left_out_and_is_removed_from_it_when_it_returns() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    let update = kit.fails_for_the_far_cache(&first(kit.update())).await;
    let read = kit.fails_for_the_far_cache(&first(kit.old_read())).await;
    kit.hooks.caches.suspect("far").unwrap();
    kit.near.fill();
    kit.is_done(&update).await;
    kit.is_done(&read).await;
    assert!(kit.near.has_copy() && kit.far.has_copy(), "nothing was left to do but in the far one");
    kit.goes(&kit.far, false).await;
    kit.record().await;
    kit.is_done(&first(kit.update())).await;
    assert_eq!(
        (kit.near.has_copy(), kit.far.has_copy()),
        (false, true),
        "it is left out until it is let return"
    );
    kit.hooks.caches.let_return("far");
    kit.record().await;
    kit.is_done(&first(kit.update())).await;
    assert_eq!((kit.near.has_copy(), kit.far.has_copy()), (false, false));
}

#[tokio::test]
async fn a_recheck_removes_again_and_marks_nothing() {
    let kit = Kit::new(Duration::from_secs(10)).await;
    let follow_ups = kit.is_done(&first(kit.update())).await;
    assert_eq!((follow_ups.len(), follow_ups[0].recheck, kit.members().await), (1, true, 1));
    assert!(!kit.near.has_copy() && !kit.far.has_copy());
    let generation = kit.generation().await;
    kit.near.fill();
    assert!(kit.is_done(&first(follow_ups[0].clone())).await.is_empty(), "nothing follows it");
    assert!(!kit.near.has_copy());
    assert_eq!(kit.generation().await, generation, "what was read since is not stale by it");
}

#[tokio::test]
async fn a_recheck_drops_who_was_there_before_the_invalidation_and_keeps_who_has_come_since() {
    let kit = Kit::new(Duration::from_secs(10)).await;
    let [recheck] = &*kit.is_done(&first(kit.update())).await else { panic!("it has one follow-up") };
    let since = Job { accepted_at: Timestamp(1), ..recheck.clone() };
    kit.is_done(&first(since)).await;
    assert_eq!(kit.members().await, 1, "a fresh copy may be filled after this");
    while kit.walk().await[0].age.is_zero() {}
    let before = Job { accepted_at: kit.hooks.clock.now().after(Duration::from_secs(60)), ..recheck.clone() };
    kit.is_done(&first(before)).await;
    assert_eq!(kit.members().await, 0);
}

#[tokio::test]
async fn a_copy_that_is_evicted_from_a_cache_that_fills_late_is_evicted_again() {
    let kit = Kit::new(Duration::from_secs(10)).await;
    for phase in [Phase::Work, Phase::Evict(crate::queue::Ending::Dead)] {
        let outcome = kit.run(&Attempt { phase, ..first(kit.old_read()) }).await;
        assert!(!kit.far.has_copy());
        kit.far.fill();
        let [again] = outcome.follow_ups() else { panic!("{outcome:?}") };
        assert!(kit.is_done(&first(again.clone())).await.is_empty());
        assert!(!kit.far.has_copy());
        assert_eq!(kit.members().await, 1, "it is left to expire, for a fan-out may yet come");
    }
}

#[tokio::test]
async fn an_eviction_keeps_the_relationship_until_the_copy_is_gone_from_every_cache() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    let again = kit.fails_for_the_far_cache(&first(kit.old_read())).await;
    assert_eq!(
        kit.members().await,
        1,
        "the far cache may hold a copy of another read, whose relationship it is"
    );
    kit.goes(&kit.far, false).await;
    kit.is_done(&again).await;
    assert_eq!((kit.far.has_copy(), kit.members().await), (false, 0));
}

#[tokio::test]
async fn an_undated_read_that_arrived_half_a_horizon_ago_is_evicted_though_no_mark_is_left() {
    let kit = Kit::new(Duration::ZERO).await;
    let undated = |seconds| {
        let read = kit.old_read();
        let accepted_at = read.accepted_at.before(Duration::from_secs(seconds));
        Job { occurred_at: None, accepted_at, ..read }
    };
    kit.is_done(&first(undated(1790))).await;
    assert!(kit.near.has_copy() && kit.members().await == 1);
    kit.is_done(&first(undated(1800))).await;
    assert_eq!((kit.near.has_copy(), kit.members().await), (false, 0));
}
