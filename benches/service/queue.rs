//! The queue alone, in this process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use decache::{
    clock::{Clock, Tick, Timestamp},
    event::{AccessToken, Entity},
    job::{CopyHeld, Job, JobId, JobKey, JobType},
    queue::{Aging, Attempt, Outcome, Queue, QueueLimits, RetryPolicy, Room},
    secret::HolderId,
};

use crate::{
    Settings,
    machine::resident_mib,
    stats::{Row, median},
};

/// Jobs that are pushed together, and taken together.
const BATCH: usize = 512;

/// Row 10: push, take and settle, at several lengths of the queue (row 12).
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = vec![memory(settings)];
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

/// Row 9: what a queued job takes up, by the memory of this process.
fn memory(settings: &Settings) -> Row {
    let queue = queue();
    // So that what is measured is not what the first push makes.
    push(&queue, made(settings.jobs, BATCH));
    let before = resident_mib(std::process::id());
    for batch in 0..settings.jobs / BATCH {
        push(&queue, made(batch * BATCH, BATCH));
    }
    let grown = (resident_mib(std::process::id()) - before) * f64::from(1 << 20);
    let each = grown / (settings.jobs / BATCH * BATCH) as f64;
    Row {
        number: 9,
        work: format!("memory, {} reads queued", settings.jobs),
        unit: "bytes",
        service: each,
        promise: "<= 300".to_owned(),
        is_kept: Some(each <= 300.0),
        ..Row::default()
    }
}

fn queue() -> Arc<Queue> {
    let retry = RetryPolicy { max_attempts: 8, base: Duration::from_secs(1), cap: Duration::from_secs(1) };
    let aging = Aging::PerLevel(Duration::from_secs(1));
    let limits = QueueLimits { capacity: 2_000_000, max_bytes: 1 << 31, finished: 10_000, aging, retry };
    Arc::new(Queue::new(limits, Clock::start()))
}

async fn rate(queued: usize, jobs: usize) -> f64 {
    let queue = queue();
    push(&queue, made(0, queued));
    let batches: Vec<Vec<Job>> = (0..jobs / BATCH).map(|batch| made(queued + batch * BATCH, BATCH)).collect();
    let began = Instant::now();
    for batch in batches {
        push(&queue, batch);
        let taken = queue.take(Room { jobs: BATCH, fan_outs: BATCH }).await;
        let done =
            |attempt: Attempt| (attempt.job.id, Outcome::Done { fan_out: None, follow_ups: Vec::new() });
        queue.settle_all(taken.into_iter().map(done), 0, || 0.5);
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
            occurred_at: Some(Timestamp(1_763_812_800_000)),
            generation: None,
            accepted_at: Timestamp(1_763_812_800_001),
            copy: Some(Box::new(CopyHeld {
                holder: HolderId((n as u128).to_be_bytes()),
                token: AccessToken::new(format!("tok-{:05}", n % 20_000)),
                user_id: Some(format!("user-{}", n % 20_000).into()),
                cache_key: None,
                life: Duration::from_secs(300),
            })),
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        })
        .collect()
}
