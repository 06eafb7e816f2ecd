//! What happens to servers in worlds in which they fail over or are lost (rules 13 and 14).

use std::{sync::Arc, time::Duration};

use super::{
    cache::SimCache,
    kinds::{Blow, Struck},
    realm::Realm,
    trace::note,
    world::World,
};

/// The most that a replica lacks, in milliseconds, of what a failover may lose.
const REPLICATION: u64 = 300;
/// And where more is lost than jobs are held for.
const LONG: u64 = 900;
/// A disturbance begins within this.
const PHASE: u64 = 200;

impl World {
    /// Lets something happen to a server or two, where that may be.
    pub(super) fn disturb(self: &Arc<Self>) {
        for _ in 0..self.dice.number(1..=2) {
            let at = self.dice.millis(0..=PHASE);
            match self.realm {
                Realm::Plain | Realm::Revocations | Realm::LateFill => {}
                Realm::Failover => self.fail_over_somewhere(at, REPLICATION),
                Realm::Loss if self.dice.chance(400) => self.fail_over_somewhere(at, LONG),
                Realm::Loss => self.lose(at),
            }
        }
    }

    /// What a world of a kind is bent on.
    pub(super) fn strike(self: &Arc<Self>, blow: &Blow, at: Duration) {
        match blow.to {
            Struck::StoreFailsOver(shortest, longest) => {
                self.fail_over(at, self.dice.millis(shortest..=longest), None);
            }
            Struck::CacheFailsOver(shortest, longest) => {
                let cache = self.dice.pick(&self.caches).clone();
                self.fail_over(at, self.dice.millis(shortest..=longest), Some(cache));
            }
            Struck::StoreLost => self.lose(at),
        }
    }

    fn fail_over_somewhere(self: &Arc<Self>, at: Duration, longest: u64) {
        let lag = self.dice.millis(0..=longest);
        let cache = match self.dice.chance(500) {
            true => None,
            false => Some(self.dice.pick(&self.caches).clone()),
        };
        self.fail_over(at, lag, cache);
    }

    /// A replica stops following, and takes the place of the store or of a cache some time later.
    fn fail_over(self: &Arc<Self>, at: Duration, lag: Duration, cache: Option<SimCache>) {
        let world = self.clone();
        self.spawn(async move {
            tokio::time::sleep(at).await;
            let follows = cache.as_ref().map_or_else(|| world.store.stall(), |cache| cache.stall());
            if !follows {
                return;
            }
            tokio::time::sleep(lag).await;
            match cache {
                None => world.store.fail_over(),
                Some(cache) => cache.fail_over(),
            }
            note!(world.trace, "a server fails over, {lag:?} back");
        });
    }

    /// The store is emptied, or comes back with nothing.
    fn lose(self: &Arc<Self>, at: Duration) {
        let (world, is_restarted) = (self.clone(), self.dice.chance(500));
        self.spawn(async move {
            tokio::time::sleep(at).await;
            world.store.lose(is_restarted);
            note!(world.trace, "the store has lost everything, restarted: {is_restarted}");
        });
    }
}
