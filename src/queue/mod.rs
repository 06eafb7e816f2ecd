//! Jobs in order: a handle that many tasks share (`handle.rs`) over a pure schedule (`schedule.rs`).

mod counts;
mod ended;
mod entry;
mod find;
mod handle;
mod keep;
mod lane;
mod letters;
mod merge;
mod packed;
mod reserve;
mod retry;
mod schedule;
mod shelf;
mod state;
#[cfg(test)]
mod tests;
mod topics;
mod view;

pub use ended::Watch;
pub(crate) use entry::weigh;
pub use entry::{Attempt, Ending, Phase};
pub use find::About;
pub use handle::Queue;
pub use keep::KeepAnew;
pub use letters::{Letter, NoLetter, Which};
pub use reserve::Reserved;
pub use retry::RetryPolicy;
pub use schedule::{Aging, Room};
pub use view::{JobState, JobView, Owed, QueueView, Tally};

use crate::{
    caches::WaitsFor,
    fan_out::FanOut,
    job::{Cause, Job, JobId},
    journal::Ref,
};

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
    /// The copy of a job is evicted: its read is stale, or it is not worth doing, or cannot be done.
    Evicted {
        /// How the job ends by that, if it is not simply done.
        ending: Option<Ending>,
        /// Jobs that follow from it.
        follow_ups: Vec<Job>,
    },
    /// A long fan-out lets others go first.
    Yield(FanOut),
    /// It failed, and is to be tried again.
    Failed {
        /// Why, in a sentence without a token or a key.
        error: String,
        /// The same in a word.
        cause: Cause,
        /// For an invalidation: how far it came.
        fan_out: Option<FanOut>,
        /// The caches that it waits for, if they alone are in the way.
        waits_for: WaitsFor,
    },
}

impl Outcome {
    /// Jobs that follow, which are to be kept and queued before the job leaves.
    pub fn follow_ups(&self) -> &[Job] {
        match self {
            Self::Done { follow_ups, .. } | Self::Evicted { follow_ups, .. } => follow_ups,
            Self::Yield(_) | Self::Failed { .. } => &[],
        }
    }

    /// Whether copies were deleted, as far as there were any, before the job ended.
    pub fn removed_copies(&self) -> bool {
        matches!(self, Self::Evicted { .. } | Self::Done { fan_out: Some(_), .. })
    }
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

impl Settled {
    fn new(state: JobState) -> Self {
        Self { state, let_go: Vec::new(), dead: None }
    }
}
