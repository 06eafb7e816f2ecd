//! The simulated Redis as a client sees it: every command goes over the network and may be lost, late, or done although
//! nobody hears of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::{
    index::Index,
    network::{Lost, Network, Outage, Step},
    trace::note,
};
use crate::{
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::Entity,
    relations::{
        ClaimError, EntityCursor, EntityPage, Held, Holding, HoldingsPage, Member, Page, Position, Recorded,
        Recording, Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError,
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
    index: Arc<Mutex<Index>>,
    /// Members of a page, however many are asked for.
    page: usize,
    /// Not in a world: nobody is revoked in one.
    by_holder: bool,
}

impl SimStore {
    pub(super) fn new(network: Option<Network>, clock: Clock, page: usize) -> Self {
        let vault_outlives = if network.is_some() { SHORT } else { Duration::from_secs(60) };
        let index = Arc::new(Mutex::new(Index::new(vault_outlives)));
        let by_holder = network.is_none();
        Self { network, outage: Outage::default(), clock, index, page, by_holder }
    }

    /// Until when a member is tracked, by the server's clock; looked at from outside.
    pub(super) fn tracked_until(&self, entity: &Entity, member: &Member) -> Option<Timestamp> {
        self.index.lock().unwrap().tracked_until(entity, member)
    }

    /// How far the server's clock is ahead.
    pub(super) fn ahead_of(&self, clock: &Clock) -> Duration {
        self.clock.now().since(clock.now())
    }

    /// A step in the server.
    fn step<T>(&self, script: impl FnOnce(&mut Index, Timestamp) -> T + Send + 'static) -> Step<T> {
        let (index, clock) = (self.index.clone(), self.clock);
        Box::new(move || script(&mut index.lock().unwrap(), clock.now()))
    }

    async fn call<T: Send + 'static>(&self, steps: Vec<Step<T>>) -> Result<Vec<T>, StoreError> {
        match &self.network {
            None => Ok(steps.into_iter().map(|step| step()).collect()),
            Some(network) => {
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

mod tests {
    use super::*;
    use crate::contract::Opened;

    async fn open() -> Opened {
        (Box::new(SimStore::new(None, Clock::start(), usize::MAX)), Box::new(()))
    }

    sentences!(open);
}
