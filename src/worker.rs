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
    metrics::Metrics,
    queue::{Attempt, JobState, Outcome, Queue},
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
        for (attempt, outcome) in reads.iter().zip(outcomes) {
            self.settle(&attempt.job, outcome, attempt.waited, ran);
        }
    }

    async fn invalidate(&self, attempt: Attempt) {
        let (job, waited, began) = (attempt.job.clone(), attempt.waited, self.clock.tick());
        let span = span_of(&job);
        let outcome = self.hooks.invalidate(attempt).instrument(span).await;
        self.settle(&job, outcome, waited, self.clock.tick().since(began));
    }

    fn settle(&self, job: &Job, outcome: Outcome, waited: Duration, ran: Duration) {
        let job_type = job.job_type;
        self.metrics.job_ran(job_type, waited, ran);
        if let Outcome::Failed { error, .. } = &outcome {
            self.metrics.job_failed(job_type);
            span_of(job).in_scope(|| debug!(%error, "attempt failed"));
        }
        let state = self.queue.settle(job.id, outcome, fastrand::f64());
        if state != JobState::Queued {
            self.metrics.job_ended(job_type, state);
            span_of(job).in_scope(|| debug!(state = state.as_str(), "job ended"));
        }
        if state == JobState::Dead {
            let Job { id, topic, entity, .. } = job;
            let (resource_type, entity_id) = (&*entity.resource_type, &*entity.id);
            warn!(job.id = %id, %topic, resource_type, entity_id, "job is a dead letter; its copy was evicted");
        }
        self.tell_suspended(job_type);
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
