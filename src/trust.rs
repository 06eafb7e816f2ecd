//! How far the index can be trusted after it was new, or lost (DESIGN 7, rule 13).
//!
//! Whoever notices a loss says so here; hooks ask. It is shared, and its lock is held for a moment.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    judge::Margins,
    relations::Stale,
};

/// What is known of the index as a whole.
#[derive(Debug, Default)]
pub struct Trust {
    state: Mutex<State>,
    epoch: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    floor: Option<Timestamp>,
    incomplete_until: Option<Timestamp>,
}

impl Trust {
    /// The index was lost, and with it every `stale`, not later than `floor`: reads that began by then cannot be judged.
    /// Copies that it does not know of may live until `until`. Neither ever moves back.
    pub fn lost(&self, floor: Timestamp, until: Timestamp) {
        let mut state = self.lock();
        state.floor = state.floor.max(Some(floor));
        state.incomplete_until = state.incomplete_until.max(Some(until));
    }

    /// The index is new: copies that it does not know of may live until `until`, and nothing was ever invalidated.
    pub fn new_index(&self, until: Timestamp) {
        let mut state = self.lock();
        state.incomplete_until = state.incomplete_until.max(Some(until));
    }

    /// Every copy that lives is known again, or is gone.
    pub fn complete(&self) {
        self.lock().incomplete_until = None;
    }

    /// Reads that began at or before this time (and `guard`) are evicted, whatever their entity's `stale` says.
    pub fn floor(&self) -> Option<Timestamp> {
        self.lock().floor
    }

    /// The floor as a `stale` that every entity has, for as long as one would live, or until the loss is answered: an undated
    /// hit on a copy from before makes that copy look known to whoever looks for those that are not.
    pub fn stale(&self, now: Timestamp, margins: Margins) -> Option<Stale> {
        let floor = self.floor()?;
        let is_remembered = now < floor.after(margins.horizon + 2 * margins.guard);
        let lives = is_remembered || self.incomplete_until(now).is_some();
        (holds(Clause::Floor) && lives).then_some(Stale { at: floor, generation: floor.0 + 1 })
    }

    /// Until when copies may live that the index does not know of; `None` where it knows them all.
    pub fn incomplete_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.lock().incomplete_until.filter(|until| *until > now)
    }

    /// Counts the times that a store or a cache was found to be another one: what was begun before may have been done in
    /// part on one that is gone.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A store or a cache is another one. To be said before it is used.
    pub fn new_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_floor_is_a_stale_of_every_entity_for_as_long_as_one_lives() {
        let (guard, horizon) = (Duration::from_millis(5), Duration::from_millis(100));
        let margins = Margins { guard, horizon };
        let trust = Trust::default();
        assert_eq!(trust.stale(Timestamp(0), margins), None);
        trust.lost(Timestamp(1_000), Timestamp(1_000));
        let stale = Stale { at: Timestamp(1_000), generation: 1_001 };
        assert_eq!(trust.stale(Timestamp(1_109), margins), Some(stale));
        assert_eq!(trust.stale(Timestamp(1_110), margins), None, "by now the horizon sees to such reads");
    }

    #[test]
    fn a_loss_is_never_taken_back_by_one_that_was_noticed_earlier() {
        let trust = Trust::default();
        trust.lost(Timestamp(2_000), Timestamp(9_000));
        trust.lost(Timestamp(1_000), Timestamp(8_000));
        assert_eq!(trust.floor(), Some(Timestamp(2_000)));
        assert_eq!(trust.incomplete_until(Timestamp(8_999)), Some(Timestamp(9_000)));
        assert_eq!(trust.incomplete_until(Timestamp(9_000)), None);
    }

    #[test]
    fn an_index_that_is_complete_again_still_does_not_trust_reads_from_before_the_loss() {
        let trust = Trust::default();
        trust.lost(Timestamp(2_000), Timestamp(9_000));
        trust.complete();
        assert_eq!((trust.floor(), trust.incomplete_until(Timestamp(0))), (Some(Timestamp(2_000)), None));
    }

    #[test]
    fn until_a_loss_is_answered_its_floor_outlives_the_horizon() {
        let trust = Trust::default();
        trust.lost(Timestamp(2_000), Timestamp(9_000));
        let margins = Margins { guard: Duration::ZERO, horizon: Duration::from_secs(1) };
        assert!(trust.stale(Timestamp(8_999), margins).is_some());
        trust.complete();
        assert_eq!(trust.stale(Timestamp(3_000), margins), None);
    }

    #[test]
    fn a_new_index_is_incomplete_and_trusts_every_read() {
        let trust = Trust::default();
        trust.new_index(Timestamp(300));
        assert_eq!((trust.floor(), trust.incomplete_until(Timestamp(0))), (None, Some(Timestamp(300))));
    }
}
