//! The simulated Redis as a client sees it: every command goes over the network and may be lost, late, or done although
//! nobody hears of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::{
    index::Index,
    link::{Link, SimPulse},
    network::{Lost, Network, Outage, Step},
    site::Site,
    trace::note,
};
use crate::{
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::Entity,
    redis_pool::Found,
    relations::{
        ClaimError, EntityCursor, EntityPage, Held, Holding, HoldingsPage, Marked, Member, Page, Position,
        Recorded, Recording, Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError,
    },
    secret::HolderId,
};

/// How much a vault entry outlives its last relationship in a world: short, so that one that is not extended is missed.
const SHORT: Duration = Duration::from_millis(500);

/// Cloning shares the server.
#[derive(Clone)]
pub(super) struct SimStore {
    /// Without one, every command is done at once.
    network: Option<Network>,
    pub(super) outage: Outage,
    /// The server's.
    clock: Clock,
    site: Site<Index>,
    /// Of a process that looks after it.
    link: Option<Link>,
    /// Members of a page, however many are asked for.
    page: usize,
    /// Not in a world: nobody is revoked in one.
    by_holder: bool,
}

impl SimStore {
    pub(super) fn new(network: Option<Network>, clock: Clock, page: usize) -> Self {
        let vault_outlives = if network.is_some() { SHORT } else { Duration::from_secs(60) };
        let site = Site::new(Index::new(vault_outlives));
        let by_holder = network.is_none();
        Self { network, outage: Outage::default(), clock, site, link: None, page, by_holder }
    }

    /// The same server, as a process reaches it that looks after it.
    pub(super) fn linked(&self, network: Network) -> Self {
        let link = Link::new(network, self.outage.clone(), self.site.machine.clone());
        Self { link: Some(link), ..self.clone() }
    }

    pub(super) fn pulse(&self, process: &str) -> SimPulse {
        let (index, clock) = (self.site.data.clone(), self.clock);
        let question = move || {
            let marker = index.lock().unwrap().marker.clone();
            Found { time: Some(clock.now()), marker, ..Found::default() }
        };
        let link = self.link.clone().unwrap();
        SimPulse { link, process: process.to_owned(), question: Arc::new(question) }
    }

    pub(super) fn is_current(&self) -> bool {
        let marker = self.site.data.lock().unwrap().marker.clone();
        let knows = |link: &Link| link.is_current() && *link.expected.lock().unwrap() == marker;
        self.link.as_ref().is_some_and(knows)
    }

    pub(super) fn stall(&self) -> bool {
        self.site.stall()
    }

    pub(super) fn fail_over(&self) {
        self.site.fail_over(|lost, index| index.after(lost));
    }

    pub(super) fn lose(&self, is_restarted: bool) {
        self.site.lose(is_restarted, |lost| Index::default().after(lost));
    }

    /// Until when a member is tracked, by the server's clock; looked at from outside.
    pub(super) fn tracked_until(&self, entity: &Entity, member: &Member) -> Option<Timestamp> {
        self.site.data.lock().unwrap().tracked_until(entity, member)
    }

    /// How far the server's clock is ahead.
    pub(super) fn ahead_of(&self, clock: &Clock) -> Duration {
        self.clock.now().since(clock.now())
    }

    /// A step in the server.
    fn step<T>(&self, script: impl FnOnce(&mut Index, Timestamp) -> T + Send + 'static) -> Step<T> {
        let (index, clock) = (self.site.data.clone(), self.clock);
        Box::new(move || script(&mut index.lock().unwrap(), clock.now()))
    }

    async fn call<T: Send + 'static>(&self, steps: Vec<Step<T>>) -> Result<Vec<T>, StoreError> {
        match (&self.network, &self.link) {
            (None, _) => Ok(steps.into_iter().map(|step| step()).collect()),
            (Some(_), Some(link)) => self.call_marked(link, steps).await,
            (Some(network), None) => {
                let answers = network.call(&self.outage, steps).await;
                answers.map_err(|Lost| StoreError::Unavailable("no answer".to_owned()))
            }
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        script: impl FnOnce(&mut Index, Timestamp) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let answers = self.call(vec![self.step(script)]).await?;
        answers.into_iter().next().ok_or(StoreError::Unreadable("answer"))
    }

    /// In the end it looks whether it is still the index that it was.
    async fn call_marked<T: Send + 'static>(
        &self,
        link: &Link,
        steps: Vec<Step<T>>,
    ) -> Result<Vec<T>, StoreError> {
        let expected = link.expected.lock().unwrap().clone().filter(|_| holds(Clause::MarkerChecked));
        let seen: Arc<Mutex<Option<String>>> = Arc::default();
        let mut marked: Vec<Step<Option<T>>> = Vec::with_capacity(steps.len() + 1);
        marked.extend(steps.into_iter().map(|step| Box::new(move || Some(step())) as Step<Option<T>>));
        if expected.is_some() {
            let (seen, index) = (seen.clone(), self.site.data.clone());
            marked.push(Box::new(move || {
                *seen.lock().unwrap() = index.lock().unwrap().marker.clone();
                None
            }));
        }
        let answers = link.call(marked).await;
        let answers = answers.map_err(|Lost| StoreError::Unavailable("no answer".to_owned()))?;
        if expected.is_some() && *seen.lock().unwrap() != expected {
            link.suspect();
            return Err(StoreError::Lost);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Asks whichever server answers.
    async fn look<T: Send + 'static>(&self, step: Step<T>) -> Result<T, StoreError> {
        let looked = self.link.as_ref().unwrap().look(step).await;
        looked.map(|(_, answer)| answer).map_err(|Lost| StoreError::Unavailable("no answer".to_owned()))
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        if let Some(network) = &self.network {
            note!(network.trace, "store: {what}");
        }
    }

    /// A pipeline: the vault, then the members and with them `stale`, then what their holders hold.
    async fn record_batch(&self, batch: Vec<Recording>) -> Result<Vec<Recorded>, StoreError> {
        if let Some(network) = &self.network {
            network.stall().await;
        }
        let batch = Arc::new(batch);
        let (recordings, vault, of_holders, early) = (batch.clone(), batch.clone(), batch.clone(), batch);
        let this = self.clone();
        let put_in_vault = self.step(move |index, now| {
            vault.iter().for_each(|recording| index.put_in_vault(recording, now));
            Vec::new()
        });
        let found_early: Arc<Mutex<Vec<Option<Stale>>>> = Arc::default();
        let found = found_early.clone();
        let record = self.step(move |index, now| {
            let mut recorded: Vec<_> =
                recordings.iter().map(|recording| index.record(recording, now)).collect();
            for (recording, recorded) in recordings.iter().zip(&recorded) {
                let (id, holder) = (&recording.entity.id, recording.member.holder);
                this.note(format_args!("{id} held by {holder} until {}: {recorded:?}", recording.expires_at));
            }
            for (recorded, stale) in recorded.iter_mut().zip(found.lock().unwrap().iter()) {
                recorded.stale = *stale;
            }
            recorded
        });
        let read_stale_first = self.step(move |index, now| {
            let stale = early.iter().map(|recording| index.stale(&recording.entity, now));
            *found_early.lock().unwrap() = stale.collect();
            Vec::new()
        });
        let steps = match () {
            () if !holds(Clause::VaultFirst) => vec![record, put_in_vault],
            () if !holds(Clause::MemberBeforeStale) => vec![put_in_vault, read_stale_first, record],
            () => vec![put_in_vault, record],
        };
        let recorded = self.call(steps).await?.concat();
        if self.by_holder { self.record_entries(of_holders, recorded).await } else { Ok(recorded) }
    }

    async fn record_entries(
        &self,
        batch: Arc<Vec<Recording>>,
        recorded: Vec<Recorded>,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.ask(move |index, now| {
            let with_entry = |(recording, recorded): (&Recording, Recorded)| {
                let revoked = index.holders.record(recording, recorded.stamp, now);
                Recorded { revoked, ..recorded }
            };
            batch.iter().zip(recorded).map(with_entry).collect()
        })
        .await
    }

    async fn claim_for(&self, fingerprint: String) -> Result<(), ClaimError> {
        let ours = fingerprint.clone();
        let theirs = self.ask(move |index, _| index.secret.get_or_insert(fingerprint).clone()).await?;
        if theirs == ours { Ok(()) } else { Err(ClaimError::OtherSecret { theirs, ours }) }
    }
}

impl Relations for SimStore {
    fn claim<'a>(&'a self, fingerprint: &'a str) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(self.claim_for(fingerprint.to_owned()))
    }

    fn record<'a>(&'a self, batch: &'a [Recording]) -> BoxFuture<'a, Result<Vec<Recorded>, StoreError>> {
        Box::pin(self.record_batch(batch.to_vec()))
    }

    fn invalidate<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Stale, StoreError>> {
        let (entity, this) = (entity.clone(), self.clone());
        Box::pin(self.ask(move |index, now| {
            let stale = index.invalidate(&entity, mark, now);
            this.note(format_args!("{} invalidated: {stale:?}", entity.id));
            stale
        }))
    }

    fn staleness<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<Staleness, StoreError>> {
        let entity = entity.clone();
        Box::pin(self.ask(move |index, now| index.staleness(&entity, now)))
    }

    fn walk<'a>(
        &'a self,
        entity: &'a Entity,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (entity, limit, this) = (entity.clone(), limit.min(self.page), self.clone());
        Box::pin(self.ask(move |index, now| {
            let page = index.walk(&entity, from, limit, now);
            this.note(format_args!("{} walked from {from:?}: {} members", entity.id, page.held.len()));
            page
        }))
    }

    fn forget<'a>(
        &'a self,
        entity: &'a Entity,
        members: &'a [(Member, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        let (entity, members, this) = (entity.clone(), members.to_vec(), self.clone());
        Box::pin(async move {
            if members.is_empty() {
                return Ok(0);
            }
            if let Some(network) = &self.network {
                network.stall().await;
            }
            self.ask(move |index, now| {
                let dropped = index.forget(&entity, &members, linger, now);
                this.note(format_args!("{}: {dropped} of {members:?} dropped", entity.id));
                dropped
            })
            .await
        })
    }

    fn held<'a>(
        &'a self,
        members: &'a [(Entity, Member)],
    ) -> BoxFuture<'a, Result<Vec<Option<Held>>, StoreError>> {
        let members = members.to_vec();
        Box::pin(self.ask(move |index, now| {
            members.iter().map(|(entity, member)| index.held(entity, member, now)).collect()
        }))
    }

    /// A cursor is a rank: nothing in a world goes over all entities.
    fn entities<'a>(
        &'a self,
        from: &'a EntityCursor,
        limit: usize,
    ) -> BoxFuture<'a, Result<EntityPage, StoreError>> {
        let from = from.0.first_chunk().map_or(0, |rank| usize::from_be_bytes(*rank));
        Box::pin(self.ask(move |index, _| {
            let entities = index.entities(from, limit);
            let next = (entities.len() == limit).then(|| EntityCursor((from + limit).to_be_bytes().into()));
            EntityPage { entities, next }
        }))
    }

    fn by_holder(&self) -> bool {
        self.by_holder
    }

    fn revoke<'a>(
        &'a self,
        holder: HolderId,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Timestamp, StoreError>> {
        Box::pin(self.ask(move |index, now| index.holders.revoke(holder, mark, now)))
    }

    fn entities_of<'a>(
        &'a self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<HoldingsPage, StoreError>> {
        let limit = limit.min(self.page);
        Box::pin(self.ask(move |index, now| index.holders.entries(holder, from, limit, now)))
    }

    fn release<'a>(
        &'a self,
        holder: HolderId,
        holdings: &'a [(Holding, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        let holdings = holdings.to_vec();
        Box::pin(self.ask(move |index, now| index.holders.release(holder, &holdings, linger, now)))
    }

    fn vault<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        let holders = holders.to_vec();
        Box::pin(async move {
            if holders.is_empty() {
                return Ok(Vec::new());
            }
            self.ask(move |index, now| holders.iter().map(|holder| index.vault(*holder, now)).collect()).await
        })
    }

    fn compact<'a>(&'a self, _: &'a Entity) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.ask(|_, _| ()))
    }
}

impl Marked for SimStore {
    fn marker(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(self.look(self.step(|index, _| index.marker.clone())))
    }

    fn mark<'a>(
        &'a self,
        expected: Option<&'a str>,
        new: &'a str,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        let (expected, new) = (expected.map(str::to_owned), new.to_owned());
        Box::pin(self.look(self.step(move |index, _| index.mark(expected.as_deref(), new))))
    }

    fn expect(&self, marker: &str) {
        *self.link.as_ref().unwrap().expected.lock().unwrap() = Some(marker.to_owned());
    }
}

mod tests {
    use super::*;
    use crate::contract::Opened;

    async fn open() -> Opened {
        (Box::new(SimStore::new(None, Clock::start(), usize::MAX)), Box::new(()))
    }

    sentences!(open);
}
