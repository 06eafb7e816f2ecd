//! What outlives a crash: every accepted job, until it has ended (DESIGN 5, "Durable").
//!
//! A journal keeps jobs as they were accepted. It knows nothing of superseding: a job in the queue carries the references
//! of all the jobs whose work it does, and when it ends they all are let go. So nothing leaves before what took its
//! place has ended, and replaying is pushing again, by the same merge.

use std::path::Path;

use crate::{clock::Timestamp, job::JobId, notebook::Notebook};

mod frame;
mod log;
mod record;
mod replay;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

pub use log::{Log, Settings};
pub use record::{Kept, Record};
pub use replay::{Damage, Replayed, ReplayedJob};

/// Where a job stands in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ref {
    /// What was written of the job.
    pub entry: EntryId,
    /// The part of the journal that it was written to.
    pub segment: u32,
}

/// Names what was written of a job at one time. One that is written again is let go as it was written before and lives
/// on as it is now, so the job's own id cannot tell which is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct EntryId(u128);

impl EntryId {
    /// Of a job that is written for the first time.
    pub fn first(job: JobId) -> Self {
        Self(job.as_u128())
    }

    /// Of a job that is written again.
    pub fn again(now: Timestamp) -> Self {
        Self(JobId::new(now).as_u128())
    }

    /// When it was named.
    pub fn at(self) -> Timestamp {
        JobId::from_u128(self.0).at()
    }
}

/// What records that were kept, each in its segment, leave to be done: as a journal that is read back.
#[cfg(test)]
pub(crate) fn replay_plain<'a>(
    records: impl IntoIterator<Item = (u32, &'a [u8])>,
    now: crate::job::Accepted,
) -> Vec<ReplayedJob> {
    let mut living = replay::Living::default();
    for (segment, plain) in records {
        assert!(living.apply(plain, segment, now), "a record that was kept can be read");
    }
    living.in_order()
}

/// Keeps jobs. A record is kept whole or not at all; later ones never without earlier ones.
pub trait Journal: Send + Sync {
    /// Writes a record. Calls `then` when it is as safe as the level says, with the segment that its jobs stand in; so
    /// what was kept goes on even where nobody waits for it any more. `then` must not block.
    fn write(&self, record: Record, then: Then);

    /// Lets jobs go that have ended. Not waited for: a job that was not let go before a crash runs again, which is
    /// harmless.
    fn forget(&self, ended: Vec<Ref>);

    /// A segment that takes up room for few jobs. They are to be written again, and these let go in the same record.
    fn sparse_segment(&self) -> Option<u32>;

    /// Why nothing can be written, while that is so.
    fn trouble(&self) -> Option<String>;
}

/// What is to be done once a record is safe, or is known not to be.
pub type Then = Box<dyn FnOnce(Result<u32, JournalError>) + Send>;

/// Why a record was not written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the journal cannot be written: {0}")]
pub struct JournalError(pub String);

/// Why a folder is not this process's journal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written under another secret.
    #[error(
        "the journal in {folder} was written under another secret (its fingerprint {theirs}, ours {ours}): give this \
         process the same secret, or another folder"
    )]
    OtherSecret {
        /// The folder.
        folder: String,
        /// The fingerprint in the journal.
        theirs: String,
        /// The fingerprint of this process's secret.
        ours: String,
    },
    /// Another process writes to it.
    #[error("the journal in {0} is in use by another process")]
    InUse(String),
    /// It cannot be read or made.
    #[error("the journal in {folder} cannot be opened: {error}")]
    Io {
        /// The folder.
        folder: String,
        /// Why.
        error: std::io::Error,
    },
}

impl OpenError {
    fn io(folder: &Path, error: std::io::Error) -> Self {
        Self::Io { folder: folder.display().to_string(), error }
    }
}

/// Whether a folder holds a journal: one that is not opened keeps its jobs to itself.
pub fn is_there(folder: &Path) -> bool {
    segments::list(folder).is_ok_and(|(files, _)| !files.is_empty())
}

/// Where notes are kept beside a journal.
pub fn notes(folder: &Path) -> Notebook {
    Notebook::in_folder(&folder.join(segments::NOTES))
}

/// No journal: jobs are lost with the process.
pub struct Volatile;

impl Journal for Volatile {
    fn write(&self, _: Record, then: Then) {
        then(Ok(0));
    }

    fn forget(&self, _: Vec<Ref>) {}

    fn sparse_segment(&self) -> Option<u32> {
        None
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
