//! The queue alone, in this process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use decache::{
    clock::{Clock, Tick, Timestamp},
    event::Entity,
    job::{Job, JobId, JobKey, JobType},
    queue::{Aging, Outcome, Queue, QueueLimits, RetryPolicy, Room},
};

use crate::{
    Settings,
    stats::{Row, median},
};

/// Jobs that are pushed together, and taken together.
const BATCH: usize = 512;

/// Row 10: push, take and settle, at several lengths of the queue (row 12).
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for queued in settings.queued {
        let mut rates = Vec::new();
        for _ in 0..settings.rounds {
            rates.push(rate(*queued, settings.jobs).await);
        }
        let rate = median(rates);
        rows.push(Row {
            number: 10,
            work: format!("queue alone, {queued} queued: push, take, done"),
            unit: "/s",
            service: rate,
            promise: ">= 1 M/s".to_owned(),
            is_kept: Some(rate >= 1e6),
            ..Row::default()
        });
    }
    rows
}

async fn rate(queued: usize, jobs: usize) -> f64 {
    let retry = RetryPolicy { max_attempts: 8, base: Duration::from_secs(1), cap: Duration::from_secs(1) };
    let aging = Aging::PerLevel(Duration::from_secs(1));
    let limits = QueueLimits { capacity: 2_000_000, max_bytes: 1 << 31, finished: 10_000, aging, retry };
    let queue = Arc::new(Queue::new(limits, Clock::start()));
    push(&queue, made(0, queued));
    let batches: Vec<Vec<Job>> = (0..jobs / BATCH).map(|batch| made(queued + batch * BATCH, BATCH)).collect();
    let began = Instant::now();
    for batch in batches {
        push(&queue, batch);
        for attempt in queue.take(Room { jobs: BATCH, fan_outs: BATCH }).await {
            queue.settle(attempt.job.id, Outcome::Done { fan_out: None, follow_ups: Vec::new() }, 0, 0.5);
        }
    }
    (jobs / BATCH * BATCH) as f64 / began.elapsed().as_secs_f64()
}

fn push(queue: &Arc<Queue>, jobs: Vec<Job>) {
    let room = queue.reserve(&jobs).unwrap();
    room.push(jobs.into_iter().map(|job| (job, 1)));
}

fn made(first: usize, jobs: usize) -> Vec<Job> {
    let topic: Arc<str> = "pp-cache".into();
    (first..first + jobs)
        .map(|n| Job {
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
            trace: None,
        })
        .collect()
}
