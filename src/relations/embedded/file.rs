//! The store's file: made whole at first, opened by one process, opened again after its disk has failed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, backends::FileBackend};

use super::{
    OpenError, read,
    tables::{self, Result, Tables},
    time::StoreTime,
};
use crate::relations::StoreError;

/// Memory for pages, in bytes. redb's own default, 1 GiB, is more than the service needs by far.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The open database. redb refuses everything after a disk has failed it once (full, for one): so it is closed then,
/// and opened again at the next use, which repairs it.
pub(super) struct StoreFile {
    path: PathBuf,
    database: RwLock<Option<Database>>,
}

impl StoreFile {
    /// Opens the file, or makes it and its folder, and finds that it is a store of this format.
    pub(super) fn open(path: &Path, time: &StoreTime) -> std::result::Result<Self, OpenError> {
        if !path.exists() {
            make(path, time).map_err(|error| failed(path, &error))?;
        }
        let database = open(path).map_err(|error| open_error(path, error))?;
        let txn = database.begin_read().map_err(|error| failed(path, &error))?;
        match read::format(&txn).map_err(|error| failed(path, &error))? {
            None => return Err(OpenError::NotAStore(path.to_owned())),
            Some(found) if found != tables::FORMAT => {
                return Err(OpenError::OtherFormat { path: path.to_owned(), found });
            }
            Some(_) => {}
        }
        time.at_least(read::latest(&txn).map_err(|error| failed(path, &error))?);
        drop(txn);
        // Makes the tables that an earlier version did not know.
        write(&database, time, |_| Ok(())).map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), database: RwLock::new(Some(database)) })
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T>,
    ) -> std::result::Result<T, StoreError> {
        self.with(|database| read(&database.begin_read()?))
    }

    /// Commits what `work` does, or nothing of it.
    pub(super) fn write<T>(
        &self,
        time: &StoreTime,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T>,
    ) -> std::result::Result<T, StoreError> {
        self.with(|database| write(database, time, work))
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> std::result::Result<T, StoreError> {
        self.open_again()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = database.as_ref() else {
            return Err(StoreError::Unavailable("the store's file has just failed".to_owned()));
        };
        let done = work(open);
        drop(database);
        done.map_err(|error| {
            self.close();
            StoreError::Unavailable(error.to_string())
        })
    }

    fn open_again(&self) -> std::result::Result<(), StoreError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            let opened = open(&self.path).map_err(|error| open_error(&self.path, error));
            *database = Some(opened.map_err(|error| StoreError::Unavailable(error.to_string()))?);
        }
        Ok(())
    }

    fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Only an existing file: one that has gone while the service runs must not come back empty.
fn open(path: &Path) -> std::result::Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).open(path)
}

fn write<T>(
    database: &Database,
    time: &StoreTime,
    work: impl FnOnce(&mut Tables<'_>) -> Result<T>,
) -> Result<T> {
    let txn = database.begin_write()?;
    let mut tables = Tables::open(&txn, time)?;
    let done = work(&mut tables)?;
    tables.close()?;
    txn.commit()?;
    Ok(done)
}

/// Makes an empty database under a name of its own, then links it to `path`: a crash leaves no half-made store there,
/// and of two processes that start at once one makes it.
fn make(path: &Path, time: &StoreTime) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = path.with_extension(format!("{}.new", uuid::Uuid::now_v7().simple()));
    let made = make_draft(&draft, time).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    });
    fs::remove_file(&draft).ok();
    made?;
    Ok(File::open(folder)?.sync_all()?)
}

fn make_draft(path: &Path, time: &StoreTime) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let database = Database::builder().create_with_backend(FileBackend::new(file)?)?;
    write(&database, time, |tables| tables.found())?;
    Ok(database.close()?)
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(path.to_owned())
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
            OpenError::NotAStore(path.to_owned())
        }
        other => failed(path, &other),
    }
}

fn failed(path: &Path, error: &impl std::fmt::Display) -> OpenError {
    OpenError::Failed { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_file_that_was_closed_for_a_failure_is_opened_again_at_the_next_use() {
        let (folder, time) = (tempfile::tempdir().unwrap(), StoreTime::new(Clock::start()));
        let file = StoreFile::open(&folder.path().join("store"), &time).unwrap();
        file.write(&time, |tables| tables.claim("ours")).unwrap();
        let failed = file.read(|_| Err::<(), _>(redb::Error::PreviousIo));
        assert!(matches!(failed, Err(StoreError::Unavailable(_))));
        assert!(file.database.read().unwrap().is_none());
        assert_eq!(file.write(&time, |tables| tables.claim("theirs")).unwrap(), "ours");
    }

    #[test]
    fn a_file_that_went_away_does_not_come_back_empty() {
        let (folder, time) = (tempfile::tempdir().unwrap(), StoreTime::new(Clock::start()));
        let path = folder.path().join("store");
        let file = StoreFile::open(&path, &time).unwrap();
        fs::remove_file(&path).unwrap();
        file.close();
        assert!(matches!(file.read(|_| Ok(())), Err(StoreError::Unavailable(_))));
        assert!(!path.exists());
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let (folder, time) = (tempfile::tempdir().unwrap(), StoreTime::new(Clock::start()));
        let file = StoreFile::open(&folder.path().join("store"), &time).unwrap();
        let failed = file.write(&time, |tables| {
            tables.claim("ours")?;
            Err::<(), _>(redb::Error::PreviousIo)
        });
        assert!(failed.is_err());
        assert_eq!(file.write(&time, |tables| tables.claim("theirs")).unwrap(), "theirs");
    }

    #[test]
    fn generations_do_not_follow_a_clock_that_was_set_back_between_two_starts() {
        let (folder, time) = (tempfile::tempdir().unwrap(), StoreTime::new(Clock::start()));
        let path = folder.path().join("store");
        let ahead = time.at_least(time.now().0 + 3_600_000);
        StoreFile::open(&path, &time).unwrap().write(&time, |_| Ok(())).unwrap();
        let restarted = StoreTime::new(Clock::start());
        StoreFile::open(&path, &restarted).unwrap();
        assert!(restarted.latest() >= ahead);
    }
}
