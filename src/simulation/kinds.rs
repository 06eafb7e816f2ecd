//! Kinds of worlds: most worlds are of any kind, the rest are each bent on a race that is rare in those.

mod losses;
mod plain;
mod revocations;

use std::ops::RangeInclusive;

use super::{
    realm::{Realm, Watch},
    world::{EARLY, LATE},
};

/// What a world is bent on. Times are milliseconds; where they may be negative, they count from the first write.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Of the one entity that is written.
    pub(super) resource_type: &'static str,
    pub(super) users: u64,
    pub(super) pages: u64,
    pub(super) processes: u64,
    /// Members of a page of a walk.
    pub(super) page: usize,
    pub(super) reads: &'static [Reads],
    /// When the writes after the first are committed, each counted from the one before.
    pub(super) writes: &'static [RangeInclusive<i64>],
    /// Whether nothing is written: times count from when the first write would be.
    pub(super) unwritten: bool,
    /// When a holder is revoked.
    pub(super) revocations: &'static [RangeInclusive<i64>],
    /// How long whoever has written may wait before it tells of it.
    pub(super) tell: u64,
    pub(super) lag: RangeInclusive<u64>,
    /// Of a thousand hits those that are told of, with a time of their own.
    pub(super) hits: u64,
    /// Of a thousand steps of an API those that are its last.
    pub(super) mortality: u64,
    pub(super) crash: Option<Mishap>,
    /// Of the store.
    pub(super) outage: Option<Mishap>,
    /// Of every cache.
    pub(super) caches_away: Option<Mishap>,
    pub(super) tempo: Tempo,
    /// When the first write is, from the start of its phase.
    pub(super) early: u64,
    /// When nothing else begins any more.
    pub(super) late: u64,
    /// What happens to servers.
    pub(super) blows: &'static [Blow],
    /// Where servers may be lost: how they are looked after. `None`: as the realm says.
    pub(super) watch: Option<Watch>,
}

/// What happens to a server.
pub(super) struct Blow {
    pub(super) to: Struck,
    pub(super) after: RangeInclusive<i64>,
}

/// Which server it happens to, and what.
#[derive(Clone, Copy)]
pub(super) enum Struck {
    /// A replica takes the store's place that stopped following at that time: so much later, in milliseconds.
    StoreFailsOver(u64, u64),
    /// The same, of a cache.
    CacheFailsOver(u64, u64),
    /// The store is emptied, or comes back with nothing.
    StoreLost,
}

/// Reads that are alike.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) count: u64,
    pub(super) begin: RangeInclusive<i64>,
    /// What they tell of when they began, as often as it stands here.
    pub(super) told: &'static [Told],
    /// How long one takes to fill its copy, once it has looked in the database.
    pub(super) fill: RangeInclusive<u64>,
}

/// What a read tells of when it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Nothing,
    Time,
    Generation,
    Both,
}

/// What goes wrong after a write.
pub(super) struct Mishap {
    pub(super) per_mille: u64,
    pub(super) after: RangeInclusive<i64>,
    pub(super) lasts: RangeInclusive<u64>,
}

/// How fast everybody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tempo {
    Usual,
    /// Messages take long more often.
    Slow,
    /// Most things take no time at all.
    Instant,
    /// A process may stop for long before it records, and before it drops what it has deleted.
    Stalls,
}

impl Kind {
    /// The kind of a seed's world; `None`: any.
    pub(super) fn of(seed: u64) -> Option<&'static Self> {
        let (number, kinds) = match Realm::of(seed) {
            Realm::Plain if seed % 100 == 98 => (seed / 100, plain::RARE),
            Realm::Plain if seed % 2 == 1 => (seed / 2, plain::KINDS),
            Realm::Revocations if seed % 5 == 3 => (seed / 5, revocations::KINDS),
            Realm::Failover if seed % 5 == 3 => (seed / 5, losses::FAILOVERS),
            Realm::Loss if seed % 5 == 3 => (seed / 5, losses::LOSSES),
            _ => return None,
        };
        Some(&kinds[(number % kinds.len() as u64) as usize])
    }
}

/// One user's copy of one entity, written once.
const PLAIN: Kind = Kind {
    name: "plain",
    resource_type: "Talks",
    users: 1,
    pages: 0,
    processes: 1,
    page: 100,
    reads: &[],
    writes: &[],
    unwritten: false,
    revocations: &[],
    tell: 3,
    lag: 0..=2,
    hits: 300,
    mortality: 0,
    crash: None,
    outage: None,
    caches_away: None,
    tempo: Tempo::Usual,
    early: EARLY,
    late: LATE,
    blows: &[],
    watch: None,
};

const TIME: &[Told] = &[Told::Time];
const GENERATION: &[Told] = &[Told::Generation];
