//! Kinds of worlds in which servers keep what they have confirmed, and nobody is revoked.

use super::{GENERATION, Kind, Mishap, PLAIN, Reads, TIME, Tempo, Told};

pub(super) const KINDS: &[Kind] = &[
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

/// Kinds of a few worlds only, so that the others stay what they are.
pub(super) const RARE: &[Kind] = &[
    // The eviction of an undated read fails, and is tried again when the mark has gone: caches are away meanwhile, and hold
    // the copy of another read that lives longer.
    Kind {
        name: "evicted while caches are away",
        reads: &[
            Reads { count: 1, begin: 250..=450, told: TIME, fill: 0..=4 },
            Reads { count: 1, begin: 640..=670, told: &[Told::Nothing], fill: 0..=4 },
        ],
        hits: 0,
        caches_away: Some(Mishap { per_mille: 1000, after: 625..=640, lasts: 60..=120 }),
        ..PLAIN
    },
];
