//! Keeps the journal small: what it holds of very many jobs that have become one, or of a few in a file that could go, is
//! written again as it is now, and only then let go (DESIGN 7, rule 9).

use std::sync::Arc;

use tracing::warn;

use crate::{
    job::{Accepted, Job, JobId},
    journal::{EntryId, Journal, Kept, Record, Ref},
    queue::{KeepAnew, Queue},
    window::Finished,
};

/// Jobs of a sparse file that are written again at a time.
const AT_ONCE: usize = 1000;

/// Writes again what had better be; to be called now and then.
pub fn tidy(queue: &Arc<Queue>, journal: &Arc<dyn Journal>, now: Accepted) {
    for anew in queue.to_keep_anew(journal.sparse_segment(), AT_ONCE) {
        keep_anew(queue, journal, anew, now);
    }
}

/// Writes a job as it is now; what was kept of it before is let go when that is safe.
pub fn keep_anew(queue: &Arc<Queue>, journal: &Arc<dyn Journal>, anew: KeepAnew, now: Accepted) {
    let entry = EntryId::again(now.now);
    let kept = Kept { job: &anew.job, dead: anew.dead.as_ref(), entry };
    let record = match Record::new([kept], Vec::new(), now) {
        Ok(record) => record,
        Err(error) => {
            queue.not_kept_anew(&anew);
            return warn!(job.id = %anew.job.id, %error, "a job could not be written again");
        }
    };
    let (queue, again) = (queue.clone(), Arc::downgrade(journal));
    let then = move |written| {
        match (written, again.upgrade()) {
            (Ok(segment), Some(journal)) => journal.forget(queue.kept_anew(&anew, Ref { entry, segment })),
            // What was kept before stays.
            _ => queue.not_kept_anew(&anew),
        }
    };
    journal.write(record, Box::new(then));
}

/// Has a job done again that was done: what it did may be undone (DESIGN 7, rule 14).
pub fn run_again(queue: &Arc<Queue>, journal: &Arc<dyn Journal>, finished: Finished, now: Accepted) {
    let job = Job::clone(&finished.job);
    if !finished.kept.is_empty() {
        return queue.push_again(job, finished.kept);
    }
    // The journal keeps it as something else, a dead letter, or has let it go: it is a job of its own now.
    let job = Job { id: JobId::new(now.now), ..job };
    queue.push_again(job.clone(), Vec::new());
    keep_anew(queue, journal, KeepAnew::of_job(job), now);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::{Clock, Timestamp},
        event::Entity,
        job::{Cause, Death, JobKey, JobType},
        journal::{Log, Replayed, Settings},
        queue::{Aging, Outcome, QueueLimits, RetryPolicy, Room},
        secret::{Keys, Secret},
    };

    struct Kit {
        folder: tempfile::TempDir,
        clock: Clock,
        queue: Arc<Queue>,
        journal: Arc<dyn Journal>,
    }

    fn open(folder: &tempfile::TempDir) -> Log {
        let secret = Secret::from_text("a secret for tests, thirty-two bytes or more").unwrap();
        let settings = Settings { sync: true, file_bytes: 1 << 20 };
        Log::open(folder.path(), Arc::new(Keys::derive(&secret)), settings, Clock::start()).unwrap()
    }

    impl Kit {
        fn new() -> Self {
            let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::start());
            let second = Duration::from_secs(1);
            let retry = RetryPolicy { max_attempts: 1, base: second, cap: second };
            let (capacity, max_bytes, aging) = (1000, 1 << 20, Aging::Strict);
            let limits = QueueLimits { capacity, max_bytes, finished: 10, aging, retry };
            let journal: Arc<dyn Journal> = Arc::new(open(&folder));
            Self { folder, clock, queue: Arc::new(Queue::new(limits, clock)), journal }
        }

        /// As ingest does.
        async fn accept(&self, job: &Job) {
            let record = Record::new([Kept::first(job)], Vec::new(), self.clock.accepted()).unwrap();
            let (answer, answered) = tokio::sync::oneshot::channel();
            self.journal.write(record, Box::new(|written| answer.send(written).unwrap()));
            let segment = answered.await.unwrap().unwrap();
            self.queue.push([(job.clone(), segment)]);
        }

        /// What another process would find after this one has died.
        fn crash(self) -> Vec<(JobId, Option<Death>)> {
            drop(self.journal);
            let Replayed { jobs, damage } = open(&self.folder).replay().unwrap();
            assert_eq!(damage, []);
            jobs.into_iter().map(|((job, dead), _)| (job.id, dead)).collect()
        }
    }

    fn job(job_type: JobType) -> Job {
        Job {
            id: JobId::new(Timestamp(1)),
            key: JobKey(1),
            job_type,
            topic: Arc::from("pp-cache"),
            entity: Entity { resource_type: "Posts".into(), id: "42".into() },
            priority: 0,
            superceedable: true,
            ready_at: crate::clock::Tick(0),
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

    #[tokio::test]
    async fn a_job_that_stands_for_very_many_is_there_after_a_crash() {
        let kit = Kit::new();
        let jobs: Vec<Job> = (0..100).map(|_| job(JobType::Invalidate)).collect();
        for job in &jobs {
            kit.accept(job).await;
        }
        tidy(&kit.queue, &kit.journal, kit.clock.accepted());
        // What is written after it comes after its end, too.
        kit.accept(&Job { key: JobKey(2), ..job(JobType::Cache) }).await;
        let found = kit.crash();
        assert_eq!(found.len(), 2, "those that it stood for were let go");
        assert!(found.contains(&(jobs[99].id, None)));
    }

    #[tokio::test]
    async fn a_dead_letter_is_there_after_a_crash() {
        let kit = Kit::new();
        let letter = job(JobType::Cache);
        kit.accept(&letter).await;
        for outcome in [
            Outcome::Failed {
                error: "store unavailable".to_owned(),
                cause: Cause::StoreUnavailable,
                fan_out: None,
                waits_for: Box::default(),
            },
            Outcome::Evicted { ending: Some(crate::queue::Ending::Dead), follow_ups: Vec::new() },
        ] {
            let taken = kit.queue.take(Room { jobs: 1, fan_outs: 1 }).await;
            let settled = kit.queue.settle(taken[0].job.id, outcome, 0, 0.0);
            kit.journal.forget(settled.let_go);
            if let Some(dead) = settled.dead {
                keep_anew(&kit.queue, &kit.journal, dead, kit.clock.accepted());
            }
        }
        kit.accept(&Job { key: JobKey(2), ..job(JobType::Cache) }).await;
        let found = kit.crash();
        let (_, death) = found.iter().find(|(id, _)| *id == letter.id).unwrap();
        let Death { cause, error, attempts, .. } = death.clone().unwrap();
        assert_eq!((cause, &*error, attempts), (Cause::StoreUnavailable, "store unavailable", 1));
    }

    #[tokio::test]
    async fn a_job_that_is_done_again_is_there_after_a_crash_whether_it_was_still_kept_or_not() {
        for still_kept in [true, false] {
            let kit = Kit::new();
            kit.accept(&job(JobType::Invalidate)).await;
            let taken = kit.queue.take(Room { jobs: 1, fan_outs: 1 }).await.pop().unwrap();
            let done = Outcome::Done { fan_out: None, follow_ups: Vec::new() };
            let mut kept = kit.queue.settle(taken.job.id, done, 0, 0.0).let_go;
            if !still_kept {
                kit.journal.forget(std::mem::take(&mut kept));
            }
            let finished = Finished { job: taken.job, kept, epoch: 0, removed_copies: true };
            run_again(&kit.queue, &kit.journal, finished, kit.clock.accepted());
            assert_eq!(kit.queue.view().queued, 1);
            // What is written after it comes after its end, too.
            kit.accept(&Job { key: JobKey(2), ..job(JobType::Cache) }).await;
            assert_eq!(kit.crash().len(), 2, "still kept: {still_kept}");
        }
    }

    #[tokio::test]
    async fn a_job_that_was_superseded_or_started_while_it_was_written_again_is_there_after_a_crash() {
        for is_started in [false, true] {
            let kit = Kit::new();
            let (first, second) = (job(JobType::Invalidate), job(JobType::Invalidate));
            kit.accept(&first).await;
            let anew = kit.queue.to_keep_anew(Some(1), 1).pop().unwrap();
            match is_started {
                true => drop(kit.queue.take(Room { jobs: 1, fan_outs: 1 }).await),
                false => kit.accept(&second).await,
            }
            keep_anew(&kit.queue, &kit.journal, anew, kit.clock.accepted());
            kit.accept(&Job { key: JobKey(2), ..job(JobType::Cache) }).await;
            assert!(kit.crash().contains(&(first.id, None)), "started: {is_started}");
        }
    }
}
