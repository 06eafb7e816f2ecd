//! What can be seen of jobs from outside: a snapshot, never a reference into the queue.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    clock::Timestamp,
    job::{Cause, JobId, JobType},
};

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waiting for its turn, its due time or its retry.
    Queued,
    /// A worker has it.
    Running,
    /// Its work is done.
    Done,
    /// A newer job with the same key took its place and its work.
    Superseded,
    /// It was not worth starting any more; its copy was evicted.
    Expired,
    /// It failed too often; its copy was evicted. Kept, the last so many of them.
    Dead,
}

impl JobState {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Done, Self::Superseded, Self::Expired, Self::Dead];

    /// The word for it in answers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Dead => "dead",
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.deleted += other.deleted;
        self.absent += other.absent;
        self.failed += other.failed;
    }
}

/// What an invalidation or revocation did, in copies over all caches (`matched`: relationships).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Relationships found.
    pub matched: u64,
    /// Copies that were there and are gone.
    pub deleted: u64,
    /// Copies that were not there.
    pub absent: u64,
    /// Copies that could not be deleted; the job is tried again.
    pub failed: u64,
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut total, tally| {
            total += tally;
            total
        })
    }
}

/// What is owed to a cache: jobs that have served all others and wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owed {
    /// How many.
    pub jobs: usize,
    /// The bytes that they are counted with.
    pub bytes: usize,
}

impl Owed {
    pub(super) fn add(&mut self, bytes: usize) {
        self.jobs += 1;
        self.bytes += bytes;
    }

    /// Returns whether nothing is left.
    pub(super) fn subtract(&mut self, bytes: usize) -> bool {
        self.jobs -= 1;
        self.bytes -= bytes;
        self.jobs == 0
    }
}

/// A job as it stands.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub job_type: JobType,
    /// The topic whose enricher made it.
    pub topic: Arc<str>,
    /// What it is about.
    pub resource_type: Box<str>,
    /// What it is about.
    pub entity_id: Box<str>,
    /// Where it stands.
    pub state: JobState,
    /// 0 is the most urgent.
    pub priority: u16,
    /// How often it was started and failed.
    pub attempts: u32,
    /// Why it failed last.
    pub last_error: Option<Box<str>>,
    /// The same in a word.
    pub cause: Option<Cause>,
    /// When decache took it.
    pub accepted_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// The job that took its place.
    pub superseded_by: Option<JobId>,
    /// For an invalidation or revocation: what it did so far.
    pub tally: Option<Tally>,
}

/// The queue at a glance (`GET /v1/queue`). Delayed and retrying jobs count as queued.
#[derive(Clone, Debug, Default)]
pub struct QueueView {
    /// Jobs that wait.
    pub queued: usize,
    /// Jobs that workers have.
    pub running: usize,
    /// Dead letters.
    pub dead: usize,
    /// Dead letters by cause.
    pub dead_by_cause: BTreeMap<Cause, usize>,
    /// Bytes that queued and running jobs are counted with.
    pub bytes: usize,
    /// Invalidations, revocations and evictions that wait after a failure: the promise is suspended for what they are
    /// about.
    pub suspended: usize,
    /// What is owed to caches, by their names; those that nothing is owed to are left out.
    pub owed: BTreeMap<Arc<str>, Owed>,
    /// Queued jobs by priority.
    pub by_priority: BTreeMap<u16, usize>,
    /// Queued jobs by topic.
    pub by_topic: BTreeMap<Arc<str>, usize>,
    /// How long the oldest queued job has been ready, by priority.
    pub oldest_by_priority: BTreeMap<u16, Duration>,
    /// How long the oldest queued job of all has been ready.
    pub oldest_age: Duration,
}
