//! The index on disk, for a single process with no server: one redb file that this process alone holds open.
//!
//! Reads run on snapshots, side by side; writes go through one thread that commits those that wait together. Every
//! answer to a write comes after its commit is on stable storage.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use redb::ReadTransaction;

use self::{file::StoreFile, sweep::Cursor, time::StoreTime, writer::Writer};
use super::{
    ClaimError, EntityCursor, EntityPage, Held, Holding, HoldingsPage, Marked, Member, Page, Position,
    Recorded, Recording, Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError,
};
use crate::{
    clock::{Clock, Timestamp},
    event::Entity,
    secret::HolderId,
};

mod file;
mod read;
mod sweep;
mod tables;
mod time;
mod writer;

/// The embedded store. Dropping it finishes the writes that were asked for and closes the file.
pub struct Embedded {
    writer: Writer,
    file: Arc<StoreFile>,
    time: Arc<StoreTime>,
    cursor: Mutex<Cursor>,
    by_holder: bool,
}

/// Why the embedded store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the store {0} is in use by another process: one decache at a time can hold an embedded store")]
    InUse(PathBuf),
    /// The file is something else. It was left as it is.
    #[error("{0} is not a decache store; it was left untouched")]
    NotAStore(PathBuf),
    /// A later version of decache wrote it.
    #[error(
        "the store {path} has format {found}, and this version of decache reads only format {}",
        tables::FORMAT
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: String,
    },
    /// Its folder or its file cannot be made, read or repaired.
    #[error("the store {path} cannot be opened: {reason}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Embedded {
    /// The store's file in its folder.
    pub const FILE: &str = "relations.redb";

    /// Opens the store in this folder, or makes it there, by holder too. Blocks while it does; after a crash the file is checked,
    /// which takes seconds where it is large.
    ///
    /// # Errors
    /// [`OpenError`], with the file's path and what is wrong with it.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self, OpenError> {
        let time = Arc::new(StoreTime::new(clock));
        let file = Arc::new(StoreFile::open(&folder.join(Self::FILE), &time)?);
        let writer = Writer::start(Arc::clone(&file), Arc::clone(&time)).map_err(|error| {
            OpenError::Failed { path: folder.join(Self::FILE), reason: error.to_string() }
        })?;
        Ok(Self { writer, file, time, cursor: Mutex::default(), by_holder: true })
    }

    /// The same, by holder or not.
    pub fn by_holder(self, by_holder: bool) -> Self {
        Self { by_holder, ..self }
    }

    /// Removes what has expired among the next `limit` rows, in turn over members, holders' entries and
    /// marks, vault entries and `stale` marks,
    /// and goes on from there at the next call. For the app to call now and then: nothing that has expired is ever
    /// answered, so a late sweep costs room and nothing else. Returns how many rows it removed.
    ///
    /// # Errors
    /// [`StoreError`]: some were not looked at; the next round will.
    pub async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = self.time.now();
        let (dead, next) = self.read(move |txn| cursor.find_dead(txn, limit.max(1), now)).await?;
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = next;
        if dead.is_empty() {
            return Ok(0);
        }
        self.writer.write(move |tables| dead.remove(tables)).await
    }

    /// Reads a snapshot off the async executor, as disk reads block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        let reading = tokio::task::spawn_blocking(move || file.read(read));
        reading.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

impl Relations for Embedded {
    fn claim<'a>(&'a self, fingerprint: &'a str) -> BoxFuture<'a, Result<(), ClaimError>> {
        let ours = fingerprint.to_owned();
        Box::pin(async move {
            match self.writer.write(move |tables| tables.claim(&ours)).await? {
                theirs if theirs == fingerprint => Ok(()),
                theirs => Err(ClaimError::OtherSecret { theirs, ours: fingerprint.to_owned() }),
            }
        })
    }

    fn record<'a>(&'a self, batch: &'a [Recording]) -> BoxFuture<'a, Result<Vec<Recorded>, StoreError>> {
        let (batch, by_holder) = (batch.to_vec(), self.by_holder);
        Box::pin(self.writer.write(move |tables| tables.record(&batch, by_holder)))
    }

    fn invalidate<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Stale, StoreError>> {
        let entity = entity.clone();
        Box::pin(self.writer.write(move |tables| tables.invalidate(&entity, mark)))
    }

    fn staleness<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<Staleness, StoreError>> {
        let (entity, time) = (entity.clone(), Arc::clone(&self.time));
        Box::pin(self.read(move |txn| read::staleness(txn, &entity, &time)))
    }

    fn walk<'a>(
        &'a self,
        entity: &'a Entity,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (entity, now) = (entity.clone(), self.time.now());
        Box::pin(self.read(move |txn| read::walk(txn, &entity, from, limit.max(1), now)))
    }

    fn held<'a>(
        &'a self,
        members: &'a [(Entity, Member)],
    ) -> BoxFuture<'a, Result<Vec<Option<Held>>, StoreError>> {
        let (members, now) = (members.to_vec(), self.time.now());
        Box::pin(self.read(move |txn| read::held(txn, &members, now)))
    }

    fn entities<'a>(
        &'a self,
        from: &'a EntityCursor,
        limit: usize,
    ) -> BoxFuture<'a, Result<EntityPage, StoreError>> {
        let from = from.clone();
        Box::pin(self.read(move |txn| read::entities(txn, from, limit.max(1))))
    }

    fn forget<'a>(
        &'a self,
        entity: &'a Entity,
        members: &'a [(Member, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        let (entity, members) = (entity.clone(), members.to_vec());
        Box::pin(self.writer.write(move |tables| tables.forget(&entity, &members, linger)))
    }

    fn by_holder(&self) -> bool {
        self.by_holder
    }

    fn revoke<'a>(
        &'a self,
        holder: HolderId,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Timestamp, StoreError>> {
        Box::pin(self.writer.write(move |tables| tables.revoke(holder, mark)))
    }

    fn entities_of<'a>(
        &'a self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<HoldingsPage, StoreError>> {
        let now = self.time.now();
        Box::pin(self.read(move |txn| read::entities_of(txn, holder, from, limit.max(1), now)))
    }

    fn release<'a>(
        &'a self,
        holder: HolderId,
        holdings: &'a [(Holding, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        let holdings = holdings.to_vec();
        Box::pin(self.writer.write(move |tables| tables.release(holder, &holdings, linger)))
    }

    fn vault<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        let (holders, now) = (holders.to_vec(), self.time.now());
        Box::pin(self.read(move |txn| read::vault(txn, &holders, now)))
    }

    /// Nothing to do: a tree gives its pages back by itself, and what has expired is [`Embedded::sweep`]'s.
    fn compact<'a>(&'a self, _: &'a Entity) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    /// Reads; and writes where that has failed, as on a full disk, until it no longer does.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            match self.writer.is_failing() {
                true => self.writer.write(|_| Ok(())).await,
                false => self.read(|txn| txn.open_table(tables::META).map(drop).map_err(Into::into)).await,
            }
        })
    }
}

/// What is done on a file that has gone fails by itself: that it is another one, only a start can find.
impl Marked for Embedded {
    fn marker(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(self.writer.write(|tables| tables.marker()))
    }

    fn mark<'a>(
        &'a self,
        expected: Option<&'a str>,
        new: &'a str,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        let (expected, new) = (expected.map(str::to_owned), new.to_owned());
        Box::pin(self.writer.write(move |tables| tables.mark(expected.as_deref(), &new)))
    }

    fn expect(&self, _: &str) {}
}

/// Whether what ends at `expires_at` (milliseconds since the epoch) has ended.
fn is_dead(expires_at: u64, now: Timestamp) -> bool {
    expires_at <= now.0
}
