//! The index by holder: a holder's entries stand in buckets as an entity's members do, under the holder's own keys, and the
//! same scripts serve both.

use std::time::Duration;

use deadpool_redis::redis::{self, Cmd};

use super::{
    BUCKETS_PER_CALL, Buckets, MEMBERS_PER_CALL, MERGES_PER_CALL, RedisStore, ends_at, scripts::Script,
    seconds,
};
use crate::{
    relations::{HeldEntity, Holding, HoldingsPage, Position, Recording, Stamp, StoreError},
    secret::HolderId,
};

/// The two ends of relationships, each of which is recorded.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// At their entities.
    Members,
    /// At their holders.
    Entries,
}

impl Side {
    /// The recordings of one entity, or holder, beside each other; and each one's place in `batch`.
    pub(super) fn sorted(self, batch: &[Recording]) -> (Vec<usize>, Vec<&Recording>) {
        let mut order: Vec<usize> = (0..batch.len()).collect();
        match self {
            Self::Members => order.sort_by(|a, b| batch[*a].entity.cmp(&batch[*b].entity)),
            Self::Entries => order.sort_by_key(|index| batch[*index].member.holder),
        }
        let sorted = order.iter().map(|index| &batch[*index]).collect();
        (order, sorted)
    }

    fn meet(self, one: &Recording, other: &Recording) -> bool {
        match self {
            Self::Members => one.entity == other.entity,
            Self::Entries => one.member.holder == other.member.holder,
        }
    }

    fn script(self) -> Script {
        match self {
            Self::Members => Script::Record,
            Self::Entries => Script::RecordEntities,
        }
    }

    fn field(self, recording: &Recording) -> Vec<u8> {
        match self {
            Self::Members => recording.member.to_field(),
            Self::Entries => {
                let variant = recording.member.variant.clone();
                Holding { entity: recording.entity.clone(), variant }.to_field()
            }
        }
    }
}

impl RedisStore {
    /// One call for several entities or holders; the recordings of one stand together.
    pub(super) fn record_call(&self, side: Side, batch: &[&Recording]) -> Cmd {
        let groups: Vec<&[&Recording]> = batch.chunk_by(|a, b| side.meet(a, b)).collect();
        let keys: Vec<String> = groups.iter().flat_map(|group| self.keys_of(side, group[0])).collect();
        let mut call = side.script().call(&keys);
        for group in groups {
            call.arg(group.len());
            for recording in group {
                call.arg(side.field(recording)).arg(recording.expires_at.0.div_ceil(1000));
            }
        }
        call
    }

    fn keys_of(&self, side: Side, recording: &Recording) -> [String; 2] {
        match side {
            Side::Members => [self.keys.stale(&recording.entity), self.keys.buckets(&recording.entity)],
            Side::Entries => self.holder_keys(recording.member.holder),
        }
    }

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
        let mut call = Script::Walk.call(&self.holder_keys(holder));
        call.arg(from.0).arg(limit).arg(BUCKETS_PER_CALL);
        let Buckets { living, next, .. } = self.read_buckets(call).await?;
        let mut held = Vec::with_capacity(living.len());
        for (field, value) in living {
            let holding = Holding::from_field(&field).ok_or(StoreError::Unreadable("holder's entry"))?;
            held.push((
                holding.position(),
                HeldEntity { holding, stamp: Stamp(value), expires_at: ends_at(value) },
            ));
        }
        // A bucket may hold what stands before the position.
        held.retain(|(position, _)| *position >= from);
        held.sort_by(|(a, one), (b, other)| (a, &one.holding).cmp(&(b, &other.holding)));
        Ok(HoldingsPage { held: held.into_iter().map(|(_, held)| held).collect(), next })
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
        Ok(self.query::<Vec<usize>>(&pipeline).await?.into_iter().sum())
    }
}
