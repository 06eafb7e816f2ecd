//! Kinds of worlds: every other world is of any kind, the rest are each bent on a race that is rare in those.

use std::ops::RangeInclusive;

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
    /// What reads tell of when they began, as often as it stands here.
    pub(super) told: &'static [Told],
    pub(super) reads: u64,
    pub(super) reads_begin: RangeInclusive<i64>,
    /// When the writes after the first are committed, each counted from the one before.
    pub(super) writes: &'static [RangeInclusive<i64>],
    /// How long a read may take to fill its copy, once it has looked in the database.
    pub(super) fill: RangeInclusive<u64>,
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
    pub(super) tempo: Tempo,
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
    /// A process may stop for long before it drops what it has deleted.
    Stalls,
}

impl Kind {
    /// The kind of a seed's world; `None`: any.
    pub(super) fn of(seed: u64) -> Option<&'static Self> {
        let index = (seed / 2) % KINDS.len() as u64;
        (seed % 2 == 1).then(|| &KINDS[index as usize])
    }
}

/// One user's copy of one entity, written once.
const PLAIN: Kind = Kind {
    name: "plain",
    resource_type: "Talks",
    users: 1,
    pages: 0,
    processes: 2,
    page: 100,
    told: &[Told::Time],
    reads: 4,
    reads_begin: -10..=60,
    writes: &[],
    fill: 0..=4,
    tell: 3,
    lag: 0..=2,
    hits: 300,
    mortality: 0,
    crash: None,
    outage: None,
    tempo: Tempo::Usual,
};

const KINDS: &[Kind] = &[
    // A read is recorded just when the mark of a write goes, of which its replica did not know yet.
    Kind {
        name: "edge of the horizon, by time",
        reads: 3,
        reads_begin: 5..=25,
        lag: 25..=30,
        crash: Some(Mishap { per_mille: 1000, after: 50..=70, lasts: 500..=590 }),
        ..PLAIN
    },
    Kind {
        name: "edge of the horizon, by generation",
        resource_type: "Votes",
        told: &[Told::Generation],
        reads: 3,
        reads_begin: -12..=-1,
        crash: Some(Mishap { per_mille: 1000, after: 20..=40, lasts: 520..=600 }),
        tempo: Tempo::Slow,
        ..PLAIN
    },
    // Both of two merged reads are from before a write whose mark has gone.
    Kind {
        name: "beyond the horizon",
        told: &[Told::Time, Told::Generation],
        reads: 4,
        reads_begin: -12..=2,
        crash: Some(Mishap { per_mille: 1000, after: 25..=55, lasts: 650..=740 }),
        ..PLAIN
    },
    // The copy of a slow read is hit before that read is recorded.
    Kind {
        name: "hits",
        processes: 1,
        told: &[Told::Nothing, Told::Generation, Told::Time],
        reads: 7,
        reads_begin: -10..=110,
        fill: 35..=90,
        hits: 1000,
        crash: Some(Mishap { per_mille: 500, after: 70..=150, lasts: 1..=60 }),
        ..PLAIN
    },
    Kind {
        name: "replicas that lag",
        told: &[Told::Generation, Told::Both, Told::Time],
        reads: 5,
        reads_begin: 4..=25,
        lag: 20..=30,
        ..PLAIN
    },
    // A write is told of late, after a later one has been.
    Kind {
        name: "writes out of order",
        reads: 5,
        reads_begin: 41..=85,
        writes: &[43..=85],
        fill: 20..=120,
        tell: 140,
        ..PLAIN
    },
    // Invalidations wait, and are superseded.
    Kind {
        name: "backlog, by time",
        resource_type: "Lists",
        processes: 1,
        reads: 6,
        reads_begin: 35..=110,
        writes: &[42..=100],
        fill: 0..=90,
        outage: Some(Mishap { per_mille: 700, after: 0..=20, lasts: 60..=140 }),
        ..PLAIN
    },
    Kind {
        name: "backlog, by generation",
        resource_type: "Charts",
        users: 3,
        pages: 2,
        processes: 1,
        page: 1,
        told: &[Told::Generation],
        reads: 20,
        reads_begin: -150..=150,
        writes: &[5..=120, 5..=60],
        fill: 0..=40,
        outage: Some(Mishap { per_mille: 500, after: 30..=150, lasts: 5..=60 }),
        ..PLAIN
    },
    Kind {
        name: "stalls",
        resource_type: "Votes",
        told: &[Told::Generation],
        reads: 8,
        reads_begin: -80..=60,
        tempo: Tempo::Stalls,
        ..PLAIN
    },
    Kind {
        name: "all in one instant",
        resource_type: "Votes",
        told: &[Told::Generation],
        reads: 4,
        reads_begin: -1..=1,
        tempo: Tempo::Instant,
        ..PLAIN
    },
    Kind {
        name: "APIs that die",
        resource_type: "Votes",
        told: &[Told::Generation],
        reads: 6,
        reads_begin: -10..=40,
        fill: 0..=70,
        mortality: 60,
        ..PLAIN
    },
];
