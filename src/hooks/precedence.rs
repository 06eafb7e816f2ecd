//! Which fan-outs let others go first while they run. The queue orders what begins; what has begun shares one Redis and one
//! processor with all others, so a large fan-out would hold up each small one by as much as it keeps both busy.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// How long a page waits for those that go first: an unbroken row of them slows others down, and does not stop them.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);

/// The fan-outs that are under way.
#[derive(Debug, Default)]
pub struct Precedence {
    turns: Mutex<BTreeMap<Rank, usize>>,
    ended: Notify,
}

/// The lesser goes first: what is more urgent, and of the same urgency what is not known to be long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    pub(super) priority: u16,
    pub(super) is_long: bool,
}

/// A turn of a fan-out, until it is dropped.
pub(super) struct Turn<'a> {
    precedence: &'a Precedence,
    rank: Rank,
}

impl Precedence {
    pub(super) fn begin(&self, rank: Rank) -> Turn<'_> {
        *self.lock().entry(rank).or_default() += 1;
        Turn { precedence: self, rank }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Rank, usize>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Waits until those have ended that go first, for a while.
    pub(super) async fn give_way(&self) {
        let is_first = async {
            loop {
                let mut ended = pin!(self.precedence.ended.notified());
                // Interest is registered before the look, so that an end in between is not missed.
                ended.as_mut().enable();
                if self.is_first() {
                    return;
                }
                ended.await;
            }
        };
        if !self.is_first() {
            let _ = tokio::time::timeout(PATIENCE, is_first).await;
        }
    }

    fn is_first(&self) -> bool {
        self.precedence.lock().first_key_value().is_none_or(|(first, _)| *first >= self.rank)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.precedence.lock();
        if let Some(count) = turns.get_mut(&self.rank) {
            *count -= 1;
            if *count == 0 {
                turns.remove(&self.rank);
            }
        }
        drop(turns);
        self.precedence.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    const fn rank(priority: u16, is_long: bool) -> Rank {
        Rank { priority, is_long }
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_urgent_goes_first_and_the_long_one_last() {
        let precedence = Precedence::default();
        let turns =
            [rank(0, false), rank(0, false), rank(0, true), rank(5, false)].map(|it| precedence.begin(it));
        let waits = |place: usize| turns[place].give_way().now_or_never().is_none();
        assert_eq!([0, 1, 2, 3].map(waits), [false, false, true, true], "equals do not wait for each other");
    }

    #[tokio::test(start_paused = true)]
    async fn one_goes_on_as_soon_as_all_before_it_have_ended() {
        let precedence = Precedence::default();
        let (one, other) = (precedence.begin(rank(0, false)), precedence.begin(rank(0, true)));
        let less_urgent = precedence.begin(rank(1, false));
        let mut waiting = pin!(less_urgent.give_way());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(one);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(other);
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_ever() {
        let precedence = Precedence::default();
        let (_urgent, other) = (precedence.begin(rank(0, false)), precedence.begin(rank(1, false)));
        let began = Instant::now();
        other.give_way().await;
        assert_eq!(began.elapsed(), PATIENCE);
    }
}
