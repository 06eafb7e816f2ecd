//! Jobs in order: a handle that many tasks share over the pure [`schedule`].
//!
//! The lock is held for a moment and never across an await; whoever changes what is ready notifies after unlocking.

mod ended;
mod entry;
mod merge;
mod retry;
mod schedule;
#[cfg(test)]
mod tests;
mod view;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

pub use ended::Watch;
pub use entry::{Attempt, Ending, Phase};
pub use retry::RetryPolicy;
pub use schedule::{Aging, Room};
pub use view::{JobState, JobView, QueueView, Tally};

use crate::{
    clock::Clock,
    fan_out::FanOut,
    job::{Job, JobId, JobType},
    journal::{EntryId, Ref},
};
use ended::{DeadLetter, Ended};
use entry::{Entry, Kept};
use schedule::Schedule;

/// Dead letters may take up one part in so many of [`QueueLimits::max_bytes`], beside it.
const DEAD_SHARE: usize = 4;

/// How a queue is bounded and how it orders and retries.
#[derive(Clone, Debug)]
pub struct QueueLimits {
    /// Jobs that may wait or run.
    pub capacity: usize,
    /// Bytes that they may be counted with.
    pub max_bytes: usize,
    /// Finished jobs, and as many dead letters, that are kept to be looked at; of dead letters no more than a quarter of
    /// `max_bytes`.
    pub finished: usize,
    /// How priority weighs against waiting.
    pub aging: Aging,
    /// When a job that failed is tried again.
    pub retry: RetryPolicy,
}

/// What pushing a job did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pushed {
    /// The job that is queued now.
    pub id: JobId,
    /// The queued job whose place and work it took.
    pub supersedes: Option<JobId>,
}

/// The bound in jobs or bytes is reached; nothing was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// What a worker's attempt at a job came to.
#[derive(Debug)]
pub enum Outcome {
    /// The work is done. Its follow-ups are queued before it leaves (DESIGN 7, rule 9).
    Done {
        /// For an invalidation: what it did.
        fan_out: Option<FanOut>,
        /// Jobs that follow from it.
        follow_ups: Vec<Job>,
    },
    /// The copy of a job that is not worth doing, or cannot be done, is evicted.
    Evicted(Ending),
    /// A long fan-out lets others go first.
    Yield(FanOut),
    /// It failed, and is to be tried again.
    Failed {
        /// Why, in a sentence without a token or a key.
        error: String,
        /// For an invalidation: how far it came.
        fan_out: Option<FanOut>,
    },
}

/// What became of a job that was given back.
#[derive(Debug)]
pub struct Settled {
    /// The state that it is in now.
    pub state: JobState,
    /// What the journal may let go.
    pub let_go: Vec<Ref>,
    /// A dead letter, which the journal is to keep as one.
    pub dead: Option<KeepAnew>,
}

/// A job that the journal is to keep anew, before it lets go what it has kept of it.
#[derive(Clone, Debug)]
pub struct KeepAnew {
    /// The job as it is now.
    pub job: Arc<Job>,
    /// Why it is a dead letter, if it is one.
    pub dead: Option<Box<str>>,
    kept: Vec<Ref>,
}

/// Room for jobs that are not queued yet.
#[derive(Debug)]
pub struct Reserved {
    queue: Arc<Queue>,
    jobs: usize,
    bytes: usize,
}

/// The queue that ingest pushes to and workers take from.
#[derive(Debug)]
pub struct Queue {
    limits: QueueLimits,
    clock: Clock,
    state: Mutex<State>,
    ready: Notify,
    settled: Notify,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    ended: Ended,
    /// Jobs and bytes that room is kept for.
    reserved: (usize, usize),
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QueueLimits, clock: Clock) -> Self {
        let state = State {
            schedule: Schedule::new(limits.aging),
            ended: Ended::new(limits.finished, limits.max_bytes / DEAD_SHARE),
            reserved: (0, 0),
        };
        Self { limits, clock, state: Mutex::new(state), ready: Notify::new(), settled: Notify::new() }
    }

    /// Keeps room for these jobs until they are pushed, or until the reservation is dropped.
    ///
    /// # Errors
    /// [`Full`] where they do not all fit.
    pub fn reserve(self: &Arc<Self>, jobs: &[Job]) -> Result<Reserved, Full> {
        let mut state = self.lock();
        let added = jobs.iter().map(|job| state.schedule.added_by(job));
        let (jobs, bytes) = added.fold((0, 0), |sum, added| (sum.0 + added.0, sum.1 + added.1));
        if state.schedule.len() + state.reserved.0 + jobs > self.limits.capacity
            || state.schedule.bytes() + state.reserved.1 + bytes > self.limits.max_bytes
        {
            return Err(Full);
        }
        state.reserved.0 += jobs;
        state.reserved.1 += bytes;
        Ok(Reserved { queue: self.clone(), jobs, bytes })
    }

    /// Queues jobs, each with the segment that the journal keeps it in, however full the queue is: room was kept for them.
    pub fn push(&self, jobs: impl IntoIterator<Item = (Job, u32)>) -> Vec<Pushed> {
        self.push_kept(jobs.into_iter().map(kept_first))
    }

    /// As [`Queue::push`], for what the journal gives back.
    pub fn push_kept(&self, jobs: impl IntoIterator<Item = (Job, Ref)>) -> Vec<Pushed> {
        let mut state = self.lock();
        let pushed = jobs.into_iter().map(|(job, kept)| state.push(job, kept, &self.clock)).collect();
        drop(state);
        self.ready.notify_one();
        pushed
    }

    /// As [`Queue::push`], with a watch that sees the jobs end.
    pub fn push_watched(&self, jobs: impl IntoIterator<Item = (Job, u32)>) -> (Vec<Pushed>, Watch) {
        let mut state = self.lock();
        let pushed: Vec<Pushed> =
            jobs.into_iter().map(kept_first).map(|(job, kept)| state.push(job, kept, &self.clock)).collect();
        let watch = state.ended.watch(&survivors(&pushed));
        drop(state);
        self.ready.notify_one();
        (pushed, watch)
    }

    /// Takes back a dead letter that the journal gives back.
    pub fn put_dead(&self, job: Job, reason: Box<str>, kept: Ref) -> Vec<Ref> {
        let mut state = self.lock();
        state.put_dead(job, reason, kept, &self.clock).into_vec()
    }

    /// Jobs that the journal had better keep anew, as they are now: those that stand for very many, and those in a
    /// segment that is to be cleared; about `limit` of them.
    pub fn to_keep_anew(&self, sparse: Option<u32>, limit: usize) -> Vec<KeepAnew> {
        let mut state = self.lock();
        let State { schedule, ended, .. } = &mut *state;
        let mut anew: Vec<KeepAnew> = schedule.take_crowded().into_iter().map(KeepAnew::of_entry).collect();
        if let Some(segment) = sparse {
            let waiting = schedule.kept_in(segment).filter(|entry| !entry.running);
            anew.extend(waiting.take(limit).map(KeepAnew::of_entry));
            let letters =
                ended.letters().filter(|(_, letter)| letter.kept.iter().any(|kept| kept.segment == segment));
            anew.extend(letters.take(limit).map(|(view, letter)| KeepAnew::of_letter(view, letter)));
        }
        anew
    }

    /// A job is kept anew as `new`. Returns what the journal may let go: the old references, or the new one where the
    /// job runs, has been superseded or has gone meanwhile.
    pub fn kept_anew(&self, anew: &KeepAnew, new: Ref) -> Vec<Ref> {
        let id = anew.job.id;
        let mut state = self.lock();
        let State { schedule, ended, .. } = &mut *state;
        let waiting = schedule.get_mut(id).filter(|entry| !entry.running).map(|entry| &mut entry.kept);
        let kept = match waiting {
            Some(kept) => Some(kept),
            None => ended.letters().find(|(view, _)| view.id == id).map(|(_, letter)| &mut letter.kept),
        };
        // Nothing may be let go twice: whoever was faster has what was kept before.
        match kept.filter(|kept| anew.kept.iter().all(|old| kept.contains(old))) {
            None => vec![new],
            Some(kept) => {
                kept.retain(|kept| !anew.kept.contains(kept));
                kept.push(new);
                anew.kept.clone()
            }
        }
    }

    /// Waits for jobs that may start, and takes as many as there is room for, the most urgent first. Each is to be given
    /// back with [`Queue::settle`]. There must be room for a job of any type, so that the most urgent one can be taken.
    /// Safe to cancel.
    pub async fn take(&self, room: Room) -> Vec<Attempt> {
        loop {
            let mut woken = std::pin::pin!(self.ready.notified());
            // Interest is registered before the check, so that a push in between is not missed.
            woken.as_mut().enable();
            let (taken, next_ready) = {
                let mut state = self.lock();
                let taken = state.schedule.take(self.clock.tick(), room);
                (taken, state.schedule.next_ready())
            };
            if !taken.is_empty() {
                if next_ready.is_some() {
                    self.ready.notify_one();
                }
                return taken;
            }
            match next_ready {
                Some(tick) => {
                    let _ = tokio::time::timeout_at(self.clock.instant(tick), woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// Gives a job back. `segment` is where the journal keeps its follow-ups, which are let in however full the queue is;
    /// `jitter`, 0 to 1, spreads retries.
    pub fn settle(&self, id: JobId, outcome: Outcome, segment: u32, jitter: f64) -> Settled {
        let mut state = self.lock();
        if let Outcome::Done { follow_ups, .. } = &outcome {
            for job in follow_ups {
                let (job, kept) = kept_first((job.clone(), segment));
                state.push(job, kept, &self.clock);
            }
        }
        let settled = state.settle(id, outcome, &self.limits.retry, jitter, &self.clock);
        drop(state);
        self.ready.notify_one();
        self.settled.notify_waiters();
        settled
    }

    /// Waits until no job runs and none is ready. What is delayed or waits for a retry stays.
    pub async fn idle(&self) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if self.is_idle() {
                return;
            }
            settled.await;
        }
    }

    fn is_idle(&self) -> bool {
        let mut state = self.lock();
        let now = self.clock.tick();
        let schedule = &mut state.schedule;
        schedule.len() == schedule.queued().total && schedule.oldest_by_priority(now).is_empty()
    }

    /// A job, queued, running, dead, or finished a bounded while ago.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        let state = self.lock();
        state.schedule.get(id).map(Entry::view).or_else(|| state.ended.job(id).cloned())
    }

    /// Up to `limit` jobs with ids after `after`, oldest first, of one state or of all.
    pub fn jobs(&self, only: Option<JobState>, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        let state = self.lock();
        let mut views = state.ended.jobs(only, after, limit);
        if only == Some(JobState::Running) {
            let running =
                state.schedule.running().filter(|entry| after.is_none_or(|after| entry.job.id > after));
            views.extend(running.map(Entry::view));
        } else if only.is_none_or(|only| only == JobState::Queued) {
            let waiting = state.schedule.after(after).filter(|entry| only.is_none() || !entry.running);
            views.extend(waiting.take(limit).map(Entry::view));
        }
        drop(state);
        views.sort_unstable_by_key(|view| view.id);
        views.truncate(limit);
        views
    }

    /// Invalidations that wait or are tried again after a failure.
    pub fn suspended(&self) -> usize {
        self.lock().schedule.suspended()
    }

    /// The queue at a glance.
    pub fn view(&self) -> QueueView {
        let mut state = self.lock();
        let oldest_by_priority = state.schedule.oldest_by_priority(self.clock.tick());
        let queued = state.schedule.queued();
        QueueView {
            queued: queued.total,
            running: state.schedule.len() - queued.total,
            dead: state.ended.dead(),
            bytes: state.schedule.bytes(),
            suspended: state.schedule.suspended(),
            by_priority: queued.by_priority.clone(),
            by_topic: queued.by_topic.clone(),
            oldest_age: oldest_by_priority.values().max().copied().unwrap_or(Duration::ZERO),
            oldest_by_priority,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, job: Job, kept: Ref, clock: &Clock) -> Pushed {
        let (id, superseded) = self.schedule.push(job, kept);
        if let Some(entry) = &superseded {
            self.ended.superseded(entry, id, clock.now());
        }
        Pushed { id, supersedes: superseded.map(|entry| entry.job.id) }
    }

    fn put_dead(&mut self, job: Job, reason: Box<str>, kept: Ref, clock: &Clock) -> Kept {
        let mut entry = self.schedule.entry(job, kept);
        entry.last_error = Some(reason);
        self.ended.end(entry, JobState::Dead, clock.now())
    }

    fn settle(
        &mut self,
        id: JobId,
        outcome: Outcome,
        retry: &RetryPolicy,
        jitter: f64,
        clock: &Clock,
    ) -> Settled {
        match outcome {
            Outcome::Done { fan_out, .. } => self.end(id, JobState::Done, fan_out, clock),
            Outcome::Evicted(ending) => self.end(id, ending.state(), None, clock),
            Outcome::Yield(fan_out) => {
                self.wait(id, Duration::ZERO, clock, |entry| entry.fan_out = Some(Box::new(fan_out)))
            }
            Outcome::Failed { error, fan_out } => {
                let failures = self.schedule.get(id).map_or(0, |entry| entry.failures) + 1;
                let max_attempts = retry.max_attempts;
                self.wait(id, retry.delay(failures, jitter), clock, |entry| {
                    entry.failures = failures;
                    entry.last_error = Some(error.into());
                    entry.fan_out = fan_out.map(Box::new);
                    // Only what records may give up; then its copy is to go (DESIGN 7, rule 8).
                    if entry.job.job_type == JobType::Cache
                        && entry.phase == Phase::Work
                        && failures >= max_attempts
                    {
                        entry.phase = Phase::Evict(Ending::Dead);
                    }
                })
            }
        }
    }

    fn end(&mut self, id: JobId, to: JobState, fan_out: Option<FanOut>, clock: &Clock) -> Settled {
        let Some(mut entry) = self.schedule.remove(id) else { return Settled::new(to) };
        entry.fan_out = fan_out.map(Box::new);
        let dead = (to == JobState::Dead).then(|| KeepAnew {
            dead: Some(entry.last_error.clone().unwrap_or_default()),
            ..KeepAnew::of_entry(&entry)
        });
        let let_go = self.ended.end(entry, to, clock.now()).into_vec();
        Settled { state: to, let_go, dead }
    }

    fn wait(
        &mut self,
        id: JobId,
        delay: Duration,
        clock: &Clock,
        change: impl FnOnce(&mut Entry),
    ) -> Settled {
        match self.schedule.requeue(id, clock.tick().after(delay), change) {
            None => Settled::new(JobState::Queued),
            Some((survivor, ended)) => {
                self.ended.superseded(&ended, survivor, clock.now());
                Settled::new(JobState::Superseded)
            }
        }
    }
}

impl Settled {
    fn new(state: JobState) -> Self {
        Self { state, let_go: Vec::new(), dead: None }
    }
}

impl Reserved {
    /// Queues the jobs that room was kept for.
    pub fn push(self, jobs: impl IntoIterator<Item = (Job, u32)>) -> Vec<Pushed> {
        self.queue.push(jobs)
    }

    /// As [`Reserved::push`], with a watch that sees the jobs end.
    pub fn push_watched(self, jobs: impl IntoIterator<Item = (Job, u32)>) -> (Vec<Pushed>, Watch) {
        self.queue.push_watched(jobs)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.reserved.0 -= self.jobs;
        state.reserved.1 -= self.bytes;
    }
}

impl KeepAnew {
    /// A job that still has work to do, were it only to evict its copy: it is kept as one that is to be done.
    fn of_entry(entry: &Entry) -> Self {
        Self { job: entry.job.clone(), dead: None, kept: entry.kept.to_vec() }
    }

    fn of_letter(view: &JobView, letter: &DeadLetter) -> Self {
        let dead = Some(view.last_error.clone().unwrap_or_default());
        Self { job: letter.job.clone(), dead, kept: letter.kept.to_vec() }
    }
}

fn kept_first((job, segment): (Job, u32)) -> (Job, Ref) {
    let kept = Ref { entry: EntryId::first(job.id), segment };
    (job, kept)
}

/// Each of these jobs with the one that carries its work: a later one of them that superseded it, or itself.
fn survivors(pushed: &[Pushed]) -> Vec<(JobId, JobId)> {
    let mut carrier: HashMap<JobId, JobId> = HashMap::new();
    for Pushed { id, supersedes } in pushed.iter().rev() {
        let last = carrier.get(id).copied().unwrap_or(*id);
        if let Some(superseded) = supersedes {
            carrier.insert(*superseded, last);
        }
    }
    pushed.iter().map(|Pushed { id, .. }| (*id, carrier.get(id).copied().unwrap_or(*id))).collect()
}
