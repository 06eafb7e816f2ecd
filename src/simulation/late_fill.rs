//! A cache that fills late, as one in front of the API does: when the answer that it has passed on is there (rule 11).

use std::{sync::Arc, time::Duration};

use crate::clock::Timestamp;

use super::{
    cache::{Copy, SimCache},
    realm::Realm,
    trace::note,
    world::World,
};

/// The `recheck` of every resource in such a world.
pub(super) const RECHECK: Duration = Duration::from_millis(120);
/// The latest fill after the event was posted.
const LATEST: Duration = Duration::from_millis(100);

impl World {
    /// The cache that fills late.
    pub(super) fn late_cache(&self) -> Option<&SimCache> {
        self.caches.last().filter(|_| self.realm == Realm::LateFill)
    }

    /// The answer has left the API; the cache keeps it for the copy's full life from when it has it.
    pub(super) fn fill_late(self: &Arc<Self>, key: &str, copy: Copy, life: Duration, posts_at: Timestamp) {
        let Some(cache) = self.late_cache().cloned() else { return };
        let Some(left) = LATEST.checked_sub(self.clock.now().since(posts_at)) else { return };
        let (world, key, late) =
            (self.clone(), key.to_owned(), self.dice.millis(0..=left.as_millis() as u64));
        self.spawn(async move {
            tokio::time::sleep(late).await;
            let until = world.clock.now().after(life);
            note!(world.trace, "cache: filled late with copy {}", copy.id);
            cache.put(key, Copy { expires_at: until, ends_at: until, raised: true, ..copy });
        });
    }
}
