//! A simulated cache: copies that live for a time, deleted by whoever names them.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    link::{Link, SimPulse},
    network::{Lost, Network, Outage, Step},
    site::Site,
    trace::note,
};
use crate::{
    caches::{Cache, CacheError, CopyKey, Inspect, Life, ScanCursor, Scanned},
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::Entity,
    judge::ReadTime,
    redis_pool::Found,
    relations::Member,
    template::Glob,
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
    /// How often its holder had been revoked by then.
    pub(super) session: u64,
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
    site: Site<Copies>,
    /// Of a process that looks after it.
    link: Option<Link>,
}

#[derive(Clone, Default)]
struct Copies {
    by_key: BTreeMap<String, Copy>,
    /// What was last written under each key.
    last: BTreeMap<String, Copy>,
}

impl SimCache {
    pub(super) fn new(name: &'static str, network: Network, clock: Clock) -> Self {
        let site = Site::new(Copies::default());
        Self { name, network, outage: Outage::default(), clock, site, link: None }
    }

    /// The same cache, as a process reaches it that looks after it.
    pub(super) fn linked(&self) -> Self {
        let link = Link::new(self.network.clone(), self.outage.clone(), self.site.machine.clone());
        Self { link: Some(link), ..self.clone() }
    }

    pub(super) fn pulse(&self, process: &str) -> SimPulse {
        let (copies, machine) = (self.site.data.clone(), self.site.machine.clone());
        let question = move || {
            let is_empty = copies.lock().unwrap().by_key.is_empty() && !machine.has_beats();
            Found { is_empty, ..Found::default() }
        };
        let link = self.link.clone().unwrap();
        SimPulse { link, process: process.to_owned(), question: Arc::new(question) }
    }

    pub(super) fn is_current(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_current)
    }

    pub(super) fn stall(&self) -> bool {
        self.site.stall()
    }

    pub(super) fn fail_over(&self) {
        self.site.fail_over(|_, copies| copies);
    }

    /// Fills it by itself.
    pub(super) fn put(&self, key: String, copy: Copy) {
        let mut copies = self.site.data.lock().unwrap();
        copies.by_key.insert(key.clone(), copy.clone());
        copies.last.insert(key, copy);
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
        let copies = self.site.data.lock().unwrap();
        copies.by_key.values().filter(|copy| copy.expires_at > now).cloned().collect()
    }

    /// Copies that would live now if nobody had removed them: how many there are, and those that are gone.
    pub(super) fn kept(&self, counts: impl Fn(&Copy) -> bool) -> (usize, Vec<Copy>) {
        let now = self.clock.now();
        let copies = self.site.data.lock().unwrap();
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
        let (copies, clock) = (self.site.data.clone(), self.clock);
        let step: Step<T> = Box::new(move || what(&mut copies.lock().unwrap(), clock.now()));
        let answers = match &self.link {
            Some(link) => link.call(vec![step]).await?,
            None => self.network.call(&self.outage, vec![step]).await?,
        };
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
    fn inspect(&self) -> Option<&dyn Inspect> {
        Some(self)
    }
}

impl Inspect for SimCache {
    /// A cursor is a rank among what was ever written.
    fn scan<'a>(
        &'a self,
        from: ScanCursor,
        pattern: &'a Glob,
        effort: usize,
    ) -> BoxFuture<'a, Result<Scanned, CacheError>> {
        let (pattern, from) = (pattern.clone(), from.0 as usize);
        let scanned = self.ask(move |copies, now| {
            let keys: Vec<&String> = copies.last.keys().skip(from).take(effort).collect();
            let next = (keys.len() == effort).then(|| ScanCursor((from + effort) as u64));
            let lives = |key: &&&String| copies.by_key.get(**key).is_some_and(|copy| copy.expires_at > now);
            let matching =
                keys.iter().filter(lives).filter(|key| matches(pattern.under("").as_bytes(), key.as_bytes()));
            Scanned { keys: matching.map(|key| CopyKey((*key).clone())).collect(), next }
        });
        Box::pin(async { scanned.await.map_err(|Lost| CacheError("no answer".to_owned())) })
    }

    fn lives<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<Vec<Life>, CacheError>> {
        let keys: Vec<String> = keys.iter().map(|key| key.0.clone()).collect();
        let lives = self.ask(move |copies, now| {
            let life = |key| match copies.by_key.get(key).filter(|copy| copy.expires_at > now) {
                Some(copy) => Life::For(copy.expires_at.since(now)),
                None => Life::Gone,
            };
            keys.iter().map(life).collect()
        });
        Box::pin(async { lives.await.map_err(|Lost| CacheError("no answer".to_owned())) })
    }
}

/// As Redis matches, but for what no pattern here has: more than one character between brackets.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    match (pattern, key) {
        ([], _) => key.is_empty(),
        ([b'*', rest @ ..], _) => (0..=key.len()).any(|skipped| matches(rest, &key[skipped..])),
        ([b'?', rest @ ..], [_, others @ ..]) => matches(rest, others),
        ([b'[', one, b']', rest @ ..] | [b'\\', one, rest @ ..], [first, others @ ..])
        | ([one, rest @ ..], [first, others @ ..]) => one == first && matches(rest, others),
        (_, []) => false,
    }
}
