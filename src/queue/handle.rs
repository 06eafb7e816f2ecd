//! The queue as many tasks share it. The lock is held for a moment and never across an await; whoever changes what is ready
//! notifies after unlocking.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smallvec::smallvec;
use tokio::sync::Notify;

use super::{
    Attempt, JobState, JobView, Outcome, Owed, Pushed, QueueLimits, QueueView, Room, Settled, Watch,
    state::State,
};
use crate::{
    clock::Clock,
    job::{Job, JobId},
    journal::{EntryId, Ref},
};

/// The queue that ingest pushes to and workers take from.
#[derive(Debug)]
pub struct Queue {
    pub(super) limits: QueueLimits,
    pub(super) clock: Clock,
    state: Mutex<State>,
    ready: Notify,
    fan_outs: Notify,
    settled: Notify,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QueueLimits, clock: Clock) -> Self {
        let state = State::new(&limits);
        let [ready, fan_outs, settled] = std::array::from_fn(|_| Notify::new());
        Self { limits, clock, state: Mutex::new(state), ready, fan_outs, settled }
    }

    /// Queues jobs, each with the segment that the journal keeps it in, however full the queue is: room was kept for them.
    pub fn push(&self, jobs: impl IntoIterator<Item = (Job, u32)>) -> Vec<Pushed> {
        self.push_kept(jobs.into_iter().map(kept_first))
    }

    /// As [`Queue::push`], for what the journal gives back.
    pub fn push_kept(&self, jobs: impl IntoIterator<Item = (Job, Ref)>) -> Vec<Pushed> {
        self.push_then(jobs, |_, pushed| pushed)
    }

    /// Queues a job again that was done, with all that the journal still keeps of it.
    pub fn push_again(&self, job: Job, kept: Vec<Ref>) {
        self.lock().push(job, kept.into(), self.clock.tick(), &self.clock);
        self.ready.notify_one();
    }

    /// As [`Queue::push`], with a watch that sees the jobs end.
    pub fn push_watched(&self, jobs: impl IntoIterator<Item = (Job, u32)>) -> (Vec<Pushed>, Watch) {
        self.push_then(jobs.into_iter().map(kept_first), |state, pushed| {
            let watch = state.ended.watch(&survivors(&pushed));
            (pushed, watch)
        })
    }

    fn push_then<T>(
        &self,
        jobs: impl IntoIterator<Item = (Job, Ref)>,
        then: impl FnOnce(&mut State, Vec<Pushed>) -> T,
    ) -> T {
        let now = self.clock.tick();
        let mut state = self.lock();
        let mut has_fan_out = false;
        let push = |(job, kept): (Job, Ref)| {
            has_fan_out |= job.job_type.fans_out();
            state.push(job, smallvec![kept], now, &self.clock)
        };
        let pushed = jobs.into_iter().map(push).collect();
        let result = then(&mut state, pushed);
        drop(state);
        self.ready.notify_one();
        if has_fan_out {
            self.fan_outs.notify_one();
        }
        result
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

    /// Tells one who waits that a job that fans out was pushed since somebody was told so. Safe to cancel.
    pub async fn fan_out_pushed(&self) {
        self.fan_outs.notified().await;
    }

    /// Gives a job back. `segment` is where the journal keeps its follow-ups, which are let in however full the queue is;
    /// `jitter`, 0 to 1, spreads retries.
    pub fn settle(&self, id: JobId, outcome: Outcome, segment: u32, jitter: f64) -> Settled {
        let mut settled = self.settle_all([(id, outcome)], segment, || jitter);
        settled.remove(0)
    }

    /// Gives jobs back together, as [`Queue::settle`] does one; in the same order, what became of each.
    pub fn settle_all(
        &self,
        all: impl IntoIterator<Item = (JobId, Outcome)>,
        segment: u32,
        mut jitter: impl FnMut() -> f64,
    ) -> Vec<Settled> {
        let now = self.clock.tick();
        let mut state = self.lock();
        let settle = |(id, outcome): (JobId, Outcome)| {
            for job in outcome.follow_ups() {
                let (job, kept) = kept_first((job.clone(), segment));
                state.push(job, smallvec![kept], now, &self.clock);
            }
            state.settle(id, outcome, &self.limits.retry, jitter(), &self.clock)
        };
        let settled = all.into_iter().map(settle).collect();
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
        let entry = state.schedule.get(id).map(|entry| state.schedule.view(entry));
        entry.or_else(|| state.ended.job(id).cloned())
    }

    /// Up to `limit` jobs with ids after `after`, oldest first, of one state or of all.
    pub fn jobs(&self, only: Option<JobState>, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        let state = self.lock();
        let mut views = state.ended.jobs(only, after, limit);
        if only == Some(JobState::Running) {
            let running = state.schedule.running().filter(|entry| after.is_none_or(|after| entry.id > after));
            views.extend(running.map(|entry| state.schedule.view(entry)));
        } else if only.is_none_or(|only| only == JobState::Queued) {
            let waiting = state.schedule.after(after).filter(|entry| only.is_none() || !entry.running);
            views.extend(waiting.take(limit).map(|entry| state.schedule.view(entry)));
        }
        drop(state);
        views.sort_unstable_by_key(|view| view.id);
        views.truncate(limit);
        views
    }

    /// Invalidations and evictions that wait or are tried again after a failure.
    pub fn suspended(&self) -> usize {
        self.lock().schedule.suspended()
    }

    /// Jobs that have failed because their resource type is not configured, by that.
    pub fn without_resource(&self) -> BTreeMap<Box<str>, usize> {
        self.lock().schedule.without_resource()
    }

    /// What is owed to caches, by their names.
    pub fn owed(&self) -> BTreeMap<Arc<str>, Owed> {
        self.lock().schedule.owed()
    }

    /// The queue at a glance.
    pub fn view(&self) -> QueueView {
        let mut state = self.lock();
        let oldest_by_priority = state.schedule.oldest_by_priority(self.clock.tick());
        let queued = state.schedule.queued();
        QueueView {
            queued: queued.total,
            running: state.schedule.len() - queued.total,
            dead: state.ended.letters.len(),
            dead_by_cause: state.ended.letters.by_cause().clone(),
            bytes: state.schedule.bytes(),
            suspended: state.schedule.suspended(),
            owed: state.schedule.owed(),
            by_priority: queued.by_priority.clone(),
            by_topic: state.schedule.topics().queued(),
            oldest_age: oldest_by_priority.values().max().copied().unwrap_or(Duration::ZERO),
            oldest_by_priority,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
