//! What is known of servers and losses, and outlives the process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::marks::Marks;
use crate::{clock::Timestamp, redis_pool::Server, relations::Marker};

/// The name of the note.
pub(super) const NAME: &str = "losses";

/// What the process knew.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// What this process's beats are called.
    pub(super) process: Box<str>,
    /// The index's marker.
    pub(super) marker: Option<Marker>,
    /// Every server that was met, by its component.
    pub(super) servers: BTreeMap<Box<str>, KnownServer>,
    /// What is still to be done about losses.
    pub(super) owed: Owed,
    /// What nothing could be done about.
    #[serde(default)]
    pub(super) untold: Option<Untold>,
    /// How long marks live.
    #[serde(default)]
    pub(super) marks: Marks,
}

/// Caches that nobody could empty after a loss of the index, as they do not tell what they hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Untold {
    /// Their names.
    pub(super) caches: Vec<String>,
    /// When the last stale copy in them has ended.
    pub(super) until: Timestamp,
}

impl Untold {
    /// What readiness says of it.
    pub(super) fn detail(&self) -> String {
        let (caches, until) = (self.caches.join(", "), self.until);
        format!(
            "lost: {caches} neither tell what they hold nor can be emptied: stale copies in them may live until {until}"
        )
    }
}

/// A server as it was seen last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct KnownServer {
    /// Which one it was.
    pub(super) server: Server,
    /// When the last job ended that was let go; `None` where that was not noted.
    pub(super) let_go: Option<Timestamp>,
    /// Keys that it had evicted.
    pub(super) evicted_keys: Option<u64>,
}

/// What is still to be done about losses.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Owed {
    /// The index was lost, as it was noticed at this time.
    pub(super) index: Option<Timestamp>,
    /// Only in part: what it has left proves nothing of a copy.
    #[serde(default)]
    pub(super) partly: bool,
    /// By cache: copies may have come back that were deleted.
    pub(super) caches: BTreeMap<Box<str>, OwedByCache>,
}

/// What a cache owes after a failover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct OwedByCache {
    /// When it was noticed.
    pub(super) since: Timestamp,
    /// Every copy has to go; otherwise those that nothing tracks: the others' deletions are made again.
    pub(super) all: bool,
}

/// A debt, as it is to be paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Debt {
    /// After a loss of the index.
    Index(Timestamp),
    /// After a failover of a cache.
    Cache(Box<str>, OwedByCache),
}

impl Owed {
    /// What is to be done first: the index's, where that is to scan every cache; not where it is to wait.
    pub(super) fn next(&self, index_waits: bool) -> Option<Debt> {
        let cache = self.caches.iter().next().map(|(name, owed)| Debt::Cache(name.clone(), *owed));
        let index = self.index.map(Debt::Index);
        if index_waits { cache.or(index) } else { index.or(cache) }
    }

    /// More of the index was lost while a loss was being answered.
    pub(super) fn lost_in_part(&mut self, since: Timestamp) {
        (self.index, self.partly) = (Some(since), true);
    }

    /// A cache owes this, and whatever it owed before.
    pub(super) fn add(&mut self, cache: &str, owed: OwedByCache) {
        let known = self.caches.entry(cache.into()).or_insert(owed);
        *known = OwedByCache { since: owed.since, all: owed.all || known.all };
    }

    /// Done, unless more came up meanwhile. Returns whether that is so.
    pub(super) fn paid(&mut self, debt: &Debt) -> bool {
        match debt {
            Debt::Index(since) if self.index == Some(*since) => {
                (self.index, self.partly) = (None, false);
            }
            Debt::Cache(name, owed) if self.caches.get(name) == Some(owed) => drop(self.caches.remove(name)),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_up_while_a_debt_was_paid_is_still_owed() {
        let owed = |since, all| OwedByCache { since: Timestamp(since), all };
        let mut debts = Owed { index: Some(Timestamp(1)), ..Owed::default() };
        debts.add("api", owed(1, true));
        assert!(matches!(debts.next(true), Some(Debt::Cache(..))), "what only waits holds up nothing");
        let first = debts.next(false).unwrap();
        assert_eq!(first, Debt::Index(Timestamp(1)));
        debts.index = Some(Timestamp(2));
        assert!(!debts.paid(&first) && debts.paid(&Debt::Index(Timestamp(2))));
        let second = debts.next(false).unwrap();
        debts.add("api", owed(3, false));
        assert!(!debts.paid(&second));
        assert_eq!(
            debts.next(false),
            Some(Debt::Cache("api".into(), owed(3, true))),
            "all of it is still to go"
        );
    }
}
