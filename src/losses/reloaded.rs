//! What a reload changes: which caches are looked after, and how long copies live.

use super::{CACHE, Losses, WatchedCache};
use crate::{
    clock::Timestamp,
    redis_pool::{Pulse, RedisPool},
    resource::Resources,
};

impl Losses {
    /// Looks after these caches from here on: name, connections, what their keys begin with. For those that are gone nothing
    /// is held any more.
    pub fn look_after(&self, caches: &[(String, RedisPool, String)], resources: &Resources) {
        let (before, mut memory) = (self.caches.get(), self.memory());
        let caches: Vec<_> = caches.iter().map(|cache| watched(cache, &memory.note.process)).collect();
        let has = |list: &[WatchedCache], name: &str| list.iter().any(|(it, _)| **it == *name);
        for (name, _) in caches.iter().filter(|(name, _)| !has(&before, name)) {
            // One that was here before may have lost anything meanwhile.
            let is_known = memory.servers.contains_key(name) || memory.note.servers.contains_key(name);
            self.window.watch(name, Timestamp(if is_known { u64::MAX } else { 0 }));
        }
        for (name, _) in before.iter().filter(|(name, _)| !has(&caches, name)) {
            self.window.unwatch(name);
            self.ground.health.report(&format!("failover:{}", name.trim_start_matches(CACHE)), None);
        }
        // Copies may live on from before.
        memory.life = memory.life.max(resources.longest_life());
        memory.tolerance = resources.tolerance();
        drop(memory);
        self.caches.replace(caches);
    }

    /// From here on until they are [unmixed](Self::marks_unmixed), marks are made by these resources and by those of before, and
    /// reads are judged by both.
    pub async fn marks_mixed(&self, resources: &Resources) {
        let (short, is_news) = {
            let marks = &mut self.memory().note.marks;
            let before = marks.clone();
            (marks.mix(resources), *marks != before)
        };
        self.distrust_reads(short.then(|| self.window.now()));
        if is_news {
            self.save_marks().await;
        }
    }

    /// From here on marks are made by these resources alone.
    pub async fn marks_unmixed(&self, resources: &Resources) {
        let raised = self.memory().note.marks.follow(resources, self.window.now());
        self.distrust_reads(raised);
        self.save_marks().await;
    }

    /// Reads that began by then may have outlived the marks that they are judged by.
    fn distrust_reads(&self, began_by: Option<Timestamp>) {
        if let Some(at) = began_by {
            self.trust.lost(at, at);
        }
    }

    async fn save_marks(&self) {
        // What is not noted is taken for a raise at the next start, or was none.
        let _ = self.save(false).await;
    }
}

/// Looks after a cache by the beats of this process.
pub(super) fn watched((name, pool, prefix): &(String, RedisPool, String), process: &str) -> WatchedCache {
    let key = format!("{prefix}decache:beat:{process}:latest");
    (super::component(name), Box::new(Pulse::new(pool.clone(), key, None)))
}
