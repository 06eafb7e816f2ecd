//! The API's cache: one response per user and URL, in memory. It is emptied over HTTP, as a proxy is, and can be away.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::clock::Timestamp;

/// Where there are so many, those that are over go.
const MANY: usize = 10_000;

/// The cache.
#[derive(Default)]
pub(super) struct Cache {
    copies: Mutex<HashMap<String, Copy>>,
    is_away: AtomicBool,
}

/// A cached response.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) body: String,
    /// When the read began that made it: tells it from any other under its key.
    pub(super) read_at: Timestamp,
    ends: Timestamp,
}

impl Cache {
    pub(super) fn get(&self, key: &str, now: Timestamp) -> Option<Copy> {
        self.copies().get(key).filter(|copy| now < copy.ends).cloned()
    }

    /// Writes a copy that lives for so long.
    pub(super) fn put(&self, key: &str, body: String, read_at: Timestamp, life: Duration, now: Timestamp) {
        let mut copies = self.copies();
        if copies.len() >= MANY {
            copies.retain(|_, copy| now < copy.ends);
        }
        copies.insert(key.to_owned(), Copy { body, read_at, ends: now.after(life) });
    }

    /// Has a copy live until `ends`, if it is still the one that was read then.
    pub(super) fn raise(&self, key: &str, read_at: Timestamp, ends: Timestamp) {
        if let Some(copy) = self.copies().get_mut(key).filter(|copy| copy.read_at == read_at) {
            copy.ends = ends;
        }
    }

    /// Removes a copy. Returns whether there was one.
    pub(super) fn remove(&self, key: &str) -> bool {
        self.copies().remove(key).is_some()
    }

    /// Whether it refuses to remove anything just now.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    pub(super) fn go_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    fn copies(&self) -> MutexGuard<'_, HashMap<String, Copy>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
