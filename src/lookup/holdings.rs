//! What one holder holds.

use super::{
    Lookup,
    cursor::{check_of, parse_checked, to_checked},
};
use crate::{
    clock::Timestamp,
    event::Entity,
    relations::{Held, HeldEntity, Holding, Position, StoreError},
    secret::HolderId,
};

/// Entries that one step reads at least.
const STEP: usize = 64;
/// Steps for one page: entries that have lost their member are passed over, and there may be very many of them.
const STEPS_PER_PAGE: usize = 32;

/// A page of what a holder holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldingsView {
    /// In an order that stays as relationships come and go. A page may be short, or empty, and yet not the last.
    pub items: Vec<HoldingView>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// One relationship, from its holder's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldingView {
    /// What is held.
    pub entity: Entity,
    /// When the relationship ends.
    pub expires_at: Timestamp,
    /// For a variant: its key template, with `{access_token}` unexpanded.
    pub cache_key: Option<Box<str>>,
}

/// Why a page could not be given.
#[derive(Debug, thiserror::Error)]
pub enum HoldingsError {
    /// The index is not by holder.
    #[error("the index is not kept by holder: store.by_holder is off")]
    NotByHolder,
    /// The cursor is not one that this holder's pages gave.
    #[error("the cursor is not one that a page of what this holder holds gave as `next`")]
    Cursor,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The last entry that was looked at for a page.
struct Cursor(Position, Holding);

impl Cursor {
    fn at(holding: &Holding) -> Self {
        Self(holding.position(), holding.clone())
    }

    fn parse(text: &str, holder: HolderId) -> Option<Self> {
        let field = parse_checked(text, |field| check(holder, field))?;
        let holding = Holding::from_field(&field)?;
        // The position is part of the text, and nobody else checks it.
        (holding.to_field() == field).then(|| Self::at(&holding))
    }

    fn is_before(&self, holding: &Holding) -> bool {
        (self.0, &self.1) < (holding.position(), holding)
    }
}

fn check(holder: HolderId, field: &[u8]) -> [u8; 4] {
    check_of(&[b"holder", &holder.0, field])
}

impl Lookup {
    /// Refuses where nobody knows what a holder holds.
    ///
    /// # Errors
    /// [`HoldingsError::NotByHolder`].
    pub fn needs_by_holder(&self) -> Result<(), HoldingsError> {
        self.relations.by_holder().then_some(()).ok_or(HoldingsError::NotByHolder)
    }

    /// Up to `limit` relationships of a holder after `cursor`, or from the beginning. What is held during all of the
    /// paging is shown exactly once.
    ///
    /// # Errors
    /// [`HoldingsError`].
    pub async fn entities_of(
        &self,
        holder: HolderId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<HoldingsView, HoldingsError> {
        self.needs_by_holder()?;
        let mut after = match cursor {
            Some(text) => Some(Cursor::parse(text, holder).ok_or(HoldingsError::Cursor)?),
            None => None,
        };
        let (mut found, mut from) = (Vec::new(), Some(after.as_ref().map_or(Position(0), |it| it.0)));
        for _ in 0..STEPS_PER_PAGE {
            let Some(position) = from.filter(|_| found.len() <= limit) else { break };
            let step = (limit + 1 - found.len()).max(STEP);
            let page = self.relations.entities_of(holder, position, step).await?;
            let mut entries = page.held;
            // A page may begin before the position asked for: with the whole of the bucket that holds it.
            entries.retain(|entry| after.as_ref().is_none_or(|last| last.is_before(&entry.holding)));
            after = entries.last().map(|last| Cursor::at(&last.holding)).or(after);
            found.extend(self.living(holder, entries).await?);
            from = page.next;
        }
        let last_looked_at = after.filter(|_| from.is_some()).map(|cursor| cursor.1);
        let last_shown = (found.len() > limit).then(|| found[limit.saturating_sub(1)].0.clone());
        let next = last_shown.or(last_looked_at).map(|last| {
            let field = last.to_field();
            to_checked(&check(holder, &field), &field)
        });
        found.truncate(limit);
        Ok(HoldingsView { items: found.into_iter().map(view).collect(), next })
    }

    /// Those of the entries that have a member still.
    async fn living(
        &self,
        holder: HolderId,
        entries: Vec<HeldEntity>,
    ) -> Result<Vec<(Holding, Held)>, StoreError> {
        let relationships: Vec<_> =
            entries.iter().map(|it| (it.holding.entity.clone(), it.holding.member(holder))).collect();
        let members = self.relations.held(&relationships).await?;
        Ok(entries
            .into_iter()
            .zip(members)
            .filter_map(|(entry, held)| Some((entry.holding, held?)))
            .collect())
    }
}

fn view((Holding { entity, variant }, held): (Holding, Held)) -> HoldingView {
    HoldingView { entity, expires_at: held.expires_at, cache_key: variant }
}
