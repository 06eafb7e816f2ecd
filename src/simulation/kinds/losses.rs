//! Kinds of worlds in which servers fail over, or are lost (rules 13 and 14).

use std::time::Duration;

use super::{Blow, Kind, PLAIN, Reads, Struck, TIME, Tempo, Watch};
use crate::config::store::OnLoss;

/// A copy that was recorded so long ago that nobody does that again, comes back after it was removed.
const COMES_BACK: Kind = Kind {
    name: "a copy comes back",
    reads: &[Reads { count: 2, begin: -2550..=-2420, told: TIME, fill: 0..=4 }],
    early: 2700,
    late: 3300,
    blows: &[Blow { to: Struck::CacheFailsOver(60, 300), after: -10..=5 }],
    ..PLAIN
};

pub(super) const FAILOVERS: &[Kind] = &[
    COMES_BACK,
    Kind { name: "a copy comes back, revoked", unwritten: true, revocations: &[0..=0], ..COMES_BACK },
];

/// One process alone keeps what nobody has to remove.
const ALONE: Option<Watch> = Some(Watch { span: Duration::ZERO, on_loss: OnLoss::Rebuild });

pub(super) const LOSSES: &[Kind] = &[
    // A read of before a write is told of when the store has lost that there was one.
    Kind {
        name: "lost between read and event",
        users: 3,
        reads: &[
            Reads { count: 3, begin: -12..=-1, told: TIME, fill: 20..=300 },
            Reads { count: 4, begin: 500..=900, told: TIME, fill: 0..=4 },
        ],
        blows: &[Blow { to: Struck::StoreLost, after: 15..=60 }],
        watch: ALONE,
        ..PLAIN
    },
    // More is lost than is held, and the store gives way while it is looked at.
    Kind {
        name: "lost while it is looked at",
        resource_type: "Posts",
        users: 3,
        pages: 2,
        unwritten: true,
        reads: &[Reads { count: 60, begin: -100..=1100, told: TIME, fill: 0..=4 }],
        tempo: Tempo::Slow,
        early: 200,
        late: 1500,
        blows: &[Blow { to: Struck::StoreFailsOver(500, 900), after: 0..=100 }],
        watch: Some(Watch { span: Duration::from_millis(300), on_loss: OnLoss::Rebuild }),
        ..PLAIN
    },
];
