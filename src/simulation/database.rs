//! What is true: every entity's versions, and when each was committed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    clock::{Clock, Timestamp},
    event::Entity,
};

/// A database with a primary and replicas that lag. Every entity is there, in version 0.
#[derive(Clone)]
pub(super) struct Database {
    clock: Clock,
    commits: Arc<Mutex<BTreeMap<Entity, Vec<Timestamp>>>>,
}

impl Database {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, commits: Arc::default() }
    }

    /// Changes these entities at once.
    pub(super) fn commit(&self, entities: &[Entity]) {
        let mut commits = self.commits.lock().unwrap();
        for entity in entities {
            commits.entry(entity.clone()).or_default().push(self.clock.now());
        }
    }

    /// The version that a replica shows that lags so much.
    pub(super) fn version(&self, entity: &Entity, lag: Duration) -> u64 {
        let seen = self.clock.now().before(lag);
        let commits = self.commits.lock().unwrap();
        commits.get(entity).map_or(0, |commits| commits.iter().filter(|at| **at <= seen).count() as u64)
    }
}
