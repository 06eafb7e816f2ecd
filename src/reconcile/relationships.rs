//! Relationships without a copy.

use super::{Reconcile, ReconcileError, Report, pace::Pace};
use crate::{
    caches::{CopyKey, Life},
    event::Entity,
    hooks::copy_keys,
    relations::{EntityCursor, Held, Member, Position, Stamp},
    resource::Resource,
};

/// Entities and members that are looked at in one step.
const ENTITIES_PER_STEP: usize = 256;
const MEMBERS_PER_STEP: usize = 256;

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
            for entity in &page.entities {
                self.of_entity(entity, &mut pace, report).await?;
            }
            from = page.next;
        }
        Ok(())
    }

    async fn of_entity(
        &self,
        entity: &Entity,
        pace: &mut Pace,
        report: &mut Report,
    ) -> Result<(), ReconcileError> {
        let mut from = Some(Position::default());
        while let Some(position) = from {
            let page = self.hooks.relations.walk(entity, position, MEMBERS_PER_STEP).await?;
            let counts = &mut report.relationships;
            counts.walked += page.held.len() as u64;
            match self.hooks.resources.get(&entity.resource_type) {
                // A template that was removed is purged for a while yet (DESIGN 7, rule 12).
                None => counts.unreadable += page.held.len() as u64,
                Some(resource) => {
                    let (gone, unreadable) = self.without_copy(entity, resource, page.held).await?;
                    counts.unreadable += unreadable;
                    counts.without_copy += gone.len() as u64;
                    // Its copy may have been deleted a moment ago, and a failover may bring it back.
                    let linger = self.hooks.window.span();
                    if !self.plan.dry_run && !gone.is_empty() {
                        counts.dropped += self.hooks.relations.forget(entity, &gone, linger).await? as u64;
                    }
                }
            }
            (self.progress)(report);
            pace.keep(self.cancelled).await.ok_or(ReconcileError::Cancelled)?;
            from = page.next;
        }
        Ok(())
    }

    /// The members that have no copy anywhere, and how many there are whose copies cannot be named.
    async fn without_copy(
        &self,
        entity: &Entity,
        resource: &Resource,
        held: Vec<Held>,
    ) -> Result<(Vec<(Member, Stamp)>, u64), ReconcileError> {
        let holders: Vec<_> = held.iter().map(|held| held.member.holder).collect();
        let vault = self.hooks.relations.vault(&holders).await?;
        let (mut members, mut keys, mut unreadable) = (Vec::new(), Vec::new(), 0);
        for (held, sealed) in held.into_iter().zip(vault) {
            let entry = sealed.and_then(|sealed| self.hooks.keys.open(held.member.holder, &sealed).ok());
            match entry.and_then(|entry| copy_keys(resource, entity, &held.member, &entry.token)) {
                None => unreadable += 1,
                Some(copies) => {
                    members.push((held.member, held.stamp, copies.len()));
                    keys.extend(copies);
                }
            }
        }
        let mut there = self.there(&keys).await?.into_iter();
        members.retain(|(.., copies)| !there.by_ref().take(*copies).fold(false, |any, there| any | there));
        Ok((members.into_iter().map(|(member, stamp, _)| (member, stamp)).collect(), unreadable))
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
