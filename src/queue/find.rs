//! Jobs by what is asked of them, for people who look for one. The queue may be long: it is locked for so many jobs at a time.

use super::{JobState, JobView, Queue, entry::Entry};
use crate::{
    event::Entity,
    job::{JobId, JobType},
};

/// Jobs that are looked at while the queue is locked.
const LOOKED_AT: usize = 10_000;
/// Jobs about one entity that are counted: nobody reads more of them.
const COUNTED: usize = 10_000;

/// Jobs about one entity or holder.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Those that wait or run, the last accepted first.
    pub alive: Vec<JobView>,
    /// How many more of these there are, as far as they are counted.
    pub more_alive: usize,
    /// Those that have ended and are still known, dead letters among them; the last accepted first.
    pub ended: Vec<JobView>,
}

impl Queue {
    /// Up to `limit` jobs each that are about this: in the place of an entity, revocations have a holder.
    pub fn about(&self, entity: &Entity, revocations: bool, limit: usize) -> About {
        let is_meant = |job_type: JobType, resource_type: &str, id: &str| {
            (job_type == JobType::Revoke) == revocations
                && resource_type == &*entity.resource_type
                && id == &*entity.id
        };
        let mut alive = self.find(None, COUNTED, |entry| {
            let unpacked = entry.unpacked();
            is_meant(entry.job_type, unpacked.resource_type, unpacked.entity_id)
        });
        let mut ended = self.find_ended(|view| is_meant(view.job_type, &view.resource_type, &view.entity_id));
        newest_first(&mut alive);
        newest_first(&mut ended);
        ended.truncate(limit);
        let more_alive = alive.len().saturating_sub(limit);
        alive.truncate(limit);
        About { alive, more_alive, ended }
    }

    /// Up to `limit` jobs with ids after `after` that have failed and are to be tried again, oldest first.
    pub fn failing(&self, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        self.find(after, limit, |entry| entry.failures() > 0)
    }

    /// Up to `limit` finished jobs of one state with ids before `before`, newest first; dead letters are none of them.
    pub fn last_ended(&self, state: JobState, before: Option<JobId>, limit: usize) -> Vec<JobView> {
        self.lock().ended.last(state, before, limit)
    }

    fn find(
        &self,
        mut after: Option<JobId>,
        limit: usize,
        is_meant: impl Fn(&Entry) -> bool,
    ) -> Vec<JobView> {
        let mut found = Vec::new();
        loop {
            let state = self.lock();
            let mut last = None;
            for entry in state.schedule.after(after).take(LOOKED_AT) {
                last = Some(entry.id);
                if is_meant(entry) {
                    found.push(state.schedule.view(entry));
                }
                if found.len() == limit {
                    return found;
                }
            }
            drop(state);
            if last.is_none() {
                return found;
            }
            after = last;
        }
    }

    fn find_ended(&self, is_meant: impl Fn(&JobView) -> bool) -> Vec<JobView> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let state = self.lock();
            let mut last = None;
            for view in state.ended.finished_after(after).take(LOOKED_AT) {
                last = Some(view.id);
                found.extend(is_meant(view).then(|| view.clone()));
            }
            if last.is_none() {
                found.extend(state.ended.letters.after(None).filter(|view| is_meant(view)).cloned());
                return found;
            }
            after = last;
        }
    }
}

fn newest_first(views: &mut [JobView]) {
    views.sort_unstable_by_key(|view| std::cmp::Reverse(view.id));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        caches::WaitsFor,
        clock::{Clock, Tick, Timestamp},
        job::{Cause, Job, JobKey},
        queue::{Aging, Outcome, QueueLimits, RetryPolicy, Room},
    };

    fn job(n: u64, job_type: JobType, resource_type: &str, id: &str) -> Job {
        Job {
            id: JobId::new(Timestamp(n)),
            key: JobKey(n.into()),
            job_type,
            topic: "pp-cache".into(),
            entity: Entity { resource_type: resource_type.into(), id: id.into() },
            priority: 0,
            superceedable: true,
            ready_at: Tick::default(),
            expires_at: None,
            occurred_at: None,
            generation: None,
            accepted_at: Timestamp(n),
            copy: None,
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        }
    }

    fn failed() -> Outcome {
        let (error, cause) = ("timed out".to_owned(), Cause::CacheUnavailable);
        Outcome::Failed { error, cause, fan_out: None, waits_for: WaitsFor::default() }
    }

    #[tokio::test]
    async fn jobs_are_found_by_what_they_are_about_and_by_whether_they_fail() {
        let retry =
            RetryPolicy { max_attempts: 8, base: Duration::from_secs(60), cap: Duration::from_secs(60) };
        let limits =
            QueueLimits { capacity: 10, max_bytes: 1 << 20, finished: 10, aging: Aging::Strict, retry };
        let queue = Queue::new(limits, Clock::start());
        let meant = [1, 2].map(|n| job(n, JobType::Invalidate, "Posts", "42"));
        let others = [("Posts", "4"), ("Post", "42")].map(|(name, id)| job(3, JobType::Invalidate, name, id));
        let revocation = job(5, JobType::Revoke, "Posts", "42");
        let [first, second] = [meant[0].id, meant[1].id];
        queue.push(meant.into_iter().chain(others).chain([revocation.clone()]).map(|job| (job, 0)));
        for attempt in queue.take(Room { jobs: 2, fan_outs: 2 }).await {
            let done = Outcome::Done { fan_out: None, follow_ups: Vec::new() };
            queue.settle(attempt.job.id, if attempt.job.id == first { done } else { failed() }, 0, 0.0);
        }
        let about = queue.about(&Entity::new("Posts", "42").unwrap(), false, 10);
        let states = |views: &[JobView]| views.iter().map(|view| (view.id, view.state)).collect::<Vec<_>>();
        assert_eq!(states(&about.alive), [(second, JobState::Queued)]);
        assert_eq!(states(&about.ended), [(first, JobState::Done)]);
        assert_eq!(queue.about(&revocation.entity, true, 10).alive[0].id, revocation.id);
        assert_eq!(queue.failing(None, 10).iter().map(|view| view.id).collect::<Vec<_>>(), [second]);
        assert!(queue.failing(Some(second), 10).is_empty());
        assert_eq!(states(&queue.last_ended(JobState::Done, None, 10)), [(first, JobState::Done)]);
        for id in queue.push([(job(6, JobType::Revoke, "Posts", "43"), 0)]).iter().map(|pushed| pushed.id) {
            for attempt in queue.take(Room { jobs: 9, fan_outs: 9 }).await {
                let done = Outcome::Done { fan_out: None, follow_ups: Vec::new() };
                queue.settle(attempt.job.id, done, 0, 0.0);
            }
            let last = queue.last_ended(JobState::Done, None, 2);
            assert_eq!((last[0].id, last.len()), (id, 2), "the last one comes first");
            let before = queue.last_ended(JobState::Done, Some(last[1].id), 10);
            assert!(before.iter().all(|view| view.id < last[1].id) && before.last().unwrap().id == first);
            assert_eq!(queue.last_ended(JobState::Expired, None, 10).len(), 0);
        }
        let none = queue.about(&Entity::new("Posts", "42").unwrap(), false, 0);
        assert_eq!((none.alive.len(), none.more_alive, none.ended.len()), (0, 1, 0));
    }
}
