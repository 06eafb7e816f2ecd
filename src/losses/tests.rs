//! A cache is looked at for the first time: what it may have lost by then.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;

use super::{note::OwedByCache, *};
use crate::{
    caches::Caches,
    clock::Tick,
    config::{resources::ResourcesConfig, rules::RulesConfig},
    event::Entity,
    job::{Job, JobId, JobKey, JobType},
    journal::{EntryId, Ref, Volatile},
    queue::{Aging, QueueLimits, RetryPolicy},
    redis_pool::{Info, PoolError, Server},
    relations::embedded::Embedded,
    resource::Resources,
    rules::{History, RuleSet},
    secret::{Keys, Secret},
    window::{Finished, Kept, Limits, Window},
};

const MINUTE: Duration = Duration::from_secs(60);
const API: &str = "cache:api";
const START: Timestamp = Timestamp(1_763_812_800_000);

/// A server of which a look finds always the same.
struct Unchanging(Found);

impl Watched for Unchanging {
    fn look(&self) -> BoxFuture<'_, Result<Found, PoolError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }

    fn beat(&self, _: Timestamp, _: bool) -> BoxFuture<'_, Result<(), PoolError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn accept(&self, _: &Server) {}

    fn suspected(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A server that keeps beats, and takes its time to answer the second look.
#[derive(Default)]
struct Hesitant {
    beat: Mutex<Option<Timestamp>>,
    looks: AtomicU32,
}

impl Watched for Arc<Hesitant> {
    fn look(&self) -> BoxFuture<'_, Result<Found, PoolError>> {
        let found = Found { beat: *self.beat.lock().unwrap(), ..in_use() };
        let hesitates = self.looks.fetch_add(1, Ordering::Relaxed) == 1;
        Box::pin(async move {
            if hesitates {
                tokio::time::sleep(MINUTE / 2).await;
            }
            Ok(found)
        })
    }

    fn beat(&self, at: Timestamp, replaced: bool) -> BoxFuture<'_, Result<(), PoolError>> {
        let mut beat = self.beat.lock().unwrap();
        *beat = if replaced { Some(at) } else { (*beat).max(Some(at)) };
        Box::pin(std::future::ready(Ok(())))
    }

    fn accept(&self, _: &Server) {}

    fn suspected(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A server with copies and without a beat of this process.
fn in_use() -> Found {
    let info = Info::parse("run_id:run\r\nmaster_replid:data\r\nmaster_replid2:older data\r\n");
    Found { info, ..Found::default() }
}

/// A process that knows of no cache from an earlier life.
struct Kit {
    losses: Losses,
    hooks: Arc<Hooks>,
    queue: Arc<Queue>,
    _folder: tempfile::TempDir,
}

impl Kit {
    fn new(span: Duration, cache: Found) -> Self {
        Self::beside(span, Box::new(Unchanging(cache)))
    }

    fn beside(span: Duration, cache: Box<dyn Watched>) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::simulated(START));
        let store = Arc::new(Embedded::open(folder.path(), clock).unwrap());
        let current = Arc::new(Current::new(hooks(store.clone(), span, clock)));
        let (hooks, queue) = (current.get(), queue(clock));
        let ground = Ground {
            store,
            redis: None,
            caches: Vec::new(),
            notes: Notebook::simulated(),
            hooks: current,
            queue: queue.clone(),
            journal: Arc::new(Volatile),
            health: Arc::new(Health::new("none")),
            metrics: hooks.metrics.clone(),
            clock,
            on_loss: OnLoss::Evict,
        };
        let store_server: Box<dyn Watched> = Box::new(Unchanging(Found::default()));
        let servers = |_: &str| (store_server, vec![("api".to_owned(), cache)]);
        Self { losses: Losses::simulated(ground, servers), hooks, queue, _folder: folder }
    }

    /// A job has deleted copies in the cache.
    fn delete_copies(&self) -> Kept {
        let (id, now) = (JobId::new(self.hooks.window.now()), self.hooks.window.now());
        let job = Job {
            id,
            key: JobKey(1),
            job_type: JobType::Invalidate,
            topic: Arc::from("pp-cache"),
            entity: Entity { resource_type: "Posts".into(), id: "42".into() },
            priority: 0,
            superceedable: true,
            ready_at: Tick(0),
            expires_at: None,
            occurred_at: None,
            generation: None,
            accepted_at: now,
            copy: None,
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        };
        let kept = vec![Ref { entry: EntryId::first(id), segment: 1 }];
        let epoch = self.hooks.trust.epoch();
        self.hooks.window.keep(Finished { job: Arc::new(job), kept, epoch, removed_copies: true })
    }

    async fn look(&self) {
        self.losses.look_at_caches(MINUTE).await;
    }

    fn owed(&self) -> Option<OwedByCache> {
        self.losses.memory().note.owed.caches.get(API).copied()
    }

    fn jobs_run_again(&self) -> usize {
        self.queue.view().queued
    }
}

fn queue(clock: Clock) -> Arc<Queue> {
    let retry = RetryPolicy { max_attempts: 1, base: MINUTE, cap: MINUTE };
    let limits = QueueLimits { capacity: 10, max_bytes: 1 << 20, finished: 10, aging: Aging::Strict, retry };
    Arc::new(Queue::new(limits, clock))
}

fn hooks(relations: Arc<Embedded>, span: Duration, clock: Clock) -> Hooks {
    let metrics = Arc::new(Metrics::new().unwrap());
    let resources = Resources::compile(&ResourcesConfig([].into()), "").unwrap();
    let rules =
        RulesConfig { job_rules: Vec::new(), topics: [].into(), follow_ups: Vec::new(), max_depth: 8 };
    let secret = Secret::from_text("a secret for tests, thirty-two bytes or more").unwrap();
    let trust = Arc::default();
    let limits = Limits { span: Some(span), bytes: 1 << 20, jobs: 10 };
    Hooks {
        relations,
        caches: Caches::new(Vec::new(), metrics.clone()),
        keys: Arc::new(Keys::derive(&secret)),
        rules: History::new(RuleSet::compile(&rules, &resources).unwrap()),
        resources: Arc::new(resources),
        precedence: Arc::default(),
        window: Arc::new(Window::new(limits, clock, Arc::clone(&trust))),
        trust,
        resolver: None,
        clock,
        metrics,
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_was_used_before_its_first_look_is_emptied_where_nothing_is_held() {
    let kit = Kit::new(Duration::ZERO, in_use());
    assert!(matches!(kit.delete_copies(), Kept::Go(_)));
    kit.look().await;
    assert!(kit.owed().is_some_and(|owed| owed.all), "what was deleted may have come back");
    assert_eq!(kit.jobs_run_again(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_done_on_a_cache_before_its_first_look_is_run_again_where_it_is_held() {
    let kit = Kit::new(MINUTE, in_use());
    assert!(matches!(kit.delete_copies(), Kept::Held));
    let epoch = kit.hooks.trust.epoch();
    kit.look().await;
    assert_eq!((kit.jobs_run_again(), kit.owed()), (1, None));
    assert_ne!(kit.hooks.trust.epoch(), epoch, "what is being done on it is not over when it ends");
}

#[tokio::test(start_paused = true)]
async fn a_first_look_at_a_cache_that_is_empty_or_that_was_not_used_yet_costs_nothing() {
    let empty = Kit::new(Duration::ZERO, Found { is_empty: true, ..in_use() });
    assert!(matches!(empty.delete_copies(), Kept::Go(_)));
    empty.look().await;
    assert_eq!((empty.jobs_run_again(), empty.owed()), (0, None));
    let unused = Kit::new(Duration::ZERO, in_use());
    unused.look().await;
    assert_eq!((unused.jobs_run_again(), unused.owed()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_has_a_beat_from_after_what_was_let_go_has_lost_nothing_of_it() {
    let later = START.after(MINUTE);
    let kit = Kit::new(Duration::ZERO, Found { beat: Some(later), ..in_use() });
    assert!(matches!(kit.delete_copies(), Kept::Go(_)));
    tokio::time::sleep(MINUTE).await;
    kit.look().await;
    assert_eq!((kit.jobs_run_again(), kit.owed()), (0, None));
}

/// The clock was set back since, and beats are only ever raised.
#[tokio::test(start_paused = true)]
async fn a_beat_from_later_than_now_vouches_for_nothing_and_is_replaced() {
    let cache = Arc::new(Hesitant::default());
    *cache.beat.lock().unwrap() = Some(START.after(60 * MINUTE));
    let kit = Kit::beside(Duration::ZERO, Box::new(cache.clone()));
    assert!(matches!(kit.delete_copies(), Kept::Go(_)));
    kit.look().await;
    assert!(kit.owed().is_some_and(|owed| owed.all), "what was deleted may have come back");
    assert_eq!(*cache.beat.lock().unwrap(), Some(START));
}

#[tokio::test(start_paused = true)]
async fn only_the_first_look_at_a_cache_takes_it_for_one_that_may_have_failed_over() {
    for span in [Duration::ZERO, MINUTE] {
        let kit = Kit::new(span, in_use());
        kit.look().await;
        kit.delete_copies();
        kit.look().await;
        assert_eq!((kit.jobs_run_again(), kit.owed()), (0, None), "it is the same, window {span:?}");
    }
}

/// The monitor looks once a second, and so does a reload.
#[tokio::test(start_paused = true)]
async fn a_look_that_another_one_overtakes_takes_no_cache_for_one_that_has_failed_over() {
    let kit = Kit::beside(Duration::ZERO, Box::new(Arc::new(Hesitant::default())));
    kit.look().await;
    kit.delete_copies();
    tokio::time::sleep(MINUTE).await;
    tokio::join!(kit.look(), kit.look());
    assert_eq!((kit.jobs_run_again(), kit.owed()), (0, None));
}
