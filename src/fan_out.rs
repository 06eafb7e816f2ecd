//! How far an invalidation's fan-out has come: one lap around an entity's members, in any number of turns.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    clause::{Clause, holds},
    queue::Tally,
    relations::Position,
    secret::HolderId,
};

/// A lap around all positions. It may begin anywhere, so that starting again does not put off the members ahead.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FanOut {
    /// Where to go on.
    next: Position,
    /// Where the lap began, and so where it ends.
    began: Position,
    /// Whether it has passed the end of all positions.
    wrapped: bool,
    /// Whether `stale` has been written for it.
    pub marked: bool,
    /// How far the resolver has been asked, where it has to be.
    pub resolved: Asked,
    /// [`crate::trust::Trust::epoch`] as it was when it began.
    pub epoch: u64,
    /// Why some copy on this lap, or on the one before it, is still there, if any is.
    pub incomplete: Option<Box<str>>,
    /// The caches that such copies are in.
    pub waits_for: BTreeSet<Arc<str>>,
    /// Whether there are copies that cannot be named.
    pub has_unnamed: bool,
    /// What it did so far; what failed is counted for this lap alone.
    pub tally: Tally,
    /// Whose copies are gone from every cache.
    pub removed: Removed,
}

/// Holders to be named when a fan-out has come to its end: some, however many there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    named: Vec<HolderId>,
    more: bool,
}

/// Holders that are named. A fan-out that waits has none of them, or has removed their copies already.
const NAMED: usize = 100;

impl Removed {
    /// The copies of a holder are gone. One with several is named once.
    pub fn add(&mut self, holder: HolderId) {
        match (self.named.contains(&holder), self.named.len() < NAMED) {
            (true, _) => {}
            (false, true) => self.named.push(holder),
            (false, false) => self.more = true,
        }
    }

    /// Those that are named.
    pub fn ids(&self) -> impl Iterator<Item = HolderId> {
        self.named.iter().copied()
    }

    /// Whether there are more.
    pub fn has_more(&self) -> bool {
        self.more
    }
}

/// How far a resolver has been asked for an entity's holders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Asked {
    /// Not at all.
    #[default]
    NotYet,
    /// The page behind this cursor is next, after so many.
    Until(Box<str>, u32),
    /// For all of them.
    All,
}

impl FanOut {
    /// Where to go on.
    pub fn next(&self) -> Position {
        self.next
    }

    /// At the beginning of a lap nothing has failed yet, and nobody has been asked. One that does not drop all members meets
    /// them again.
    pub fn begin_turn(&mut self, drops_all: bool) {
        if self.is_at_start() && !matches!(self.resolved, Asked::Until(..)) {
            self.resolved = Asked::NotYet;
            self.tally.failed = 0;
            if !drops_all {
                self.tally.matched = 0;
            }
            self.incomplete = None;
            self.waits_for.clear();
            self.has_unnamed = false;
        }
    }

    /// The caches that the lap before this one was made in vain for: another is not worth it until one of them answers.
    pub fn awaited(&self) -> Option<&BTreeSet<Arc<str>>> {
        let waits = self.marked && self.is_at_start();
        Some(&self.waits_for).filter(|caches| waits && !caches.is_empty())
    }

    /// Whether a lap has just begun, or is to begin.
    pub fn is_at_start(&self) -> bool {
        self.next == self.began && !self.wrapped
    }

    /// Goes on behind a page that ended at `next` (`None`: at the end of all positions). Returns whether the lap
    /// is complete.
    pub fn advance(&mut self, next: Option<Position>) -> bool {
        match next {
            Some(next) => self.next = next,
            None if self.wrapped || self.began == Position::default() => return true,
            None if !holds(Clause::LapIsWhole) => return true,
            None => {
                self.wrapped = true;
                self.next = Position::default();
            }
        }
        self.wrapped && self.next >= self.began
    }

    /// Where [`FanOut::advance`] would lead, so that the page there can be read ahead; `None` where the lap would be complete.
    pub fn ahead(&self, next: Option<Position>) -> Option<Position> {
        let mut lap = Self { next: self.next, began: self.began, wrapped: self.wrapped, ..Self::default() };
        (!lap.advance(next)).then_some(lap.next)
    }

    /// Starts a new lap from here: what is behind is visited again (DESIGN 7, rule 9), what is ahead first.
    pub fn restart(&mut self) {
        self.began = self.next;
        self.wrapped = false;
        self.resolved = Asked::NotYet;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lap_from_the_start_ends_at_the_end() {
        let mut lap = FanOut::default();
        assert!(!lap.advance(Some(Position(500))));
        assert!(lap.advance(None));
    }

    #[test]
    fn a_restarted_lap_visits_what_is_ahead_and_then_what_was_behind() {
        let mut lap = FanOut::default();
        lap.advance(Some(Position(500)));
        lap.restart();
        assert_eq!(lap.next(), Position(500));
        assert!(!lap.advance(None), "the members behind are still to be visited");
        assert_eq!(lap.next(), Position(0));
        assert!(!lap.advance(Some(Position(499))));
        assert!(lap.advance(Some(Position(500))));
    }

    #[test]
    fn what_is_read_ahead_is_what_comes_next() {
        let mut lap = FanOut::default();
        lap.advance(Some(Position(500)));
        lap.restart();
        for next in [Some(Position(900)), None, Some(Position(499)), Some(Position(500))] {
            let ahead = lap.ahead(next);
            let is_complete = lap.advance(next);
            assert_eq!(ahead, (!is_complete).then_some(lap.next()));
        }
    }

    #[test]
    fn a_lap_restarted_after_it_wrapped_goes_all_the_way_round_again() {
        let mut lap = FanOut::default();
        lap.advance(Some(Position(500)));
        lap.restart();
        lap.advance(None);
        lap.advance(Some(Position(100)));
        lap.restart();
        assert!(!lap.advance(Some(Position(500))));
        assert!(!lap.advance(None));
        assert!(lap.advance(Some(Position(100))));
    }
}
