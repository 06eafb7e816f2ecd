//! What becomes of dead letters when somebody looks after them: they are tried again, or discarded, and are so for good once
//! that is answered.
//!
//! # What trying a dead read again means
//!
//! A `cache` job that has died has evicted its copy (DESIGN 7, rule 8), so at first sight there is nothing left to record.
//! It is the repetition of an event that was delayed, and the promise holds for any order, delay and repetition of events:
//!
//! - Its member gets a stamp of its own (rule 2), so nobody who has read the member before drops it by that reading. A later read
//!   may have recorded the member meanwhile: its expiry is never shortened. The life of the copy still counts from when the
//!   event was first accepted, so one that is tried again after that is over records nothing that lives.
//! - It is judged after it is recorded, by the time that the event carried (rule 3), and where it carried none by rule 5 and
//!   by when it was first accepted. That is kept, so a read does not become fresh by being tried again. Where it is found stale,
//!   its copy goes: that may be a fresh one, of a later read. To delete a copy breaks no promise; it costs a read.
//! - The member is dropped after the copy, and only as this job has recorded it (rule 6): whoever comes back in between has
//!   another stamp, and stays.
//! - If it expires or dies once more, it evicts once more (rule 8).
//!
//! What it is good for: a copy that a slow cache has filled after the eviction, or that another has brought back, is
//! tracked again. A job is due anew when it is tried again, and has as long as before until it expires: whoever
//! tries it again finds it worth it. It supersedes, and is superseded, by its key as any other.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;
use tracing::info;

use crate::{
    clock::Clock,
    health::Health,
    ingest::IngestError,
    job::{Accepted, Job, JobId, JobType},
    journal::{EntryId, Journal, JournalError, Kept, Record, Ref},
    metrics::Metrics,
    queue::{JobState, JobView, Letter, NoLetter, Pushed, Queue, Reserved, Which},
};

/// Dead letters at most that one request takes care of.
const MOST_AT_ONCE: usize = 10_000;
/// Dead letters that are written together.
const WRITTEN_AT_ONCE: usize = 1000;
/// Between two looks whether the journal has written a letter, and how many there are.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: usize = 200;
/// What is answered with a full queue.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Tries dead letters again, and discards them.
pub struct DeadLetters {
    /// Where they are.
    pub queue: Arc<Queue>,
    /// Keeps what becomes of them.
    pub journal: Arc<dyn Journal>,
    /// Says when they are due.
    pub clock: Clock,
    /// Knows whether the service is starting or stopping.
    pub health: Arc<Health>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What is to become of dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// They are queued again, as if they had never failed.
    Retried,
    /// They are forgotten.
    Discarded,
}

impl Fate {
    /// The word for it in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        }
    }
}

/// What became of dead letters of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// So many met their fate.
    pub settled: usize,
    /// So many are left.
    pub remaining: usize,
}

/// Why nothing became of a dead letter: it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// No job has this id, or none that is kept.
    #[error("no job has this id, or it was finished or discarded so long ago that it is not kept")]
    Unknown,
    /// It is no dead letter.
    #[error("the job is {}, not dead", .0.as_str())]
    NotDead(JobState),
    /// Somebody else is about to retry or discard it.
    #[error("the job is being retried or discarded by another request")]
    InHand,
    /// Nothing is taken now.
    #[error(transparent)]
    NotTaken(#[from] IngestError),
}

impl DeadLetters {
    /// Queues a dead letter again. Returns it, and what it supersedes.
    ///
    /// # Errors
    /// [`LetterError`]: it is as it was.
    pub async fn retry(&self, id: JobId) -> Result<Pushed, LetterError> {
        let letter = self.take(id).await?;
        let pushed = self.settle(Fate::Retried, vec![letter]).await?;
        pushed.into_iter().next().ok_or(LetterError::Unknown)
    }

    /// Forgets a dead letter. Returns it as it was.
    ///
    /// # Errors
    /// [`LetterError`]: it is as it was.
    pub async fn discard(&self, id: JobId) -> Result<JobView, LetterError> {
        let letter = self.take(id).await?;
        let view = letter.view.clone();
        self.settle(Fate::Discarded, vec![letter]).await?;
        Ok(view)
    }

    /// Has all dead letters of a kind meet their fate, as many as one request may take care of. What was done before an
    /// error stays done.
    ///
    /// # Errors
    /// [`IngestError`]: there was no room for any, or it could not be kept.
    pub async fn settle_all(&self, fate: Fate, which: &Which) -> Result<Settled, IngestError> {
        self.open()?;
        let (mut settled, mut after) = (0, None);
        while settled < MOST_AT_ONCE {
            let views = self.queue.letters(which, after, WRITTEN_AT_ONCE);
            let Some(last) = views.last() else { break };
            after = Some(last.id);
            // One that somebody else has taken meanwhile is theirs.
            let letters: Vec<Letter> =
                views.iter().filter_map(|view| self.queue.take_letter(view.id).ok()).collect();
            let count = letters.len();
            match self.settle(fate, letters).await {
                Ok(_) => settled += count,
                Err(IngestError::Full { .. }) if settled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let remaining = self.queue.count_letters(which);
        info!(
            settled,
            remaining,
            cause = which.cause.map(|it| it.as_str()),
            "dead letters {}",
            fate.as_str()
        );
        Ok(Settled { settled, remaining })
    }

    fn open(&self) -> Result<(), IngestError> {
        if self.health.is_stopping() {
            return Err(IngestError::Stopping);
        }
        if self.health.is_replaying() {
            return Err(IngestError::Replaying { retry_after: RETRY_AFTER });
        }
        Ok(())
    }

    /// Takes a letter in hand, once the journal has written it.
    async fn take(&self, id: JobId) -> Result<Letter, LetterError> {
        self.open()?;
        for _ in 0..LOOKS {
            match self.queue.take_letter(id) {
                Ok(letter) => return Ok(letter),
                Err(NoLetter::Unknown) => return Err(LetterError::Unknown),
                Err(NoLetter::NotDead(state)) => return Err(LetterError::NotDead(state)),
                Err(NoLetter::InHand) => return Err(LetterError::InHand),
                Err(NoLetter::NotYet) => tokio::time::sleep(LOOK).await,
            }
        }
        Err(LetterError::InHand)
    }

    /// Has the journal write what becomes of letters in hand, and then has it so.
    async fn settle(&self, fate: Fate, letters: Vec<Letter>) -> Result<Vec<Pushed>, IngestError> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        let at = self.clock.accepted();
        let jobs: Vec<Job> = match fate {
            Fate::Discarded => Vec::new(),
            Fate::Retried => letters.iter().map(|letter| anew(&letter.job, at)).collect(),
        };
        let Ok(room) = self.queue.reserve(&jobs) else {
            self.journal.forget(self.queue.put_back(letters));
            return Err(IngestError::Full { retry_after: RETRY_AFTER });
        };
        let (answer, answered) = oneshot::channel();
        self.write(Settling { fate, letters, jobs, room, answer }, at);
        match answered.await.map_err(|_| IngestError::Stopping)? {
            Ok(pushed) => {
                let superseded = pushed.iter().filter(|pushed| pushed.supersedes.is_some());
                superseded.for_each(|_| self.metrics.job_ended(JobType::Cache, JobState::Superseded));
                Ok(pushed)
            }
            Err((error, let_go)) => {
                self.journal.forget(let_go);
                Err(error.into())
            }
        }
    }

    /// One record says that the letters are let go and that the jobs live. The journal does the rest: what is written is
    /// done even where the client has gone.
    fn write(&self, settling: Settling, at: Accepted) {
        let Settling { fate, letters, jobs, room, answer } = settling;
        let jobs: Vec<(Job, EntryId)> = jobs.into_iter().map(|job| (job, EntryId::again(at.now))).collect();
        let kept = jobs.iter().map(|(job, entry)| Kept { job, dead: None, entry: *entry });
        let ended = letters.iter().flat_map(|letter| letter.kept.iter().copied()).collect();
        let record = Record::new(kept, ended, at);
        let (queue, metrics) = (self.queue.clone(), self.metrics.clone());
        let then = move |written: Result<u32, JournalError>| {
            let settled = match written {
                Ok(segment) => {
                    metrics.dead_letters(fate.as_str(), letters.len());
                    let ids: Vec<JobId> = letters.iter().map(|letter| letter.job.id).collect();
                    let pushed =
                        queue.push_kept(jobs.into_iter().map(|(job, entry)| (job, Ref { entry, segment })));
                    queue.drop_letters(ids);
                    Ok(pushed)
                }
                Err(error) => Err((error, queue.put_back(letters))),
            };
            drop(room);
            // A client that has gone learns nothing, and loses nothing.
            let _ = answer.send(settled);
        };
        match record {
            Ok(record) => self.journal.write(record, Box::new(then)),
            Err(error) => then(Err(error)),
        }
    }
}

/// Letters in hand that are about to meet their fate.
struct Settling {
    fate: Fate,
    letters: Vec<Letter>,
    /// As they are to be queued, where they are.
    jobs: Vec<Job>,
    room: Reserved,
    answer: oneshot::Sender<Settlement>,
}

/// What was queued; or why nothing was, and what the journal may let go of letters that there is no room for any more.
type Settlement = Result<Vec<Pushed>, (JournalError, Vec<Ref>)>;

/// The job as it is tried again: due now, with as long as before until it expires.
fn anew(job: &Job, at: Accepted) -> Job {
    let expires_at = job.expires_at.map(|expires_at| at.tick.after(expires_at.since(job.ready_at)));
    Job { ready_at: at.tick, expires_at, ..job.clone() }
}
