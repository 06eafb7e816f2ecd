//! Workers: take jobs from the queue, run them by their hooks, give them back.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span, warn};

use crate::{
    clock::Clock,
    health::Health,
    hooks::Hooks,
    job::{Job, JobType},
    journal::{Journal, JournalError, Kept, Record},
    metrics::Metrics,
    queue::{Attempt, JobState, Outcome, Queue, Settled},
    upkeep::keep_anew,
};

/// Fan-outs that one worker has under way at a time.
const FAN_OUTS: usize = 16;

/// What a worker works with; every worker has the same.
#[derive(Clone)]
pub struct Worker {
    /// Where jobs come from and go back to.
    pub queue: Arc<Queue>,
    /// What runs them.
    pub hooks: Arc<Hooks>,
    /// What lets go of them when they have ended.
    pub journal: Arc<dyn Journal>,
    /// Measures how long they run.
    pub clock: Clock,
    /// Counts how they end.
    pub metrics: Arc<Metrics>,
    /// Is told while invalidations cannot be done.
    pub health: Arc<Health>,
    /// Jobs that are taken at a time.
    pub batch: usize,
}

impl Worker {
    /// Works until cancelled. A batch that has been taken is finished first.
    pub async fn run(self, cancelled: CancellationToken) {
        while let Some(batch) = cancelled.run_until_cancelled(self.queue.take(self.batch)).await {
            self.run_batch(batch).await;
        }
    }

    /// `cache` jobs go to the store together; fan-outs go their own way beside them.
    async fn run_batch(&self, batch: Vec<Attempt>) {
        let (reads, fan_outs): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|attempt| attempt.job.job_type == JobType::Cache);
        let fan_outs = fan_outs.into_iter().map(|attempt| self.invalidate(attempt));
        tokio::join!(self.cache(reads), stream::iter(fan_outs).buffer_unordered(FAN_OUTS).collect::<()>());
    }

    async fn cache(&self, reads: Vec<Attempt>) {
        if reads.is_empty() {
            return;
        }
        let began = self.clock.tick();
        let outcomes = self.hooks.cache(&reads).await;
        let ran = self.clock.tick().since(began);
        for (attempt, outcome) in reads.into_iter().zip(outcomes) {
            self.settle(Ran { attempt, ran }, outcome);
        }
    }

    async fn invalidate(&self, attempt: Attempt) {
        let began = self.clock.tick();
        let outcome = self.hooks.invalidate(&attempt).instrument(span_of(&attempt.job)).await;
        self.settle(Ran { attempt, ran: self.clock.tick().since(began) }, outcome);
    }

    /// Gives a job back. What follows from it is kept first, in one record with its end (DESIGN 5).
    fn settle(&self, ran: Ran, outcome: Outcome) {
        let follow_ups = match &outcome {
            Outcome::Done { follow_ups, .. } if !follow_ups.is_empty() => follow_ups,
            _ => return self.give_back(&ran, outcome, 0),
        };
        let jobs = follow_ups.iter().map(|job| Kept { job, dead: None });
        let record = Record::new(jobs, ran.attempt.kept.clone(), self.clock.accepted());
        let worker = self.clone();
        let then = move |written: Result<u32, JournalError>| match written {
            Ok(segment) => worker.give_back(&ran, outcome, segment),
            Err(error) => {
                let failed = Outcome::Failed { error: error.to_string(), fan_out: None };
                worker.give_back(
                    &Ran { attempt: Attempt { kept: Vec::new(), ..ran.attempt }, ..ran },
                    failed,
                    0,
                );
            }
        };
        match record {
            Ok(record) => self.journal.write(record, Box::new(then)),
            Err(error) => then(Err(error)),
        }
    }

    /// `segment`: where the journal keeps the follow-ups, and has let the job go in the same record.
    fn give_back(&self, ran: &Ran, outcome: Outcome, segment: u32) {
        let Attempt { job, waited, .. } = &ran.attempt;
        let let_go_already = matches!(&outcome, Outcome::Done { follow_ups, .. } if !follow_ups.is_empty());
        self.metrics.job_ran(job.job_type, *waited, ran.ran);
        if let Outcome::Failed { error, .. } = &outcome {
            self.metrics.job_failed(job.job_type);
            span_of(job).in_scope(|| debug!(%error, "attempt failed"));
        }
        let Settled { state, let_go, dead } = self.queue.settle(job.id, outcome, segment, fastrand::f64());
        if !let_go_already {
            self.journal.forget(let_go);
        }
        if let Some(dead) = dead {
            tell_dead(job);
            keep_anew(&self.queue, &self.journal, dead, self.clock.accepted());
        }
        if state != JobState::Queued {
            self.metrics.job_ended(job.job_type, state);
            span_of(job).in_scope(|| debug!(state = state.as_str(), "job ended"));
        }
        self.tell_suspended(job.job_type);
    }

    fn tell_suspended(&self, job_type: JobType) {
        if job_type != JobType::Invalidate {
            return;
        }
        let suspended = self.queue.suspended();
        let detail = (suspended > 0)
            .then(|| format!("{suspended} invalidations wait to be tried again after a failure"));
        self.health.report("invalidations", detail);
    }
}

/// An attempt that is over, and how long it took.
struct Ran {
    attempt: Attempt,
    ran: Duration,
}

fn tell_dead(job: &Job) {
    let Job { id, topic, entity, .. } = job;
    let (resource_type, entity_id) = (&*entity.resource_type, &*entity.id);
    warn!(job.id = %id, %topic, resource_type, entity_id, "job is a dead letter; its copy was evicted");
}

/// The span of a job, with the field names that every log line about jobs has. At `info` it costs nothing.
fn span_of(job: &Job) -> tracing::Span {
    debug_span!(
        "job",
        job.id = %job.id,
        job.r#type = job.job_type.as_str(),
        topic = &*job.topic,
        resource_type = &*job.entity.resource_type,
        entity_id = &*job.entity.id,
    )
}
