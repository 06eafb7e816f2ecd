//! How a world is looked at from outside, once it is quiet.

use std::time::Duration;

use super::{
    api::PROVISIONAL,
    cache::Copy,
    store::Listed,
    trace::note,
    world::{PHASE, World},
};
use crate::{clock::Timestamp, job::Job};

/// A world that is not quiet by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen of a world from outside.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Seen {
    /// Copies that lived when it was quiet.
    pub(super) living: usize,
    /// Copies of entities that nobody writes, whose read was accepted, and that had life left: those that lived.
    pub(super) kept: usize,
    /// And those that did not.
    pub(super) gone: usize,
}

impl std::ops::Add for Seen {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let Self { living, kept, gone } = self;
        Self { living: living + more.living, kept: kept + more.kept, gone: gone + more.gone }
    }
}

impl World {
    /// Lets everything come to its end, with nothing in its way.
    pub(super) async fn until_quiet(&self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(self.kind.map_or(PHASE, |kind| kind.late))).await;
        self.network.calm(true);
        note!(self.trace, "from here on nothing goes wrong");
        let gives_up = self.clock.now().after(PATIENCE);
        let mut quiet_for = 0;
        // What a process has just begun may not be seen yet.
        while quiet_for < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            // What an API that died has left is gone before long.
            let soon = self.clock.now().after(PROVISIONAL);
            let is_provisional = |copy: &Copy| !copy.raised && copy.expires_at <= soon;
            let provisional = self.caches.iter().any(|cache| cache.living().iter().any(is_provisional));
            let quiet = self.actors.is_empty()
                && self.network.flying.is_empty()
                && self.processes.iter().all(|process| process.is_quiet())
                && !provisional;
            quiet_for = if quiet { quiet_for + 1 } else { 0 };
            if self.clock.now() > gives_up {
                let jobs: Vec<String> = self.processes.iter().map(|process| process.describe()).collect();
                return Err(format!("never quiet: {} actors, {}", self.actors.len(), jobs.join(" | ")));
            }
        }
        Ok(())
    }

    /// The promise, checked from outside.
    pub(super) fn look(&self) -> Result<Seen, String> {
        if let Some(failure) = self.network.failure() {
            return Err(failure);
        }
        let mut seen = Seen::default();
        for cache in &self.caches {
            for copy in cache.living() {
                seen.living += 1;
                self.check(&copy)?;
            }
            let (kept, gone) = cache.kept(|copy| self.nobody_touches(copy));
            (seen.kept, seen.gone) = (seen.kept + kept, seen.gone + gone.len());
            if let Some(gone) = gone.first().filter(|_| self.scene.calm) {
                return Err(format!("gone for no reason: {gone:?}"));
            }
        }
        Ok(seen)
    }

    fn check(&self, copy: &Copy) -> Result<(), String> {
        let newest = self.database.version(&copy.entity, Duration::ZERO);
        if copy.version < newest {
            return Err(format!("stale, {newest} is committed: {copy:?}"));
        }
        if copy.session < self.revocations(copy) {
            return Err(format!("outlives the revocation of its holder: {copy:?}"));
        }
        let tracked = self.store.tracked_until(&copy.entity, &copy.member);
        self.lasts(copy, "untracked", tracked)?;
        match self.store.listed_until(&copy.entity, &copy.member) {
            Listed::Nowhere => Ok(()),
            Listed::Until(listed) => self.lasts(copy, "not listed as its holder's", listed),
        }
    }

    /// Something lasts as long as a copy. The store's clock is ahead.
    fn lasts(&self, copy: &Copy, otherwise: &str, until: Option<Timestamp>) -> Result<(), String> {
        let ahead = self.store.ahead_of(&self.clock);
        match until {
            Some(until) if until.before(ahead) >= copy.expires_at => Ok(()),
            _ => Err(format!("{otherwise}, only until {until:?} less {ahead:?}: {copy:?}")),
        }
    }

    /// Whether a copy has no reason to go: nobody writes what it shows, or has revoked who holds it.
    fn nobody_touches(&self, copy: &Copy) -> bool {
        copy.entity == self.scene.unwritten && self.revocations(copy) == 0
    }

    /// How often a copy's holder was revoked.
    fn revocations(&self, copy: &Copy) -> u64 {
        self.database.version(&Job::of_holder(copy.member.holder), Duration::ZERO)
    }
}
