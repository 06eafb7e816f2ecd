//! How long marks were made to live (DESIGN 7, rule 3), over changes of the configuration.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, judge::Margins, resource::Resources};

/// What an earlier configuration gave marks to live, and whether reads may be older than those are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Marks {
    /// By resource type, also of those that are not configured any more.
    lives: BTreeMap<Box<str>, Life>,
    /// When one was raised last. Marks that were made by then go before the reads do that they concern.
    raised_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Life {
    horizon: Duration,
    guard: Duration,
}

impl Life {
    fn of(Margins { guard, horizon }: Margins) -> Self {
        Self { horizon, guard }
    }

    fn is_raised_by(self, other: Self) -> bool {
        other.horizon > self.horizon || other.guard > self.guard
    }

    fn shorter(self, other: Self) -> Self {
        Self { horizon: self.horizon.min(other.horizon), guard: self.guard.min(other.guard) }
    }
}

impl Marks {
    /// Takes note of what is configured from `now` on. Reads that began by the time that is returned cannot be judged by marks.
    pub(super) fn follow(&mut self, resources: &Resources, now: Timestamp) -> Option<Timestamp> {
        for (resource_type, resource) in resources.iter() {
            let life = Life::of(resource.margins());
            let before = self.lives.insert(resource_type.into(), life);
            if before.is_some_and(|before| before.is_raised_by(life)) {
                self.raised_at = Some(now);
            }
        }
        self.raised_at
    }

    /// Takes note that marks are made by what is configured, and by what was configured before. Returns whether one may live
    /// too short a time for reads that are judged by `resources`.
    pub(super) fn mix(&mut self, resources: &Resources) -> bool {
        let mut short = false;
        for (resource_type, resource) in resources.iter() {
            let life = Life::of(resource.margins());
            let before = self.lives.entry(resource_type.into()).or_insert(life);
            short |= before.is_raised_by(life);
            *before = before.shorter(life);
        }
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resources::{ResourceConfig, ResourcesConfig};

    fn posts(horizon: u64, guard: u64) -> Resources {
        let posts: ResourceConfig = serde_json::from_value(serde_json::json!({
            "cache_keys": ["/posts/{entity_id}?t={access_token}"], "ttl": 300, "horizon": horizon, "guard": guard
        }))
        .unwrap();
        Resources::compile(&ResourcesConfig([("Posts".to_owned(), posts)].into()), "").unwrap()
    }

    #[test]
    fn reads_of_before_a_raise_cannot_be_judged_from_then_on() {
        let mut marks = Marks::default();
        let mut configured = |now, horizon, guard| marks.follow(&posts(horizon, guard), Timestamp(now));
        assert_eq!(configured(1, 60, 2), None, "nothing was known before");
        assert_eq!(configured(2, 60, 2), None);
        assert_eq!(configured(3, 30, 1), None, "marks that live longer than they have to");
        assert_eq!(configured(4, 60, 1), Some(Timestamp(4)));
        assert_eq!(configured(5, 60, 1), Some(Timestamp(4)));
        assert_eq!(configured(6, 60, 2), Some(Timestamp(6)));
    }

    #[test]
    fn while_two_configurations_make_marks_the_shorter_life_is_what_they_have() {
        let mut marks = Marks::default();
        marks.follow(&posts(60, 2), Timestamp(1));
        assert!(!marks.mix(&posts(60, 2)) && !marks.mix(&posts(30, 2)));
        assert!(marks.mix(&posts(40, 2)), "one that was made with 30");
        assert_eq!(marks.follow(&posts(40, 2), Timestamp(2)), Some(Timestamp(2)));
        assert!(marks.mix(&posts(20, 3)));
        assert_eq!(
            marks.follow(&posts(20, 3), Timestamp(3)),
            Some(Timestamp(3)),
            "a longer guard is a raise, too"
        );
    }
}
