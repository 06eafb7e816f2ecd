//! The store's two ideas of time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Timestamp};

/// Reads the wall clock, and keeps generations from following it backwards.
pub(super) struct StoreTime {
    clock: Clock,
    latest: AtomicU64,
}

impl StoreTime {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, latest: AtomicU64::new(0) }
    }

    /// Wall-clock time, for expiries. Not held at its highest: one wrong hour in the future must not end every
    /// relationship for good.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The latest wall-clock time that was ever seen, in milliseconds, for generations: a clock that is set back,
    /// with or without a restart, gives out none that was given out before.
    pub(super) fn latest(&self) -> u64 {
        self.at_least(self.now().0)
    }

    /// Raises [`StoreTime::latest`] to what an earlier process has seen. Returns the higher one.
    pub(super) fn at_least(&self, seen: u64) -> u64 {
        self.latest.fetch_max(seen, Ordering::Relaxed).max(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_time_follows_the_clock_and_never_goes_back() {
        let time = StoreTime::new(Clock::start());
        let now = time.now().0;
        assert!(time.latest() >= now);
        let ahead = now + 1_000_000;
        assert_eq!(time.at_least(ahead), ahead);
        assert_eq!(time.latest(), ahead);
        assert_eq!(time.at_least(now), ahead);
    }
}
