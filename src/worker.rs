//! Workers: take jobs from the queue, run them by their hooks, give them back.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span};

use crate::{
    clause::{Clause, holds},
    clock::Clock,
    current::Current,
    feed::Feed,
    hooks::Hooks,
    job::{Cause, Job, JobType},
    journal::{Journal, JournalError, Kept, Record, Ref},
    metrics::Metrics,
    queue::{Attempt, JobState, Outcome, Queue, Room, Settled},
    trace,
    upkeep::{keep_anew, run_again},
    window::{self, Finished, Window},
};

#[cfg(test)]
mod tests;

/// Fan-outs that one worker has under way at a time.
const FAN_OUTS: usize = 16;
/// Batches of reads that one worker has under way at a time: one is sent while another is answered.
const READS: usize = 2;
/// Batches of reads that all workers together have under way, as long as the store answers quickly: what comes meanwhile goes
/// together in the next one. Many small batches cost the store and us several times as much.
const GATHERED: usize = 2;
/// How long a worker lets reads gather at the most: a store that is slower holds up nothing for longer, and what fans out is not
/// held up at all.
const GATHER: Duration = Duration::from_millis(2);

/// What a worker works with; every worker has the same.
#[derive(Clone)]
pub struct Worker {
    /// Where jobs come from and go back to.
    pub queue: Arc<Queue>,
    /// What runs them.
    pub hooks: Arc<Current<Hooks>>,
    /// What lets go of them when they have ended.
    pub journal: Arc<dyn Journal>,
    /// Measures how long they run.
    pub clock: Clock,
    /// Counts how they end.
    pub metrics: Arc<Metrics>,
    /// Is told what fan-outs have done.
    pub feed: Arc<Feed>,
    /// Jobs that are taken at a time.
    pub batch: usize,
    /// Lets reads gather: see [`Worker::gathering`].
    pub reads: Arc<Semaphore>,
}

impl Worker {
    /// What the workers of one queue share, so that reads gather while others are under way.
    pub fn gathering() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(GATHERED))
    }

    /// Works until cancelled, and then finishes what it has taken. A slow fan-out holds up neither reads nor other
    /// fan-outs, until there are so many slow ones that there is no room left.
    pub async fn run(self, cancelled: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let (mut fan_outs, mut reads) = (0, 0);
        while !cancelled.is_cancelled() {
            let room = Room { jobs: self.batch, fan_outs: FAN_OUTS - fan_outs };
            let has_room = room.fan_outs > 0 && reads < READS;
            tokio::select! {
                biased;
                Some(done) = under_way.next(), if !under_way.is_empty() => match done {
                    Done::FanOut => fan_outs -= 1,
                    Done::Reads => reads -= 1,
                },
                (permit, taken) = self.take(room), if has_room => {
                    if !holds(Clause::KeptUntilEnded) {
                        taken.iter().for_each(|attempt| self.journal.forget(attempt.kept.clone()));
                    }
                    let (batch, removals): (Vec<_>, Vec<_>) =
                        taken.into_iter().partition(|attempt| !attempt.job.job_type.fans_out());
                    fan_outs += removals.len();
                    under_way.extend(removals.into_iter().map(|attempt| self.fan_out(attempt).boxed()));
                    if !batch.is_empty() {
                        reads += 1;
                        under_way.push(self.cache(batch, permit).boxed());
                    }
                }
                () = cancelled.cancelled() => {}
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// Safe to cancel.
    async fn take(&self, room: Room) -> (Option<OwnedSemaphorePermit>, Vec<Attempt>) {
        let gathered = tokio::time::timeout(GATHER, self.reads.clone().acquire_owned());
        let permit = tokio::select! {
            biased;
            permit = gathered => permit.ok().and_then(Result::ok),
            () = self.queue.fan_out_pushed() => None,
        };
        (permit, self.queue.take(room).await)
    }

    /// `_permit` is given back when it is over.
    async fn cache(&self, reads: Vec<Attempt>, _permit: Option<OwnedSemaphorePermit>) -> Done {
        let hooks = self.hooks.get();
        let (began, epoch) = (self.clock.tick(), hooks.trust.epoch());
        let spans = trace::of_jobs(reads.iter().map(|attempt| &*attempt.job));
        let outcomes = trace::within(spans.first().map(|(_, span)| span), hooks.cache(&reads)).await;
        let ran = self.clock.tick().since(began);
        for (place, span) in spans {
            span.end(outcomes.get(place).is_some_and(has_failed));
        }
        let ran = |attempt| Ran { attempt, ran, epoch, let_go: false };
        self.settle_all(reads.into_iter().map(ran).zip(outcomes));
        Done::Reads
    }

    async fn fan_out(&self, attempt: Attempt) -> Done {
        let hooks = self.hooks.get();
        let (began, epoch) = (self.clock.tick(), hooks.trust.epoch());
        let span = span_of(&attempt.job);
        let traced = trace::of_job(&attempt.job);
        let work = async {
            match attempt.job.job_type {
                JobType::Revoke => hooks.revoke(&attempt).await,
                JobType::Cache | JobType::Invalidate => hooks.invalidate(&attempt).await,
            }
        };
        let outcome = trace::within(traced.as_ref(), work.instrument(span)).await;
        if let Some(traced) = traced {
            traced.end(has_failed(&outcome));
        }
        let ran = self.clock.tick().since(began);
        self.settle(Ran { attempt, ran, epoch, let_go: false }, outcome);
        Done::FanOut
    }

    /// Gives jobs back, together those that nothing follows.
    fn settle_all(&self, all: impl Iterator<Item = (Ran, Outcome)>) {
        let (followed, alone): (Vec<_>, Vec<_>) = all.partition(|(_, outcome)| is_followed(outcome));
        for (ran, outcome) in followed {
            self.settle(ran, outcome);
        }
        self.give_back(alone, 0);
    }

    /// Gives a job back. What follows from it is kept first, in one record with its end where it is done (DESIGN 5); where the
    /// job is held after its end, the end comes later.
    fn settle(&self, mut ran: Ran, outcome: Outcome) {
        if !is_followed(&outcome) {
            return self.give_back(vec![(ran, outcome)], 0);
        }
        ran.let_go = ends_with_follow_ups(&outcome) && self.window().span().is_zero();
        let ended = if ran.let_go { ran.attempt.kept.clone() } else { Vec::new() };
        let record = Record::new(outcome.follow_ups().iter().map(Kept::first), ended, self.clock.accepted());
        let worker = self.clone();
        let then = move |written: Result<u32, JournalError>| match written {
            Ok(segment) => worker.give_back(vec![(ran, outcome)], segment),
            Err(error) => {
                let error = error.to_string();
                let cause = Cause::JournalUnwritable;
                let failed = Outcome::Failed { error, cause, fan_out: None, waits_for: Box::default() };
                worker.give_back(vec![(Ran { let_go: false, ..ran }, failed)], 0);
            }
        };
        match record {
            Ok(record) => self.journal.write(record, Box::new(then)),
            Err(error) => then(Err(error)),
        }
    }

    /// To the queue at once, and at once to the journal what it may let go. `segment`: where it keeps the follow-ups.
    fn give_back(&self, all: Vec<(Ran, Outcome)>, segment: u32) {
        let mut ran = Vec::with_capacity(all.len());
        let mut outcomes = Vec::with_capacity(all.len());
        for (job, outcome) in all {
            self.tell(&job, &outcome);
            outcomes.push((job.attempt.job.id, outcome));
            ran.push((outcomes.last().is_some_and(|(_, outcome)| outcome.removed_copies()), job));
        }
        let settled = self.queue.settle_all(outcomes, segment, fastrand::f64);
        let mut go = Vec::new();
        for ((removed_copies, ran), settled) in ran.iter().zip(settled) {
            self.settled(ran, settled, *removed_copies, &mut go);
        }
        self.journal.forget(go);
    }

    /// What an attempt has come to, as metrics, log and feed are told.
    fn tell(&self, ran: &Ran, outcome: &Outcome) {
        let Attempt { job, waited, .. } = &ran.attempt;
        self.metrics.job_ran(job.job_type, *waited, ran.ran);
        if let Outcome::Failed { error, .. } = outcome {
            self.metrics.job_failed(job.job_type);
            span_of(job).in_scope(|| debug!(%error, "attempt failed"));
        }
        if let (Outcome::Done { fan_out: Some(fan_out), .. }, true) = (outcome, job.job_type.fans_out()) {
            self.feed.tell(job, fan_out, self.clock.now());
        }
    }

    /// Holds on to a job that has ended, or adds to `go` what the journal may let go of it.
    fn settled(&self, ran: &Ran, settled: Settled, removed_copies: bool, go: &mut Vec<Ref>) {
        let Settled { state, let_go, dead } = settled;
        match state {
            JobState::Done | JobState::Expired => {
                go.extend(self.hold(ran, if ran.let_go { Vec::new() } else { let_go }, removed_copies));
            }
            JobState::Dead => {
                go.extend(let_go);
                go.extend(self.hold(ran, Vec::new(), removed_copies));
            }
            JobState::Queued | JobState::Running | JobState::Superseded => go.extend(let_go),
        }
        if let Some(dead) = dead {
            keep_anew(&self.queue, &self.journal, dead, self.clock.accepted());
        }
        if state != JobState::Queued {
            let job = &ran.attempt.job;
            self.metrics.job_ended(job.job_type, state);
            span_of(job).in_scope(|| debug!(state = state.as_str(), "job ended"));
        }
    }
}

impl Worker {
    /// It outlives whatever the hooks are replaced by.
    fn window(&self) -> Arc<Window> {
        self.hooks.get().window.clone()
    }

    /// Holds on to a job that is done, as long as a failover may undo it (DESIGN 7, rule 14). Returns what the journal may
    /// let go.
    fn hold(&self, ran: &Ran, kept: Vec<Ref>, removed_copies: bool) -> Vec<Ref> {
        let finished = Finished { job: ran.attempt.job.clone(), kept, epoch: ran.epoch, removed_copies };
        match self.window().keep(finished) {
            window::Kept::Held => Vec::new(),
            window::Kept::Go(kept) => kept,
            window::Kept::Again(finished) => {
                run_again(&self.queue, &self.journal, finished, self.clock.accepted());
                Vec::new()
            }
        }
    }
}

/// Whether something follows that is to be kept before the job leaves.
fn is_followed(outcome: &Outcome) -> bool {
    !outcome.follow_ups().is_empty() && holds(Clause::FollowUpsBeforeEnd)
}

/// Whether the journal lets a job go in the record of its follow-ups. One that was evicted may live on as a dead letter.
fn ends_with_follow_ups(outcome: &Outcome) -> bool {
    let is_done = matches!(outcome, Outcome::Done { .. } | Outcome::Evicted { ending: None, .. });
    is_done && !outcome.follow_ups().is_empty()
}

fn has_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { .. })
}

/// Something that was under way is over.
enum Done {
    FanOut,
    Reads,
}

/// An attempt that is over, and how long it took.
struct Ran {
    attempt: Attempt,
    ran: Duration,
    /// [`crate::trust::Trust::epoch`] when it began.
    epoch: u64,
    /// Whether the journal lets the job go in one record with its follow-ups.
    let_go: bool,
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
