//! The index by holder: a holder's entries stand in buckets as an entity's members do, under the holder's own keys, and the
//! same scripts serve both.

use std::time::Duration;

use deadpool_redis::redis;

use super::{MEMBERS_PER_CALL, MERGES_PER_CALL, RedisStore, ends_at, scripts::Script, seconds};
use crate::{
    relations::{HeldEntity, Holding, HoldingsPage, Position, Stamp, StoreError},
    secret::HolderId,
};

impl RedisStore {
    fn holder_keys(&self, holder: HolderId) -> [String; 2] {
        [self.keys.stale_of_holder(holder), self.keys.entities_of(holder)]
    }

    pub(super) async fn entries_from(
        &self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> Result<HoldingsPage, StoreError> {
        let mut page = self.entries_page(holder, from, limit).await?;
        // A stretch of empty buckets is no page.
        while let (true, Some(next)) = (page.held.is_empty(), page.next) {
            page = self.entries_page(holder, next, limit).await?;
        }
        Ok(page)
    }

    async fn entries_page(
        &self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> Result<HoldingsPage, StoreError> {
        let call = Script::Walk.call(&self.holder_keys(holder));
        let buckets = self.read_buckets(call, from, limit).await?;
        let mut held = Vec::with_capacity(limit);
        for (field, value) in buckets.living() {
            let holding = Holding::from_field(field).ok_or(StoreError::Unreadable("holder's entry"))?;
            held.push((
                holding.position(),
                HeldEntity { holding, stamp: Stamp(value), expires_at: ends_at(value) },
            ));
        }
        // A bucket may hold what stands before the position.
        held.retain(|(position, _)| *position >= from);
        held.sort_by(|(a, one), (b, other)| (a, &one.holding).cmp(&(b, &other.holding)));
        Ok(HoldingsPage { held: held.into_iter().map(|(_, held)| held).collect(), next: buckets.next })
    }

    /// Gives back room at the same time: a bounded amount of it, and later recordings the rest.
    pub(super) async fn release_entries(
        &self,
        holder: HolderId,
        holdings: &[(Holding, Stamp)],
        linger: Duration,
    ) -> Result<usize, StoreError> {
        if holdings.is_empty() {
            return Ok(0);
        }
        let (mut pipeline, keys) = (redis::pipe(), self.holder_keys(holder));
        for chunk in holdings.chunks(MEMBERS_PER_CALL) {
            let mut call = Script::ForgetEntities.call(&keys);
            call.arg(seconds(linger));
            for (holding, stamp) in chunk {
                call.arg(holding.to_field()).arg(&stamp.0.to_be_bytes());
            }
            pipeline.add_command(call);
        }
        let mut compact = Script::Compact.call(&keys);
        compact.arg(MERGES_PER_CALL);
        pipeline.add_command(compact).ignore();
        Ok(self.query::<Vec<usize>>(pipeline).await?.into_iter().sum())
    }
}
