//! What is known of the vault: which entries are there, so that most recordings need not write one, and what is in some, so that
//! a fan-out need not read them.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::Timestamp,
    recent::Recent,
    relations::{Recording, Sealed},
    secret::HolderId,
};

/// Holders in one half of the memory, which so takes some 3 MiB at most.
const HALF: usize = 32 * 1024;

/// An entry that is longer than this is read each time.
const LONGEST: usize = 128;

/// A bounded memory of entries, sealed as they are, by their holders: some 10 MiB at most. It holds for any server and for ever,
/// since nothing else than the holder's token is in any entry of theirs.
#[derive(Debug)]
pub(super) struct Tokens(Mutex<Recent<HolderId, Box<[u8]>>>);

impl Tokens {
    /// The entries of these holders, in their order; `None` for those that are not remembered.
    pub(super) fn of(&self, holders: &[HolderId]) -> Vec<Option<Sealed>> {
        let mut known = self.lock();
        holders.iter().map(|holder| known.get(holder).map(|entry| Sealed(entry.to_vec()))).collect()
    }

    /// Remembers these.
    pub(super) fn keep<'a>(&self, entries: impl Iterator<Item = (HolderId, &'a Sealed)>) {
        let mut known = self.lock();
        for (holder, Sealed(entry)) in entries.filter(|(_, entry)| entry.0.len() <= LONGEST) {
            known.keep(holder, entry.as_slice().into());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recent<HolderId, Box<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(HALF)))
    }
}

/// A bounded memory of what this process has written to the vault of one server, as long as that is the same one. It is right
/// because an entry is only ever extended, and nobody takes one away; whoever finds one missing says so.
#[derive(Default)]
pub(super) struct Remembered(Mutex<State>);

struct State {
    /// [`crate::redis_pool::RedisPool::epoch`], where that was known.
    epoch: Option<u64>,
    holders: Recent<HolderId, Written>,
    hasher: RandomState,
}

/// An entry as it was written.
#[derive(Clone, Copy)]
struct Written {
    /// It is there until then, at least.
    until: Timestamp,
    /// A hash of its bytes.
    sealed: u64,
}

impl Remembered {
    /// The recordings whose vault entries have to be written, so that each is there until its relationship has ended and
    /// `outlives` more. An entry that names its holder has to be there as it is.
    pub(super) fn missing<'a>(
        &self,
        epoch: Option<u64>,
        batch: &'a [Recording],
        outlives: impl Fn(&Recording) -> Timestamp,
    ) -> Vec<&'a Recording> {
        let mut state = self.lock();
        state.belong_to(epoch);
        let is_missing = |recording: &&Recording| {
            let Some(Written { until, sealed }) = state.holders.get(&recording.member.holder).copied() else {
                return true;
            };
            until < outlives(recording)
                || (recording.names_holder && sealed != state.hasher.hash_one(&recording.vault.0))
        };
        batch.iter().filter(is_missing).collect()
    }

    /// These entries were written, to be there until then.
    pub(super) fn written(
        &self,
        epoch: Option<u64>,
        recordings: &[&Recording],
        until: impl Fn(&Recording) -> Timestamp,
    ) {
        let mut state = self.lock();
        if epoch.is_none() || state.epoch != epoch {
            return;
        }
        for recording in recordings {
            let written =
                Written { until: until(recording), sealed: state.hasher.hash_one(&recording.vault.0) };
            state.holders.keep(recording.member.holder, written);
        }
    }

    /// What the vault has of these holders: whose entry is not there is written again.
    pub(super) fn saw(&self, holders: &[HolderId], entries: &[Option<Sealed>]) {
        if entries.iter().all(Option::is_some) {
            return;
        }
        let mut state = self.lock();
        for (holder, _) in holders.iter().zip(entries).filter(|(_, entry)| entry.is_none()) {
            state.holders.remove(holder);
        }
    }

    /// The vault may have lost what was written.
    pub(super) fn forget(&self) {
        self.lock().belong_to(None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nothing is remembered of another server, nor of one that does not say which it is.
    fn belong_to(&mut self, epoch: Option<u64>) {
        if epoch.is_none() || self.epoch != epoch {
            self.holders.clear();
        }
        self.epoch = epoch;
    }
}

impl Default for State {
    fn default() -> Self {
        Self { epoch: None, holders: Recent::new(HALF), hasher: RandomState::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Entity, relations::Member};

    fn recording(holder: u32, expires_at: u64, named: bool) -> Recording {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&holder.to_be_bytes());
        Recording {
            entity: Entity { resource_type: "Posts".into(), id: "42".into() },
            member: Member { holder: HolderId(id), variant: None },
            expires_at: Timestamp(expires_at),
            vault: Sealed(if named { b"alice".to_vec() } else { b"sealed".to_vec() }),
            names_holder: named,
        }
    }

    fn is_missing(memory: &Remembered, epoch: Option<u64>, recording: &Recording) -> bool {
        let batch = std::slice::from_ref(recording);
        !memory.missing(epoch, batch, |recording| recording.expires_at).is_empty()
    }

    fn write(memory: &Remembered, epoch: Option<u64>, recording: &Recording) {
        is_missing(memory, epoch, recording);
        memory.written(epoch, &[recording], |recording| recording.expires_at);
    }

    #[test]
    fn an_entry_is_written_again_when_it_has_to_live_longer_or_to_name_its_holder() {
        let memory = Remembered::default();
        write(&memory, Some(1), &recording(1, 100, false));
        assert!(!is_missing(&memory, Some(1), &recording(1, 100, false)));
        assert!(is_missing(&memory, Some(1), &recording(1, 101, false)), "longer");
        assert!(is_missing(&memory, Some(1), &recording(1, 100, true)), "named");
        assert!(is_missing(&memory, Some(1), &recording(2, 100, false)), "another holder");
        write(&memory, Some(1), &recording(1, 100, true));
        assert!(!is_missing(&memory, Some(1), &recording(1, 100, true)));
        assert!(!is_missing(&memory, Some(1), &recording(1, 100, false)), "what is there names its holder");
    }

    #[test]
    fn short_entries_are_remembered_by_their_holders() {
        let (memory, ids) = (Tokens::default(), [1, 2, 3].map(|n| HolderId([n; 16])));
        assert_eq!(memory.of(&ids), [None, None, None]);
        let (short, long) = (Sealed(vec![7; LONGEST]), Sealed(vec![7; LONGEST + 1]));
        memory.keep([(ids[0], &short), (ids[1], &long)].into_iter());
        assert_eq!(memory.of(&ids), [Some(short), None, None]);
    }

    #[test]
    fn nothing_is_remembered_of_another_server_or_of_one_that_is_unknown() {
        let memory = Remembered::default();
        write(&memory, Some(1), &recording(1, 100, false));
        assert!(is_missing(&memory, Some(2), &recording(1, 100, false)));
        assert!(is_missing(&memory, Some(1), &recording(1, 100, false)), "nor when it is back");
        write(&memory, None, &recording(1, 100, false));
        assert!(is_missing(&memory, None, &recording(1, 100, false)));
    }

    #[test]
    fn what_is_found_missing_or_may_be_lost_is_written_again() {
        let memory = Remembered::default();
        let (one, other) = (recording(1, 100, false), recording(2, 100, false));
        write(&memory, Some(1), &one);
        write(&memory, Some(1), &other);
        memory.saw(&[one.member.holder, other.member.holder], &[None, Some(other.vault.clone())]);
        assert!(is_missing(&memory, Some(1), &one) && !is_missing(&memory, Some(1), &other));
        memory.forget();
        assert!(is_missing(&memory, Some(1), &other));
    }
}
