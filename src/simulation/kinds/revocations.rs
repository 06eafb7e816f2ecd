//! Kinds of worlds in which holders are revoked (rule 10).

use super::{GENERATION, Kind, Mishap, PLAIN, Reads, TIME, Tempo, Told};

pub(super) const KINDS: &[Kind] = &[
    // A read is recorded just when the mark of a revocation goes, of which its replica did not know yet.
    Kind {
        name: "edge of the horizon, revoked",
        unwritten: true,
        reads: &[Reads { count: 1, begin: 12..=26, told: TIME, fill: 0..=4 }],
        revocations: &[0..=0],
        lag: 27..=30,
        crash: Some(Mishap { per_mille: 1000, after: 48..=52, lasts: 553..=563 }),
        ..PLAIN
    },
    // Reads are recorded while what their holder holds is read.
    Kind {
        name: "revoked meanwhile",
        resource_type: "Posts",
        pages: 2,
        unwritten: true,
        reads: &[Reads { count: 12, begin: -20..=4, told: TIME, fill: 0..=4 }],
        revocations: &[0..=0],
        lag: 0..=30,
        ..PLAIN
    },
    // Something is written and its reader revoked in one millisecond, when generations are ahead of the clock.
    Kind {
        name: "written and revoked in one instant",
        resource_type: "Votes",
        reads: &[Reads { count: 5, begin: 2..=6, told: &[Told::Both, Told::Generation], fill: 0..=4 }],
        revocations: &[3..=7],
        tempo: Tempo::Instant,
        ..PLAIN
    },
    Kind {
        name: "revoked, by generation",
        resource_type: "Items",
        pages: 2,
        unwritten: true,
        reads: &[Reads { count: 8, begin: -20..=4, told: GENERATION, fill: 0..=8 }],
        revocations: &[0..=0],
        ..PLAIN
    },
];
