//! Kinds of worlds: every other world is of any kind, the rest are each bent on a race that is rare in those.

use std::ops::RangeInclusive;

use super::realm::Realm;

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
    pub(super) tempo: Tempo,
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
    /// The kind of a seed's world; `None`: any. Only the plain realm has such kinds.
    pub(super) fn of(seed: u64) -> Option<&'static Self> {
        let index = (seed / 2) % KINDS.len() as u64;
        (seed % 2 == 1 && Realm::of(seed) == Realm::Plain).then(|| &KINDS[index as usize])
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
    tempo: Tempo::Usual,
};

const TIME: &[Told] = &[Told::Time];
const GENERATION: &[Told] = &[Told::Generation];

const KINDS: &[Kind] = &[
    // A read is recorded just when the mark of a write goes, of which its replica did not know yet.
    Kind {
        name: "edge of the horizon, by time",
        reads: &[Reads { count: 1, begin: 12..=26, told: TIME, fill: 0..=4 }],
        lag: 27..=30,
        crash: Some(Mishap { per_mille: 1000, after: 45..=65, lasts: 535..=590 }),
        ..PLAIN
    },
    // It is judged just then.
    Kind {
        name: "edge of the horizon, by generation",
        resource_type: "Votes",
        reads: &[Reads { count: 1, begin: -12..=-1, told: GENERATION, fill: 0..=4 }],
        crash: Some(Mishap { per_mille: 1000, after: 22..=40, lasts: 520..=580 }),
        tempo: Tempo::Stalls,
        ..PLAIN
    },
    // Two reads are told of late, and merged when the mark of a write after them has gone.
    Kind {
        name: "beyond the horizon",
        reads: &[
            Reads { count: 1, begin: -12..=-1, told: TIME, fill: 395..=430 },
            Reads { count: 1, begin: -12..=-1, told: GENERATION, fill: 395..=430 },
        ],
        crash: Some(Mishap { per_mille: 1000, after: 440..=465, lasts: 235..=265 }),
        ..PLAIN
    },
    Kind {
        name: "undated beyond the horizon",
        reads: &[Reads { count: 1, begin: -12..=-1, told: &[Told::Nothing], fill: 0..=4 }],
        crash: Some(Mishap { per_mille: 1000, after: 25..=45, lasts: 650..=740 }),
        ..PLAIN
    },
    // The copy of a slow read is hit before that read is recorded.
    Kind {
        name: "hits",
        reads: &[
            Reads { count: 1, begin: -10..=-1, told: &[Told::Nothing, Told::Generation], fill: 40..=80 },
            Reads { count: 3, begin: 45..=100, told: TIME, fill: 0..=4 },
        ],
        hits: 1000,
        crash: Some(Mishap { per_mille: 500, after: 80..=130, lasts: 1..=30 }),
        ..PLAIN
    },
    Kind {
        name: "replicas that lag",
        reads: &[Reads {
            count: 5,
            begin: 4..=25,
            told: &[Told::Generation, Told::Both, Told::Time],
            fill: 0..=20,
        }],
        lag: 20..=30,
        ..PLAIN
    },
    // A write is told of late, after a later one has been.
    Kind {
        name: "writes out of order",
        processes: 2,
        reads: &[Reads { count: 4, begin: 41..=85, told: TIME, fill: 20..=120 }],
        writes: &[43..=85],
        tell: 140,
        ..PLAIN
    },
    // Invalidations wait, and are superseded.
    Kind {
        name: "backlog, by time",
        resource_type: "Lists",
        reads: &[Reads { count: 5, begin: 35..=110, told: TIME, fill: 0..=90 }],
        writes: &[42..=100],
        outage: Some(Mishap { per_mille: 700, after: 0..=20, lasts: 60..=140 }),
        ..PLAIN
    },
    Kind {
        name: "backlog, by generation",
        resource_type: "Charts",
        users: 3,
        pages: 2,
        page: 1,
        reads: &[Reads { count: 20, begin: -150..=150, told: GENERATION, fill: 0..=40 }],
        writes: &[5..=120, 5..=60],
        outage: Some(Mishap { per_mille: 500, after: 30..=150, lasts: 5..=60 }),
        ..PLAIN
    },
    Kind {
        name: "stalls",
        resource_type: "Votes",
        reads: &[Reads { count: 8, begin: -80..=70, told: GENERATION, fill: 0..=4 }],
        tempo: Tempo::Stalls,
        ..PLAIN
    },
    // Fresh reads between the two steps of an eviction, and a process that dies between them.
    Kind {
        name: "evictions",
        resource_type: "Lists",
        processes: 2,
        reads: &[Reads { count: 9, begin: -5..=200, told: &[Told::Nothing, Told::Time], fill: 0..=30 }],
        writes: &[50..=150],
        hits: 100,
        crash: Some(Mishap { per_mille: 500, after: 40..=200, lasts: 1..=40 }),
        tempo: Tempo::Stalls,
        ..PLAIN
    },
    Kind {
        name: "all in one instant",
        resource_type: "Votes",
        reads: &[Reads { count: 4, begin: -1..=1, told: GENERATION, fill: 0..=4 }],
        tempo: Tempo::Instant,
        ..PLAIN
    },
    Kind {
        name: "APIs that die",
        resource_type: "Votes",
        reads: &[Reads { count: 6, begin: -10..=40, told: GENERATION, fill: 0..=70 }],
        mortality: 60,
        ..PLAIN
    },
];
