//! How many jobs wait, and of what kind.

use std::{collections::BTreeMap, sync::Arc};

use super::{entry::Entry, view::Owed};
use crate::job::Cause;

/// Queued jobs, counted as they come and go, so that looking costs nothing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) total: usize,
    pub(super) by_priority: BTreeMap<u16, usize>,
    /// Invalidations and evictions that wait after a failure.
    pub(super) suspended: usize,
    /// Jobs that wait because nobody knows what the copies of their resource type are called.
    pub(super) without_resource: BTreeMap<Box<str>, usize>,
    /// What waits for a cache, by its name.
    pub(super) owed: BTreeMap<Arc<str>, Owed>,
}

impl Counts {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.total += 1;
        *self.by_priority.entry(entry.priority).or_default() += 1;
        self.suspended += usize::from(entry.is_suspended());
        if entry.cause() == Some(Cause::NoResource) {
            *self.without_resource.entry(entry.unpacked().resource_type.into()).or_default() += 1;
        }
        for cache in entry.waits_for() {
            self.owed.entry(cache.clone()).or_default().add(entry.bytes());
        }
    }

    pub(super) fn subtract(&mut self, entry: &Entry) {
        self.total -= 1;
        decrement(&mut self.by_priority, &entry.priority);
        self.suspended -= usize::from(entry.is_suspended());
        if entry.cause() == Some(Cause::NoResource) {
            decrement(&mut self.without_resource, &Box::from(entry.unpacked().resource_type));
        }
        for cache in entry.waits_for() {
            if let Some(owed) = self.owed.get_mut(cache)
                && owed.subtract(entry.bytes())
            {
                self.owed.remove(cache);
            }
        }
    }
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
