//! Relationships without a copy.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Reconcile, ReconcileError, RelationshipReport, Report, pace::Pace};
use crate::{
    caches::{CopyKey, Life},
    event::Entity,
    hooks::copy_keys,
    relations::{EntityCursor, Held, Member, Position, Stamp},
};

/// Entities that the store is asked for at a time.
const ENTITIES_PER_STEP: usize = 256;
/// Entities whose members are looked at together, about so many of each.
const ENTITIES_AT_ONCE: usize = 64;
const MEMBERS_PER_STEP: usize = 64;
/// Connections that walks take up at a time: the service needs some too.
const WALKS_AT_ONCE: usize = 4;

impl Reconcile<'_> {
    /// Drops every relationship whose copy is in no cache.
    pub(super) async fn relationships(&self, report: &mut Report) -> Result<(), ReconcileError> {
        let caches = self.hooks.caches.iter().count();
        report.relationships.skipped = if caches == 0 {
            Some("no caches are configured".to_owned())
        } else if !report.unscannable.is_empty() {
            Some(format!("not every cache tells what it holds: {}", report.unscannable.join(", ")))
        } else {
            None
        };
        if report.relationships.skipped.is_some() {
            return Ok(());
        }
        (report.stage, report.share_done) = ("relationships".to_owned(), None);
        let (mut from, mut pace) = (Some(EntityCursor::default()), Pace::begin(self.hooks.clock));
        while let Some(cursor) = from {
            let page = self.hooks.relations.entities(&cursor, ENTITIES_PER_STEP).await?;
            pace.keep(self.cancelled).await.ok_or(ReconcileError::Cancelled)?;
            for entities in page.entities.chunks(ENTITIES_AT_ONCE) {
                self.of_entities(entities, &mut pace, report).await?;
            }
            from = page.next;
        }
        Ok(())
    }

    /// Walks several entities together: most have few members, and each question is a round trip.
    async fn of_entities(
        &self,
        entities: &[Entity],
        pace: &mut Pace,
        report: &mut Report,
    ) -> Result<(), ReconcileError> {
        let relations = &self.hooks.relations;
        let mut open: Vec<(&Entity, Position)> =
            entities.iter().map(|entity| (entity, Position::default())).collect();
        while !open.is_empty() {
            let walks: Vec<_> =
                open.iter().map(|(entity, from)| relations.walk(entity, *from, MEMBERS_PER_STEP)).collect();
            let pages: Vec<_> = stream::iter(walks).buffered(WALKS_AT_ONCE).try_collect().await?;
            let (mut held, mut further) = (Vec::new(), Vec::new());
            for ((entity, _), page) in open.into_iter().zip(pages) {
                held.extend(page.held.into_iter().map(|held| (entity, held)));
                further.extend(page.next.map(|next| (entity, next)));
            }
            self.drop_without_copy(held, &mut report.relationships).await?;
            (self.progress)(report);
            pace.keep(self.cancelled).await.ok_or(ReconcileError::Cancelled)?;
            open = further;
        }
        Ok(())
    }

    async fn drop_without_copy(
        &self,
        held: Vec<(&Entity, Held)>,
        counts: &mut RelationshipReport,
    ) -> Result<(), ReconcileError> {
        counts.walked += held.len() as u64;
        let gone = self.without_copy(held, counts).await?;
        counts.without_copy += gone.len() as u64;
        if self.plan.dry_run {
            return Ok(());
        }
        for of_entity in gone.chunk_by(|one, other| one.0 == other.0) {
            let members: Vec<_> = of_entity.iter().map(|(_, member)| member.clone()).collect();
            // Its copy may have been deleted a moment ago, and a failover may bring it back.
            let linger = self.hooks.window.span();
            counts.dropped += self.hooks.relations.forget(of_entity[0].0, &members, linger).await? as u64;
        }
        Ok(())
    }

    /// The members that have no copy anywhere. Counts those whose copies cannot be named: also of a resource that was
    /// removed.
    async fn without_copy<'e>(
        &self,
        held: Vec<(&'e Entity, Held)>,
        counts: &mut RelationshipReport,
    ) -> Result<Vec<(&'e Entity, (Member, Stamp))>, ReconcileError> {
        let holders: Vec<_> = held.iter().map(|(_, held)| held.member.holder).collect();
        let vault = self.hooks.relations.vault(&holders).await?;
        let (now, mut members, mut keys) = (self.hooks.clock.now(), Vec::new(), Vec::new());
        for ((entity, held), sealed) in held.into_iter().zip(vault) {
            let entry = sealed.and_then(|sealed| self.hooks.keys.open(held.member.holder, &sealed).ok());
            let named = entry.zip(self.hooks.resources.get(&entity.resource_type));
            match named
                .and_then(|(entry, resource)| copy_keys(resource, entity, &held.member, &entry.token, now))
            {
                None => counts.unreadable += 1,
                Some(_) if self.may_be_filled(entity, &held) => counts.too_young += 1,
                Some(copies) => {
                    members.push((entity, (held.member, held.stamp), copies.len()));
                    keys.extend(copies);
                }
            }
        }
        let mut there = self.there(&keys).await?.into_iter();
        members.retain(|(.., copies)| !there.by_ref().take(*copies).fold(false, |any, there| any | there));
        Ok(members.into_iter().map(|(entity, member, _)| (entity, member)).collect())
    }

    /// Whether a member's copy may be filled yet by a cache that fills late (DESIGN 7, rule 11), so that to find none says
    /// nothing.
    fn may_be_filled(&self, entity: &Entity, held: &Held) -> bool {
        let resource = self.hooks.resources.get(&entity.resource_type);
        resource.and_then(|resource| resource.recheck).is_some_and(|recheck| held.age <= recheck)
    }

    /// Whether each copy is in any cache.
    async fn there(&self, keys: &[CopyKey]) -> Result<Vec<bool>, ReconcileError> {
        let mut there = vec![false; keys.len()];
        for cache in self.hooks.caches.iter() {
            // Without one that does not tell: with it nothing is dropped at all.
            let Some(inspect) = cache.inspect() else { continue };
            let failed = |error| ReconcileError::Cache { name: cache.name().to_owned(), error };
            let lives = inspect.lives(keys).await.map_err(failed)?;
            there.iter_mut().zip(lives).for_each(|(there, life)| *there |= life != Life::Gone);
        }
        Ok(there)
    }
}
