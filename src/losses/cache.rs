//! Looks at the caches that are in a Redis.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    CACHE, Losses,
    note::{Debt, OwedByCache},
    verdict::{ServerIs, of_server},
};
use crate::{
    caches::Regard,
    redis_pool::{Found, PoolError, Watched},
};

impl Losses {
    /// Looks at every cache at once, for as long as `time`. What is wrong with one, a ping says.
    pub async fn look_at_caches(&self, time: Duration) {
        // One after the other: what one has found must not be compared with a beat that another has made since.
        let _one = self.one_look_at_caches.lock().await;
        join_all(self.caches.get().iter().map(async |(name, pulse)| {
            let window = &self.window;
            let began = window.now();
            match timeout(time, self.look_at_cache(name, &**pulse)).await {
                Ok(Ok(())) => window.same(name, began),
                _ if self.is_suspect(name) => window.give_up(name),
                _ => {}
            }
        }))
        .await;
    }

    fn is_suspect(&self, component: &str) -> bool {
        let cache = component.strip_prefix(CACHE).unwrap_or(component);
        self.ground.hooks.get().caches.regarded(cache) == Some(Regard::Suspect)
    }

    async fn look_at_cache(&self, name: &str, pulse: &dyn Watched) -> Result<(), PoolError> {
        let mut found = pulse.look().await?;
        let is_ahead = self.doubt(&mut found);
        if found.info.may_lose_the_last {
            self.window.may_fail_over();
        }
        let became = self.known(name).map(|known| of_server(&known, &found));
        match became {
            Some(ServerIs::Same) => {}
            Some(ServerIs::Other) => self.cache_is_another(name, &found),
            None => self.cache_is_met(name, &found),
        }
        let became = became.unwrap_or(ServerIs::Same);
        if self.accept(name, pulse, &found, became == ServerIs::Same) {
            // A note that is not written costs a sweep too many at the next start, and nothing else.
            let _ = self.save(false).await;
        }
        // A cache that is full, or lets us do no more than delete, takes no beat, and is well.
        let _ = self.beat(name, pulse, is_ahead).await;
        Ok(())
    }

    /// It may have been used already, and may have been another one then: what is held is run again, and for what is not held
    /// any more every copy goes.
    fn cache_is_met(&self, name: &str, found: &Found) {
        let window = &self.window;
        let covered = window.covers(name, found.beat);
        self.do_again();
        if !covered && !found.is_empty {
            self.owe(&Debt::Cache(name.into(), OwedByCache { since: window.now(), all: true }));
        }
    }

    /// It was restarted, or another is in its place. Copies may have come back that were deleted.
    fn cache_is_another(&self, name: &str, found: &Found) {
        let window = &self.window;
        if found.is_empty {
            self.trust.new_epoch();
            self.failed_over(name);
            return info!(component = name, "a cache has come back empty");
        }
        let covered = window.covers(name, found.beat);
        let jobs = self.run_again(name);
        let what = if covered { "what was deleted last" } else { "every copy" };
        warn!(component = name, jobs, "a cache has failed over or was restarted: {what} is deleted again");
        self.owe(&Debt::Cache(name.into(), OwedByCache { since: window.now(), all: !covered }));
    }
}
