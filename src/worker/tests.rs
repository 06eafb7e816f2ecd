//! How reads gather, in paused time: the reads of these tests have expired, and their copies go from a cache that answers
//! only as the test lets it.

use futures_util::future::BoxFuture;
use tokio::{task::JoinSet, time::advance};

use super::*;
use crate::{
    caches::{Cache, CacheError, Caches, CopyKey},
    clock::{Tick, Timestamp},
    config::{
        resources::{ResourceConfig, ResourcesConfig},
        rules::RulesConfig,
    },
    event::{AccessToken, Entity},
    job::{CopyHeld, JobId, JobKey},
    journal::Volatile,
    queue::{Aging, QueueLimits, RetryPolicy},
    relations::embedded::Embedded,
    resource::Resources,
    rules::{History, RuleSet},
    secret::{HolderId, Keys, Secret},
    window::Limits,
};

const START: Timestamp = Timestamp(1_763_812_800_000);
const MINUTE: Duration = Duration::from_secs(60);

/// Each deletion waits until it is let through.
struct Held(Arc<Semaphore>);

impl Cache for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(async move {
            for _ in keys {
                self.0.acquire().await.unwrap().forget();
            }
            Ok(keys.len())
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Two workers of one queue.
struct Kit {
    worker: Worker,
    cache: Arc<Semaphore>,
    stop: CancellationToken,
    running: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Kit {
    async fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::simulated(START));
        let cache = Arc::new(Semaphore::new(0));
        let hooks = hooks(Arc::new(Embedded::open(folder.path(), clock).unwrap()), &cache, clock);
        let retry = RetryPolicy { max_attempts: 1, base: MINUTE, cap: MINUTE };
        let limits =
            QueueLimits { capacity: 1000, max_bytes: 1 << 20, finished: 10, aging: Aging::Strict, retry };
        let worker = Worker {
            queue: Arc::new(Queue::new(limits, clock)),
            metrics: hooks.metrics.clone(),
            hooks: Arc::new(Current::new(hooks)),
            journal: Arc::new(Volatile),
            clock,
            feed: Arc::new(Feed::new("life")),
            batch: 512,
            reads: Worker::gathering(),
        };
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..2 {
            running.spawn(worker.clone().run(stop.clone()));
        }
        advance(MINUTE).await;
        let kit = Self { worker, cache, stop, running, _folder: folder };
        kit.others_go_on().await;
        kit
    }

    /// Everything that needs no time is done.
    async fn others_go_on(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn push(&self, job: Job) {
        self.worker.queue.push([(job, 1)]);
        self.others_go_on().await;
    }

    async fn push_reads(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.push(read(number)).await;
        }
    }

    /// Two batches of one read each are under way, and do not end.
    async fn two_batches_are_stuck(&self) {
        self.push_reads(0..2).await;
        assert_eq!((self.taken(), self.worker.reads.available_permits()), (2, 0));
    }

    fn taken(&self) -> usize {
        self.worker.queue.view().running
    }

    async fn passes(&self, time: Duration) {
        advance(time).await;
        self.others_go_on().await;
    }

    /// Ends so many reads; so many jobs are taken then. No time passes, but for the store, which has a thread of its own.
    async fn answer(&self, reads: usize, taken: usize) {
        self.cache.add_permits(reads);
        while self.taken() != taken || self.cache.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        self.others_go_on().await;
    }
}

fn hooks(relations: Arc<Embedded>, cache: &Arc<Semaphore>, clock: Clock) -> Hooks {
    let metrics = Arc::new(Metrics::new().unwrap());
    let posts = ResourceConfig {
        cache_keys: vec!["/posts/{entity_id}?t={access_token}".to_owned()],
        variant_patterns: Vec::new(),
        ttl: MINUTE,
        guard: Duration::ZERO,
        horizon: MINUTE,
        recheck: Duration::ZERO,
        require_read_time: false,
    };
    let resources = Resources::compile(&ResourcesConfig([("Posts".to_owned(), posts)].into()), "").unwrap();
    let rules =
        RulesConfig { job_rules: Vec::new(), topics: [].into(), follow_ups: Vec::new(), max_depth: 8 };
    let secret = Secret::from_text("a secret for tests, thirty-two bytes or more").unwrap();
    let trust = Arc::default();
    let limits = Limits { span: Some(Duration::ZERO), bytes: 0, jobs: 0 };
    Hooks {
        relations,
        caches: Caches::new(vec![Box::new(Held(cache.clone()))], metrics.clone()),
        keys: Arc::new(Keys::derive(&secret)),
        rules: History::new(RuleSet::compile(&rules, &resources).unwrap()),
        precedence: Arc::default(),
        resources: Arc::new(resources),
        window: Arc::new(Window::new(limits, clock, Arc::clone(&trust))),
        trust,
        resolver: None,
        clock,
        metrics,
    }
}

fn update(number: u64) -> Job {
    Job {
        id: JobId::new(START),
        key: JobKey(number.into()),
        job_type: JobType::Invalidate,
        topic: Arc::from("pp-cache"),
        entity: Entity { resource_type: "Posts".into(), id: number.to_string().into() },
        priority: 0,
        superceedable: true,
        ready_at: Tick(0),
        expires_at: None,
        occurred_at: Some(START),
        generation: None,
        accepted_at: START,
        copy: None,
        payload: None,
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}

fn read(number: u64) -> Job {
    let token = AccessToken::new("tok-alice");
    let copy = CopyHeld { holder: HolderId([1; 16]), token, user_id: None, cache_key: None, life: MINUTE };
    Job {
        job_type: JobType::Cache,
        priority: 1,
        expires_at: Some(Tick(0)),
        copy: Some(Box::new(copy)),
        ..update(number)
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_come_while_two_batches_are_under_way_go_together_when_one_has_ended() {
    let kit = Kit::new().await;
    kit.two_batches_are_stuck().await;
    kit.push_reads(2..12).await;
    assert_eq!(kit.taken(), 2, "they gather");
    kit.answer(1, 1 + 10).await;
    kit.answer(11, 0).await;
    assert_eq!(kit.worker.queue.view().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn reads_gather_no_longer_than_that_behind_batches_that_hang() {
    let kit = Kit::new().await;
    kit.two_batches_are_stuck().await;
    kit.push_reads(2..12).await;
    kit.passes(GATHER / 2).await;
    assert_eq!(kit.taken(), 2);
    kit.passes(GATHER / 2 + Duration::from_millis(1)).await;
    assert_eq!(kit.taken(), 2 + 10);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_is_taken_at_once_while_reads_gather_and_hang() {
    let kit = Kit::new().await;
    kit.two_batches_are_stuck().await;
    let update = update(42);
    let id = update.id;
    kit.push(update).await;
    // No time passes, but for the store, which has a thread of its own.
    while kit.worker.queue.job(id).is_none_or(|job| job.state != JobState::Done) {
        tokio::task::yield_now().await;
    }
    assert_eq!(kit.taken(), 2, "they hang still");
    kit.push_reads(2..12).await;
    assert_eq!(kit.taken(), 2, "others gather after it as before");
}

/// Each batch that ends cancels whatever its worker was waiting for.
#[tokio::test(start_paused = true)]
async fn no_wait_that_is_cancelled_loses_a_read_or_a_place() {
    let mut kit = Kit::new().await;
    for round in 0..50 {
        kit.push_reads(round * 10..round * 10 + 4).await;
        if round % 3 == 0 {
            kit.passes(GATHER / 2).await;
        }
        kit.cache.add_permits(1);
        kit.others_go_on().await;
        kit.push_reads(round * 10 + 4..round * 10 + 8).await;
        kit.passes(GATHER * 2).await;
        kit.answer(7, 0).await;
        assert_eq!(kit.worker.queue.view().queued, 0, "round {round}");
    }
    // A worker may have its place already when the first of them comes; then all three are taken.
    kit.push_reads(0..3).await;
    let taken = kit.taken();
    kit.stop.cancel();
    kit.others_go_on().await;
    assert!(kit.running.try_join_next().is_none(), "what was taken is finished first");
    kit.answer(taken, 0).await;
    while kit.running.join_next().await.is_some() {}
    assert_eq!(kit.worker.queue.view().queued, 3 - taken, "what was not taken is left");
    assert_eq!(kit.worker.reads.available_permits(), GATHERED);
}
