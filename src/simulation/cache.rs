//! A simulated cache: copies that live for a time, deleted by whoever names them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;

use super::{
    network::{Lost, Network, Outage, Step},
    trace::note,
};
use crate::{
    caches::{Cache, CacheError, CopyKey},
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::Entity,
    judge::ReadTime,
    relations::Member,
};

/// A response as it stands in a cache.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Told from any other.
    pub(super) id: u64,
    pub(super) entity: Entity,
    pub(super) member: Member,
    /// The version of the entity that it shows.
    pub(super) version: u64,
    /// Of the read that it comes from.
    pub(super) read: ReadTime,
    pub(super) expires_at: Timestamp,
    /// When its full life is over.
    pub(super) ends_at: Timestamp,
    /// Whether its full life was given to it.
    pub(super) raised: bool,
}

/// As the API and every decache process see it. Cloning shares it.
#[derive(Clone)]
pub(super) struct SimCache {
    name: &'static str,
    network: Network,
    pub(super) outage: Outage,
    clock: Clock,
    copies: Arc<Mutex<Copies>>,
}

#[derive(Default)]
struct Copies {
    by_key: BTreeMap<String, Copy>,
    /// What was last written under each key.
    last: BTreeMap<String, Copy>,
}

impl SimCache {
    pub(super) fn new(name: &'static str, network: Network, clock: Clock) -> Self {
        Self { name, network, outage: Outage::default(), clock, copies: Arc::default() }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Copy>, Lost> {
        let key = key.to_owned();
        self.ask(move |copies, now| copies.by_key.get(&key).filter(|copy| copy.expires_at > now).cloned())
            .await
    }

    pub(super) async fn set(&self, key: &str, copy: Copy) -> Result<(), Lost> {
        let key = key.to_owned();
        self.ask(move |copies, _| {
            copies.by_key.insert(key.clone(), copy.clone());
            copies.last.insert(key, copy);
        })
        .await
    }

    /// Gives a copy its full life, if it is still there and still this one.
    pub(super) async fn raise(&self, key: &str, id: u64, until: Timestamp) -> Result<(), Lost> {
        let key = key.to_owned();
        self.ask(move |Copies { by_key, last }, now| {
            let copy = by_key.get_mut(&key).filter(|copy| copy.expires_at > now);
            let copy = copy.filter(|copy| copy.id == id || !holds(Clause::RaiseTheSameCopy));
            if let Some(copy) = copy {
                (copy.expires_at, copy.raised) = (until, true);
                last.insert(key, copy.clone());
            }
        })
        .await
    }

    /// Everything that lives, looked at from outside.
    pub(super) fn living(&self) -> Vec<Copy> {
        let now = self.clock.now();
        let copies = self.copies.lock().unwrap();
        copies.by_key.values().filter(|copy| copy.expires_at > now).cloned().collect()
    }

    /// Copies that would live now if nobody had removed them: how many there are, and those that are gone.
    pub(super) fn kept(&self, counts: impl Fn(&Copy) -> bool) -> (usize, Vec<Copy>) {
        let now = self.clock.now();
        let copies = self.copies.lock().unwrap();
        let wanted = |copy: &&Copy| copy.raised && copy.expires_at > now && counts(copy);
        let (kept, gone): (Vec<_>, Vec<_>) = copies
            .last
            .iter()
            .filter(|(_, copy)| wanted(copy))
            .partition(|(key, _)| copies.by_key.contains_key(*key));
        (kept.len(), gone.into_iter().map(|(_, copy)| copy.clone()).collect())
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Copies, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (copies, clock) = (self.copies.clone(), self.clock);
        let step: Step<T> = Box::new(move || what(&mut copies.lock().unwrap(), clock.now()));
        let answers = self.network.call(&self.outage, vec![step]).await?;
        answers.into_iter().next().ok_or(Lost)
    }

    async fn delete_all(&self, keys: Vec<String>) -> Result<usize, CacheError> {
        let (trace, name) = (self.network.trace.clone(), self.name);
        let deleted = self.ask(move |copies, now| {
            let gone: Vec<Copy> = keys.iter().filter_map(|key| copies.by_key.remove(key)).collect();
            for copy in &gone {
                note!(trace, "cache {name}: copy {} of {} deleted", copy.id, copy.entity.id);
            }
            gone.iter().filter(|copy| copy.expires_at > now).count()
        });
        deleted.await.map_err(|Lost| CacheError("no answer".to_owned()))
    }
}

impl Cache for SimCache {
    fn name(&self) -> &str {
        self.name
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(self.delete_all(keys.iter().map(|key| key.0.clone()).collect()))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(async { self.ask(|_, _| ()).await.map_err(|Lost| CacheError("no answer".to_owned())) })
    }
}
