//! Which caches are suspect, across restarts.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::notebook::Notebook;

/// The note that their names stand in.
const NOTE: &str = "suspect-caches";

/// The names of suspect caches and the note of them. A name that the configuration no longer has stays: the cache may be
/// configured again, with all that is stale in it.
pub(super) struct Suspects {
    notes: Notebook,
    names: Mutex<BTreeSet<String>>,
}

impl Default for Suspects {
    fn default() -> Self {
        Self { notes: Notebook::none(), names: Mutex::default() }
    }
}

impl Suspects {
    /// Reads the note. Where it cannot be read, `all` are suspect, and this says why.
    pub(super) fn read(notes: Notebook, all: impl Iterator<Item = String>) -> (Self, Option<io::Error>) {
        let (names, trouble) = match notes.read(NOTE) {
            Ok(names) => (names.unwrap_or_default(), None),
            Err(error) => (all.collect(), Some(error)),
        };
        (Self { notes, names: Mutex::new(names) }, trouble)
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.lock().clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.lock().contains(name)
    }

    /// Notes that a cache is suspect, or is not. Blocks.
    pub(super) fn note(&self, name: &str, is_suspect: bool) -> io::Result<()> {
        // Held while the note is written: the last one written is the last one meant.
        let mut names = self.lock();
        let mut changed = names.clone();
        match is_suspect {
            true => changed.insert(name.to_owned()),
            false => changed.remove(name),
        };
        self.notes.write(NOTE, &changed)?;
        *names = changed;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
