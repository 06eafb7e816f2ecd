//! Questions about the index: how many hold an entity, who they are, when it was last invalidated.
//!
//! Reads only, and never an access token in an answer: a holder is shown by its id and the user that the vault names.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    event::{AccessToken, Entity},
    relations::{Held, Position, Relations, Sealed, StoreError},
    secret::{HolderId, Keys},
};

mod cursor;
mod holdings;
#[cfg(test)]
pub(crate) mod memory;

use cursor::Cursor;
pub use holdings::{HoldingView, HoldingsError, HoldingsView};

/// How many members one step of a count reads.
const COUNT_STEP: usize = 4096;

/// Answers questions about the index.
#[derive(Clone)]
pub struct Lookup {
    relations: Arc<dyn Relations>,
    keys: Arc<Keys>,
}

/// An entity at a glance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntityView {
    /// Living relationships: a holder with several variants counts once for each.
    pub holders: u64,
    /// When the last invalidation's write was committed, while that is remembered (`horizon` + 2 `guard`).
    pub last_invalidated: Option<Timestamp>,
    /// The generation that a read that begins now is under.
    pub generation: u64,
}

/// A page of an entity's holders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldersPage {
    /// The holders, in an order that stays as members come and go.
    pub items: Vec<HolderView>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// One relationship, as people may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HolderView {
    /// Who, by holder id.
    pub holder: HolderId,
    /// Who, by the name that the API gave, where it gave one.
    pub user_id: Option<Box<str>>,
    /// When the relationship ends.
    pub expires_at: Timestamp,
    /// For a variant: its key template, with `{access_token}` unexpanded.
    pub cache_key: Option<Box<str>>,
}

/// Why a page could not be given.
#[derive(Debug, thiserror::Error)]
pub enum HoldersError {
    /// The cursor is not one that this entity's pages gave.
    #[error("the cursor is not one that a page of this entity's holders gave as `next`")]
    Cursor,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lookup {
    /// Reads from this index; `keys` open its vault.
    pub fn new(relations: Arc<dyn Relations>, keys: Arc<Keys>) -> Self {
        Self { relations, keys }
    }

    /// The id that stands for a token, known or not.
    pub fn holder_id(&self, token: &AccessToken) -> HolderId {
        self.keys.holder_id(token)
    }

    /// An entity at a glance. One that was never read has zero holders.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer.
    pub async fn entity(&self, entity: &Entity) -> Result<EntityView, StoreError> {
        let staleness = self.relations.staleness(entity).await?;
        Ok(EntityView {
            holders: self.count(entity).await?,
            last_invalidated: staleness.stale.map(|stale| stale.at),
            generation: staleness.generation,
        })
    }

    /// An entity's living relationships, counted in steps so that no single store command grows with the entity.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer.
    pub async fn count(&self, entity: &Entity) -> Result<u64, StoreError> {
        let (mut count, mut from) = (0, Some(Position::default()));
        while let Some(position) = from {
            let page = self.relations.walk(entity, position, COUNT_STEP).await?;
            count += page.held.len() as u64;
            from = page.next;
        }
        Ok(count)
    }

    /// Up to `limit` holders after `cursor`, or from the beginning. Whoever is there during all of the paging is shown
    /// exactly once; others may come and go meanwhile.
    ///
    /// # Errors
    /// [`HoldersError`] where the cursor is not ours, or the store does not answer.
    pub async fn holders(
        &self,
        entity: &Entity,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<HoldersPage, HoldersError> {
        let after = match cursor {
            Some(text) => Some(Cursor::parse(text, entity).ok_or(HoldersError::Cursor)?),
            None => None,
        };
        let mut held = self.held_after(entity, after.as_ref(), limit.saturating_add(1)).await?;
        let more = held.len() > limit;
        held.truncate(limit);
        let next = held.last().filter(|_| more).map(|last| Cursor::at(&last.member).to_text(entity));
        Ok(HoldersPage { items: self.views(held).await?, next })
    }

    /// At least `wanted` members after a cursor, or all that there are.
    async fn held_after(
        &self,
        entity: &Entity,
        after: Option<&Cursor>,
        wanted: usize,
    ) -> Result<Vec<Held>, StoreError> {
        let mut found = Vec::new();
        let mut from = Some(after.map(Cursor::position).unwrap_or_default());
        while let Some(position) = from.filter(|_| found.len() < wanted) {
            let page = self.relations.walk(entity, position, wanted - found.len()).await?;
            // A walk may begin before the position asked for: with the whole of the bucket that holds it.
            found.extend(
                page.held.into_iter().filter(|held| after.is_none_or(|last| last.is_before(&held.member))),
            );
            from = page.next;
        }
        Ok(found)
    }

    async fn views(&self, held: Vec<Held>) -> Result<Vec<HolderView>, StoreError> {
        let holders: Vec<HolderId> = held.iter().map(|held| held.member.holder).collect();
        let vault = self.relations.vault(&holders).await?;
        let view = |(held, sealed): (Held, Option<Sealed>)| HolderView {
            holder: held.member.holder,
            user_id: sealed.and_then(|sealed| self.user_id(held.member.holder, &sealed)),
            expires_at: held.expires_at,
            cache_key: held.member.variant,
        };
        Ok(held.into_iter().zip(vault).map(view).collect())
    }

    fn user_id(&self, holder: HolderId, sealed: &Sealed) -> Option<Box<str>> {
        match self.keys.open(holder, sealed) {
            Ok(entry) => entry.user_id,
            Err(error) => {
                tracing::warn!(%holder, %error, "a vault entry does not open");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
