//! The queue, with few jobs and with a million in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use decache::{
    clock::{Clock, Tick, Timestamp},
    event::Entity,
    job::{Job, JobId, JobKey, JobType},
    queue::{Aging, Outcome, Queue, QueueLimits, RetryPolicy, Room},
};
use divan::{Bencher, counter::ItemsCount};
use futures_util::FutureExt;

/// Jobs that are in it before and after.
const QUEUED: [usize; 3] = [0, 1_000, 1_000_000];
/// Jobs that are pushed together, and taken together.
const BATCH: usize = 512;

/// Pushes jobs, and takes and settles as many: the most urgent, which are others where there are others.
#[divan::bench(args = QUEUED)]
fn push_take_settle(bencher: Bencher<'_, '_>, queued: usize) {
    let queue = filled(queued);
    let next = AtomicUsize::new(queued);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| made(next.fetch_add(BATCH, Ordering::Relaxed)))
        .bench_local_values(|jobs| {
            push(&queue, jobs);
            take_and_settle(&queue);
        });
}

/// Pushes jobs that each take the place of a queued one.
#[divan::bench(args = [BATCH, 1_000_000])]
fn supersede(bencher: Bencher<'_, '_>, queued: usize) {
    let queue = filled(queued);
    let next = AtomicUsize::new(0);
    let again = || made(next.fetch_add(BATCH, Ordering::Relaxed) % (queued / BATCH * BATCH));
    bencher.counter(ItemsCount::new(BATCH)).with_inputs(again).bench_local_values(|jobs| push(&queue, jobs));
}

fn filled(queued: usize) -> Arc<Queue> {
    let retry = RetryPolicy { max_attempts: 8, base: Duration::from_secs(1), cap: Duration::from_secs(1) };
    let aging = Aging::PerLevel(Duration::from_secs(1));
    let limits = QueueLimits { capacity: 2_000_000, max_bytes: 1 << 31, finished: 10_000, aging, retry };
    let queue = Arc::new(Queue::new(limits, Clock::start()));
    (0..queued).step_by(BATCH).for_each(|first| push(&queue, made(first)));
    // Whatever is only done when the first of so many is taken.
    if queued > 0 {
        take_and_settle(&queue);
        push(&queue, made(0));
    }
    queue
}

fn take_and_settle(queue: &Queue) {
    let taken = queue.take(Room { jobs: BATCH, fan_outs: BATCH }).now_or_never().unwrap();
    for attempt in taken {
        let done = Outcome::Done { fan_out: None, follow_ups: Vec::new() };
        queue.settle(attempt.job.id, done, 0, 0.5);
    }
}

fn push(queue: &Arc<Queue>, jobs: Vec<Job>) {
    let room = queue.reserve(&jobs).unwrap();
    room.push(jobs.into_iter().map(|job| (job, 1)));
}

fn made(first: usize) -> Vec<Job> {
    let topic: Arc<str> = "pp-cache".into();
    (first..first + BATCH).map(|n| job(n, &topic)).collect()
}

fn job(n: usize, topic: &Arc<str>) -> Job {
    Job {
        id: JobId::new(Timestamp(1_763_812_800_000)),
        key: JobKey(n as u128),
        job_type: JobType::Cache,
        topic: topic.clone(),
        entity: Entity { resource_type: "Posts".into(), id: n.to_string().into() },
        priority: (n % 3) as u16,
        superceedable: true,
        ready_at: Tick(0),
        expires_at: None,
        occurred_at: None,
        generation: None,
        accepted_at: Timestamp(1),
        copy: None,
        payload: None,
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}
