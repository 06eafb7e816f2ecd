//! Jobs that remove again what another has removed, for caches that fill late (DESIGN 7, rule 11).

use std::time::Duration;

use super::{Accepted, Job, JobId, JobKey};

/// Into so many parts a delay is divided: rechecks that are due in one part are one, so that a stream of updates neither
/// piles them up nor puts them off.
const SLOTS: u128 = 4;

impl Job {
    /// The job that removes again, `delay` after `at` or up to a quarter of it later, what this one has removed by `at`.
    /// It is only ever merged with others that are due at the same time.
    pub fn again(&self, delay: Duration, at: Accepted) -> Self {
        let due = slot(at.now.after(delay).0, delay);
        let mut key = JobKey::of(self.job_type, &self.topic, &self.entity);
        key.text("recheck");
        key.bytes(&due.to_le_bytes());
        if let Some(copy) = &self.copy {
            key.bytes(&copy.holder.0);
            key.optional(copy.cache_key.as_deref().map(str::as_bytes));
        }
        Self {
            id: JobId::new(at.now),
            key: key.finish(),
            superceedable: true,
            ready_at: at.tick.after(Duration::from_millis(due.saturating_sub(at.now.0))),
            expires_at: None,
            payload: None,
            recheck: true,
            ..self.clone()
        }
    }
}

/// The end of the slot that a time is in, in milliseconds.
fn slot(due: u64, delay: Duration) -> u64 {
    let slot = u64::try_from(delay.as_millis() / SLOTS).unwrap_or(u64::MAX).max(1);
    due.div_ceil(slot).saturating_mul(slot)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use super::*;
    use crate::{
        clock::{Tick, Timestamp},
        event::Entity,
        job::JobType,
    };

    const DELAY: Duration = Duration::from_millis(1000);

    fn update(entity_id: &str) -> Job {
        Job {
            id: JobId::new(Timestamp(1)),
            key: JobKey(1),
            job_type: JobType::Invalidate,
            topic: Arc::from("pp-cache"),
            entity: Entity { resource_type: "Posts".into(), id: entity_id.into() },
            priority: 0,
            superceedable: false,
            ready_at: Tick(0),
            expires_at: None,
            occurred_at: Some(Timestamp(1)),
            generation: None,
            accepted_at: Timestamp(1),
            copy: None,
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        }
    }

    fn at(now: u64) -> Accepted {
        Accepted { now: Timestamp(now), tick: Tick(now * 1000) }
    }

    #[test]
    fn it_is_due_after_the_delay_and_no_more_than_a_quarter_of_it_later() {
        for now in 10_000..10_500 {
            let waits = update("42").again(DELAY, at(now)).ready_at.since(at(now).tick);
            assert!((DELAY..DELAY * 5 / 4).contains(&waits), "{waits:?} at {now}");
        }
    }

    #[test]
    fn a_stream_of_updates_has_at_most_five_waiting_for_an_entity() {
        let keys: HashSet<JobKey> =
            (10_001..=11_000).map(|now| update("42").again(DELAY, at(now)).key).collect();
        assert_eq!(keys.len(), 4, "one a quarter");
        assert_ne!(update("42").again(DELAY, at(1)).key, update("43").again(DELAY, at(1)).key);
    }
}
