//! Realms of worlds, blocks of seeds: in most of them servers keep what they have confirmed, and caches are filled before an event is posted.

use std::time::Duration;

use super::dice::Dice;
use crate::config::store::OnLoss;

/// Seeds that follow each other and make worlds of one realm.
pub(super) const BLOCK: u64 = 5000;

/// What may happen in a world beside the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Realm {
    Plain,
    /// Holders are revoked (rule 10), and whatever happened is soon forgotten.
    Revocations,
    /// The second cache fills after the event was posted (rule 11).
    LateFill,
    /// Store and caches fail over to replicas that lack the last writes (rule 14).
    Failover,
    /// The store loses everything, or more than jobs are held for (rule 13).
    Loss,
}

/// How processes look after servers that may be lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// How long they hold jobs that are done.
    pub(super) span: Duration,
    pub(super) on_loss: OnLoss,
}

impl Realm {
    /// Seeds are in blocks, so that the first ones stay what they are.
    pub(super) fn of(seed: u64) -> Self {
        match seed / BLOCK % 8 {
            4 => Self::Revocations,
            5 => Self::LateFill,
            6 => Self::Failover,
            7 => Self::Loss,
            _ => Self::Plain,
        }
    }

    /// Whether holders are revoked in a seed's world: in a realm of their own, and in some worlds of each other one.
    pub(super) fn revokes(seed: u64) -> bool {
        match Self::of(seed) {
            Self::Plain => false,
            Self::Revocations => true,
            Self::LateFill | Self::Failover | Self::Loss => seed % 4 == 2,
        }
    }

    /// Whether servers may be lost, in part or whole.
    pub(super) fn loses(self) -> bool {
        matches!(self, Self::Failover | Self::Loss)
    }

    /// The seeds of this realm.
    pub(super) fn seeds(self) -> impl Iterator<Item = u64> {
        let blocks = (0..).filter(move |number| Self::of(number * BLOCK) == self);
        blocks.flat_map(|number| number * BLOCK..(number + 1) * BLOCK)
    }

    /// Where nothing is lost, nobody looks.
    pub(super) fn watch(self, dice: &Dice) -> Option<Watch> {
        match self {
            Self::Plain | Self::Revocations | Self::LateFill => None,
            // Longer than any process is away, so that no relationship goes before what was done is done again.
            Self::Failover => Some(Watch { span: Duration::from_secs(2), on_loss: OnLoss::Rebuild }),
            Self::Loss => Some(Watch {
                span: *dice.pick(&[Duration::ZERO, Duration::from_millis(300)]),
                on_loss: if dice.chance(500) { OnLoss::Rebuild } else { OnLoss::Evict },
            }),
        }
    }
}
