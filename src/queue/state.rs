//! What the queue's lock guards: jobs that wait or run, and jobs that have ended.

use std::time::Duration;

use smallvec::smallvec;

use super::{
    DEAD_SHARE, Ending, JobState, Outcome, Phase, Pushed, QueueLimits, RetryPolicy, Settled,
    ended::Ended,
    entry::{Entry, Kept},
    schedule::Schedule,
};
use crate::{
    clause::{Clause, holds},
    clock::{Clock, Tick},
    fan_out::FanOut,
    job::{Death, Job, JobId},
    journal::Ref,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    pub(super) ended: Ended,
    /// Jobs and bytes that room is kept for.
    pub(super) reserved: (usize, usize),
}

impl State {
    pub(super) fn new(limits: &QueueLimits) -> Self {
        Self {
            schedule: Schedule::new(limits.aging),
            ended: Ended::new(limits.finished, limits.max_bytes / DEAD_SHARE),
            reserved: (0, 0),
        }
    }

    /// `now` is the clock's tick: many are pushed at once.
    pub(super) fn push(&mut self, job: Job, kept: Kept, now: Tick, clock: &Clock) -> Pushed {
        let (id, superseded) = self.schedule.push(job, kept, now);
        if let Some(entry) = &superseded {
            self.ended.superseded(self.schedule.view(entry), id, clock.now());
        }
        Pushed { id, supersedes: superseded.map(|entry| entry.id) }
    }

    pub(super) fn put_dead(&mut self, job: Job, death: Death, kept: Ref) -> Kept {
        let mut entry = self.schedule.entry(job, smallvec![kept]);
        let story = entry.story_mut();
        story.failures = death.attempts;
        (story.last_error, story.cause) = (Some(death.error), Some(death.cause));
        self.ended.end(&entry, self.schedule.topics(), JobState::Dead, death.at)
    }

    pub(super) fn settle(
        &mut self,
        id: JobId,
        outcome: Outcome,
        retry: &RetryPolicy,
        jitter: f64,
        clock: &Clock,
    ) -> Settled {
        match outcome {
            Outcome::Done { fan_out, .. } => self.end(id, JobState::Done, fan_out, clock),
            Outcome::Evicted { ending, .. } => {
                self.end(id, ending.map_or(JobState::Done, Ending::state), None, clock)
            }
            Outcome::Yield(fan_out) => self.wait(id, Duration::ZERO, clock, |entry| {
                entry.story_mut().fan_out = Some(Box::new(fan_out));
            }),
            Outcome::Failed { error, cause, fan_out, waits_for } => {
                let failures = self.schedule.get(id).map_or(0, Entry::failures) + 1;
                let max_attempts = retry.max_attempts;
                if failures >= max_attempts && !holds(Clause::InvalidationsNeverDie) {
                    let removes = |entry: &Entry| entry.job_type.fans_out();
                    if self.schedule.get(id).is_some_and(removes) {
                        return self.end(id, JobState::Dead, fan_out, clock);
                    }
                }
                self.wait(id, retry.delay(failures, jitter), clock, |entry| {
                    let story = entry.story_mut();
                    story.failures = failures;
                    (story.last_error, story.cause) = (Some(error.into()), Some(cause));
                    story.fan_out = fan_out.map(Box::new);
                    story.waits_for = waits_for;
                    // Only what records may give up; then its copy is to go (DESIGN 7, rule 8). One that waits for a cache
                    // has nothing left to do but that.
                    if !entry.job_type.fans_out()
                        && entry.phase == Phase::Work
                        && failures >= max_attempts
                        && entry.waits_for().is_empty()
                    {
                        entry.phase = Phase::Evict(Ending::Dead);
                    }
                })
            }
        }
    }

    fn end(&mut self, id: JobId, to: JobState, fan_out: Option<FanOut>, clock: &Clock) -> Settled {
        let Some(mut entry) = self.schedule.remove(id) else { return Settled::new(to) };
        if fan_out.is_some() || entry.story().is_some() {
            entry.story_mut().fan_out = fan_out.map(Box::new);
        }
        let let_go = self.ended.end(&entry, self.schedule.topics(), to, clock.now()).into_vec();
        let dead = (to == JobState::Dead).then(|| self.ended.letters.keep_anew(id)).flatten();
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
                self.ended.superseded(self.schedule.view(&ended), survivor, clock.now());
                Settled::new(JobState::Superseded)
            }
        }
    }
}
