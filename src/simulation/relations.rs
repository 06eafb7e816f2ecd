//! The simulated Redis keeps the stores' contract.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::store::SimStore;
use crate::{
    clock::Timestamp,
    event::Entity,
    relations::{
        ClaimError, EntityCursor, EntityPage, Held, Holding, HoldingsPage, Marked, Member, Page, Position,
        Recorded, Recording, Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError,
    },
    secret::HolderId,
};

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
        let this = self.clone();
        Box::pin(self.ask(move |index, now| {
            let at = index.holders.revoke(holder, mark, now);
            this.note(format_args!("{holder} revoked at {at}"));
            at
        }))
    }

    fn entities_of<'a>(
        &'a self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<HoldingsPage, StoreError>> {
        let (limit, this) = (limit.min(self.page), self.clone());
        Box::pin(self.ask(move |index, now| {
            let page = index.holders.entries(holder, from, limit, now);
            this.note(format_args!("{holder} walked from {from:?}: {} entries", page.held.len()));
            page
        }))
    }

    fn release<'a>(
        &'a self,
        holder: HolderId,
        holdings: &'a [(Holding, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        let (holdings, this) = (holdings.to_vec(), self.clone());
        Box::pin(self.ask(move |index, now| {
            let released = index.holders.release(holder, &holdings, linger, now);
            this.note(format_args!("{holder}: {released} of {holdings:?} released"));
            released
        }))
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
            let network = self.network.clone();
            self.ask(move |index, now| {
                if let Some(orphan) = holders.iter().find(|holder| index.is_orphan(**holder, now))
                    && let Some(network) = network
                {
                    network.fail(format!("{orphan} has a living member, and no vault entry"));
                }
                holders.iter().map(|holder| index.vault(*holder, now)).collect()
            })
            .await
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
