//! Where all chance of a simulated world comes from: one seed.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Dice that are thrown in the order in which the world asks for them.
#[derive(Clone)]
pub(super) struct Dice(Arc<Mutex<fastrand::Rng>>);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    pub(super) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.0.lock().unwrap().u64(range)
    }

    pub(super) fn signed(&self, range: RangeInclusive<i64>) -> i64 {
        self.0.lock().unwrap().i64(range)
    }

    /// True so many times in a thousand.
    pub(super) fn chance(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.number(0..=999) < per_mille
    }

    pub(super) fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    pub(super) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.number(0..=from.len() as u64 - 1) as usize]
    }
}
