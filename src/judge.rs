//! Whether a read's copy may stay, or is older than a write that is known of (DESIGN 7, rules 3 to 5).

use std::time::Duration;

use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    relations::Stale,
};

/// The generation of a read that any `stale` makes stale. Its age is told by its time alone.
pub const ANY_STALE: u64 = 0;

/// What a read tells of when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadTime {
    /// When the API began it.
    pub occurred_at: Option<Timestamp>,
    /// The generation that it began under: a time of the store's clock, in milliseconds.
    pub generation: Option<u64>,
}

/// How exact reads of a resource can be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Margins {
    /// Clock skew and replica lag. Zero says that there is neither.
    pub guard: Duration,
    /// How late a read may be told of. After it (and two `guard`) no mark of an invalidation is kept.
    pub horizon: Duration,
}

/// What becomes of a read's copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It stays, tracked.
    Keep,
    /// It goes.
    Evict(Reason),
}

impl Verdict {
    /// Why the copy goes, where it does.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Keep => None,
            Self::Evict(reason) => Some(reason),
        }
    }
}

/// Why a copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Reason {
    /// The read began before an invalidation, or too short after it to be sure.
    Stale,
    /// The read is so old that an invalidation after it may be forgotten.
    OlderThanHorizon,
    /// The read began under an earlier generation.
    Generation,
    /// The read has neither time nor generation, and there was an invalidation.
    Undated,
    /// The read began before its holder was revoked, or too short after it to be sure.
    Revoked,
    /// The read is under a generation that was never given out: of another entity, or made up.
    MadeUpGeneration,
    /// The read began before the index was lost, and with it whatever would tell whether the read is stale.
    IndexLost,
}

impl Reason {
    /// Every reason, for metrics that list them all.
    pub const ALL: [Self; 7] = [
        Self::Stale,
        Self::OlderThanHorizon,
        Self::Generation,
        Self::Undated,
        Self::Revoked,
        Self::MadeUpGeneration,
        Self::IndexLost,
    ];

    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::OlderThanHorizon => "older_than_horizon",
            Self::Generation => "generation",
            Self::Undated => "undated",
            Self::Revoked => "revoked",
            Self::MadeUpGeneration => "made_up_generation",
            Self::IndexLost => "index_lost",
        }
    }
}

/// Judges a read by the generation that one that begins now is under: above it none was ever given out. What is made up is no
/// later than any write, so it proves nothing.
pub fn judge_given(read: ReadTime, current: u64) -> Verdict {
    match read.generation {
        Some(generation) if generation > current => Verdict::Evict(Reason::MadeUpGeneration),
        _ => Verdict::Keep,
    }
}

/// Judges a read by the entity's `stale`. `now` is the time *after* `stale` was read: a mark that had just expired
/// then is made up for by the horizon.
///
/// A generation replaces clocks: where it is given and `guard` is zero, nothing else counts. A `guard` says that reads
/// may come from a replica that lags, which no generation shows; so it is tested as well, on `occurred_at`, or else
/// on the generation as the time that it is (`asked_at`). A generation later than the current one was given out by a later ask,
/// and is fresh. A read as old as the horizon counts as older: without a `guard` the mark is gone at that moment.
pub fn judge(read: ReadTime, stale: Option<Stale>, now: Timestamp, margins: Margins) -> Verdict {
    let is_old = |began| holds(Clause::Horizon) && now.since(began) >= margins.horizon;
    if let Some(generation) = read.generation {
        if stale.is_some_and(|stale| generation < stale.generation) && holds(Clause::GenerationTested) {
            return Verdict::Evict(Reason::Generation);
        }
        if is_old(asked_at(read).or(read.occurred_at).unwrap_or_default()) {
            return Verdict::Evict(Reason::OlderThanHorizon);
        }
        if margins.guard.is_zero() || !holds(Clause::GuardBesideGeneration) {
            return Verdict::Keep;
        }
    }
    let guard = if holds(Clause::Guard) { margins.guard } else { Duration::ZERO };
    let began = read.occurred_at.or(read.generation.map(|_| asked_at(read).unwrap_or_default()));
    match (began, stale) {
        (Some(began), _) if is_old(began) => Verdict::Evict(Reason::OlderThanHorizon),
        (Some(began), Some(stale)) if began <= stale.at.after(guard) => Verdict::Evict(Reason::Stale),
        (None, Some(_)) if holds(Clause::UndatedEvicted) => Verdict::Evict(Reason::Undated),
        _ => Verdict::Keep,
    }
}

/// A time of the store's clock at which a read that tells of a generation had not yet begun. Within the millisecond of an
/// invalidation the generation that is given out is one ahead of the clock.
fn asked_at(read: ReadTime) -> Option<Timestamp> {
    let generation = read.generation.filter(|generation| *generation != ANY_STALE)?;
    Some(Timestamp(generation.saturating_sub(1)))
}

/// Judges a read by its holder's own `stale` (DESIGN 7, rule 10), beside [`judge`]. A generation is an entity's, and says
/// nothing of a holder; but it is a time at which the read had not yet begun, so the earlier of the two times counts. A read
/// that is older than the mark may live to see is older than the horizon, which [`judge`] tests.
pub fn judge_revoked(read: ReadTime, revoked: Option<Timestamp>, guard: Duration) -> Verdict {
    let Some(revoked) = revoked else { return Verdict::Keep };
    let guard = if holds(Clause::RevocationGuard) { guard } else { Duration::ZERO };
    let times = [read.occurred_at, asked_at(read)].into_iter().flatten();
    let began = if holds(Clause::RevokedByEarlierTime) { times.min() } else { times.max() };
    match began {
        Some(began) if began > revoked.after(guard) => Verdict::Keep,
        None if !holds(Clause::UndatedRevoked) => Verdict::Keep,
        _ => Verdict::Evict(Reason::Revoked),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Verdict::*, *};

    const WRITE: Timestamp = Timestamp(1_000_000);
    const GUARD: Duration = Duration::from_millis(2000);
    const HORIZON: Duration = Duration::from_secs(3600);

    fn stale(generation: u64) -> Option<Stale> {
        Some(Stale { at: WRITE, generation })
    }

    fn at(time: u64) -> ReadTime {
        ReadTime { occurred_at: Some(Timestamp(time)), generation: None }
    }

    fn under(generation: u64) -> ReadTime {
        ReadTime { occurred_at: None, generation: Some(generation) }
    }

    fn judged(read: ReadTime, stale: Option<Stale>, now: u64) -> Verdict {
        judge(read, stale, Timestamp(now), Margins { guard: GUARD, horizon: HORIZON })
    }

    fn judged_without_guard(read: ReadTime, stale: Option<Stale>, now: u64) -> Verdict {
        judge(read, stale, Timestamp(now), Margins { guard: Duration::ZERO, horizon: HORIZON })
    }

    #[test]
    fn a_read_that_began_by_the_guards_end_is_stale_and_a_later_one_is_not() {
        assert_eq!(judged(at(999_999), stale(1), 1_010_000), Evict(Reason::Stale));
        assert_eq!(judged(at(1_002_000), stale(1), 1_010_000), Evict(Reason::Stale));
        assert_eq!(judged(at(1_002_001), stale(1), 1_010_000), Keep);
        assert_eq!(judged_without_guard(at(1_000_000), stale(1), 1_010_000), Evict(Reason::Stale));
        assert_eq!(judged_without_guard(at(1_000_001), stale(1), 1_010_000), Keep);
    }

    #[test]
    fn a_read_with_no_invalidation_near_is_kept_up_to_the_horizon() {
        assert_eq!(judged(at(1_000_000), None, 1_000_000 + 3_599_999), Keep);
        assert_eq!(judged(at(1_000_000), None, 1_000_000 + 3_600_000), Evict(Reason::OlderThanHorizon));
    }

    #[test]
    fn a_read_under_an_earlier_generation_goes_and_a_later_ask_is_fresh() {
        assert_eq!(
            judged_without_guard(under(1_000_000), stale(1_000_001), 1_010_000),
            Evict(Reason::Generation)
        );
        assert_eq!(judged_without_guard(under(1_000_001), stale(1_000_001), 1_010_000), Keep);
        assert_eq!(judged_without_guard(under(1_000_002), stale(1_000_001), 1_010_000), Keep);
        assert_eq!(judged(under(1_000_000), stale(1_000_001), 1_010_000), Evict(Reason::Generation));
    }

    #[test]
    fn a_generation_from_before_a_forgotten_invalidation_goes() {
        let forgotten_at = WRITE.after(HORIZON + 2 * GUARD).0;
        assert_eq!(judged(under(999_999), None, forgotten_at), Evict(Reason::OlderThanHorizon));
        assert_eq!(
            judged_without_guard(under(999_999), None, WRITE.after(HORIZON).0),
            Evict(Reason::OlderThanHorizon)
        );
        assert_eq!(judged(under(forgotten_at), None, forgotten_at), Keep);
    }

    #[test]
    fn a_generation_above_the_one_that_is_given_now_was_never_given() {
        assert_eq!(judge_given(under(1_000_001), 1_000_000), Evict(Reason::MadeUpGeneration));
        assert_eq!(judge_given(under(1_000_000), 1_000_000), Keep);
        assert_eq!(judge_given(at(2_000_000), 1_000_000), Keep, "a time is judged by its own rules");
    }

    #[test]
    fn without_a_guard_a_generation_replaces_clocks() {
        let behind = ReadTime { occurred_at: Some(Timestamp(1)), generation: Some(1_000_001) };
        assert_eq!(judged_without_guard(behind, stale(1_000_001), 1_010_000), Keep);
    }

    #[test]
    fn a_guard_is_tested_beside_a_generation() {
        let both = |time| ReadTime { occurred_at: Some(Timestamp(time)), generation: Some(1_000_001) };
        assert_eq!(judged(both(1_002_000), stale(1_000_001), 1_010_000), Evict(Reason::Stale));
        assert_eq!(judged(both(1_002_001), stale(1_000_001), 1_010_000), Keep);
        assert_eq!(judged(under(1_002_001), stale(1_000_001), 1_010_000), Evict(Reason::Stale));
        assert_eq!(judged(under(1_002_002), stale(1_000_001), 1_010_000), Keep);
    }

    #[test]
    fn a_read_that_any_stale_makes_stale_goes_by_its_time_where_there_is_none() {
        let read = ReadTime { occurred_at: Some(WRITE), generation: Some(ANY_STALE) };
        assert_eq!(judged_without_guard(read, stale(1), 1_000_001), Evict(Reason::Generation));
        assert_eq!(judged_without_guard(read, None, 1_000_000 + 3_599_999), Keep);
        let forgotten_at = WRITE.after(HORIZON + 2 * GUARD).0;
        assert_eq!(judged(read, None, forgotten_at), Evict(Reason::OlderThanHorizon));
        assert_eq!(judged_without_guard(read, None, forgotten_at), Evict(Reason::OlderThanHorizon));
    }

    #[test]
    fn a_generation_of_the_millisecond_of_an_invalidation_is_ahead_of_the_clock() {
        let first = WRITE.0 + 1;
        let revoked_then = judge_revoked(under(first), Some(WRITE), Duration::ZERO);
        assert_eq!(revoked_then, Evict(Reason::Revoked), "it may have been asked for before");
        let later = WRITE.after(HORIZON).0;
        assert_eq!(
            judged_without_guard(under(first), None, later),
            Evict(Reason::OlderThanHorizon),
            "another invalidation of that millisecond may be forgotten by now"
        );
        assert_eq!(judged(under(WRITE.after(GUARD).0 + 1), stale(1), later - 1), Evict(Reason::Stale));
    }

    #[test]
    fn an_undated_read_goes_where_there_was_any_invalidation() {
        assert_eq!(judged(ReadTime::default(), stale(1), 9_000_000), Evict(Reason::Undated));
        assert_eq!(judged(ReadTime::default(), None, 9_000_000), Keep);
    }

    #[test]
    fn a_read_that_began_by_the_guards_end_after_its_holder_was_revoked_goes() {
        let judged = |read| judge_revoked(read, Some(WRITE), GUARD);
        let gone = Evict(Reason::Revoked);
        assert_eq!((judged(at(1_002_000)), judged(at(1_002_001))), (gone, Keep));
        assert_eq!(judged(ReadTime::default()), gone, "undated");
        assert_eq!(judge_revoked(ReadTime::default(), None, GUARD), Keep);
    }

    #[test]
    fn no_generation_helps_against_a_revocation() {
        let judged = |read| judge_revoked(read, Some(WRITE), Duration::ZERO);
        let gone = Evict(Reason::Revoked);
        assert_eq!((judged(under(1_000_001)), judged(under(1_000_002))), (gone, Keep));
        let both =
            |time, generation| ReadTime { occurred_at: Some(Timestamp(time)), generation: Some(generation) };
        assert_eq!(judged(both(1_000_000, 1_000_002)), gone);
        assert_eq!(judged(both(1_000_001, 1_000_001)), gone);
        assert_eq!(judged(both(1_000_001, 1_000_002)), Keep);
        let merged = |time| judged(both(time, ANY_STALE));
        assert_eq!((merged(1_000_000), merged(1_000_001)), (gone, Keep), "its time is that of the older");
    }

    proptest! {
        /// The mark that a revocation leaves lives as long as any resource's: so a read from before it is always told by one
        /// of the two.
        #[test]
        fn no_read_from_before_a_revocation_ever_stays(
            before in 0_u64..10_000_000, late in 0_u64..10_000_000, guard in 0_u64..5000, more in 0_u64..5000,
            by_generation: bool,
        ) {
            let margins = Margins { guard: Duration::from_millis(guard), horizon: HORIZON };
            let (revoked, began) = (Timestamp(20_000_000), 20_000_000 - before);
            let read = if by_generation { under(began) } else { at(began) };
            let now = revoked.after(Duration::from_millis(late));
            let lives = now < revoked.after(HORIZON + 2 * margins.guard + Duration::from_millis(more));
            let verdicts = (judge(read, None, now, margins), judge_revoked(read, lives.then_some(revoked), margins.guard));
            prop_assert_ne!(verdicts, (Keep, Keep));
        }

        /// The invalidation's mark is read while it lives, and is gone later: whenever it is, a read that began no later
        /// than the write does not stay.
        #[test]
        fn no_read_from_before_a_write_ever_stays(
            before in 0_u64..10_000_000, late in 0_u64..10_000_000, guard in 0_u64..5000, by_generation: bool,
        ) {
            let margins = Margins { guard: Duration::from_millis(guard), horizon: HORIZON };
            let (write, began) = (Timestamp(20_000_000), 20_000_000 - before);
            let read = if by_generation { under(began) } else { at(began) };
            let now = write.after(Duration::from_millis(late));
            let lives = now < write.after(HORIZON + 2 * margins.guard);
            let mark = Stale { at: write, generation: write.0 + 1 };
            let verdict = judge(read, lives.then_some(mark), now, margins);
            prop_assert_ne!(verdict, Keep);
        }
    }
}
