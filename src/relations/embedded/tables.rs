//! The tables, how their keys are written, and everything that is done to them in a write transaction.
//!
//! A member's key is its entity's key, its position (4 bytes, big endian) and its field, so that a walk is one range
//! of the tree. No part of an entity holds a NUL, which ends each: so no entity's key is the beginning of another's.

use std::{ops::Bound, time::Duration};

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{is_dead, time::StoreTime};
use crate::{
    clock::Timestamp,
    event::Entity,
    relations::{Member, Position, Recorded, Recording, Stale, StaleMark, Stamp},
};

/// What the tables below are called together; another layout gets another one.
pub(super) const FORMAT: &str = "1";

/// Member key -> when it ends, stamp.
pub(super) const MEMBERS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("members");
/// Holder id -> when it ends, sealed entry.
pub(super) const VAULT: TableDefinition<'_, &[u8], (u64, &[u8])> = TableDefinition::new("vault");
/// Entity key -> when it ends, [`Stale::at`], [`Stale::generation`].
pub(super) const STALE: TableDefinition<'_, &[u8], (u64, u64, u64)> = TableDefinition::new("stale");
/// `stamp`: the last one given, a time in microseconds, or more where several were given at once. `latest`: [`StoreTime::latest`].
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
/// `format`, the `fingerprint` of the secret, and `index`, the marker.
pub(super) const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// How long a vault entry outlives its last relationship.
const VAULT_OUTLIVES: Duration = Duration::from_secs(60);
/// How many neighbours a recording looks at to remove dead ones: more than the one that it may add, so that the dead
/// do not pile up where sweeps are rare.
const TRIM: usize = 2;

pub(super) type Result<T> = std::result::Result<T, redb::Error>;

pub(super) fn entity_key(entity: &Entity) -> Vec<u8> {
    [entity.resource_type.as_bytes(), &[0], entity.id.as_bytes(), &[0]].concat()
}

/// Where the keys of an entity's members from a position on begin, and where they have ended.
pub(super) fn member_range(entity: &Entity, from: Position) -> (Vec<u8>, Vec<u8>) {
    let (mut first, mut end) = (entity_key(entity), entity_key(entity));
    first.extend_from_slice(&from.0.to_be_bytes());
    end.pop();
    end.push(1);
    (first, end)
}

/// The member that a key of this entity names, and its position.
pub(super) fn parse_member(entity_key: &[u8], key: &[u8]) -> Result<(Position, Member)> {
    key.strip_prefix(entity_key)
        .and_then(<[u8]>::split_first_chunk::<4>)
        .and_then(|(position, field)| {
            Some((Position(u32::from_be_bytes(*position)), Member::from_field(field)?))
        })
        .ok_or_else(|| redb::Error::Corrupted("a member's key cannot be read".to_owned()))
}

/// The entity that a member's key begins with.
pub(super) fn parse_entity(key: &[u8]) -> Result<Entity> {
    let mut parts = key.splitn(3, |byte| *byte == 0).map(|part| std::str::from_utf8(part).ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(resource_type), Some(id)) => Ok(Entity { resource_type: resource_type.into(), id: id.into() }),
        _ => Err(redb::Error::Corrupted("an entity's key cannot be read".to_owned())),
    }
}

pub(super) fn member_key(entity: &Entity, member: &Member) -> Vec<u8> {
    let (mut key, _) = member_range(entity, member.position());
    key.extend_from_slice(&member.to_field());
    key
}

/// All tables in one write transaction.
pub(super) struct Tables<'txn> {
    pub(super) members: Table<'txn, &'static [u8], (u64, u64)>,
    pub(super) vault: Table<'txn, &'static [u8], (u64, &'static [u8])>,
    pub(super) stale: Table<'txn, &'static [u8], (u64, u64, u64)>,
    counters: Table<'txn, &'static str, u64>,
    meta: Table<'txn, &'static str, &'static str>,
    pub(super) time: &'txn StoreTime,
    stamp: u64,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction, time: &'txn StoreTime) -> Result<Self> {
        let counters = txn.open_table(COUNTERS)?;
        let stamp = counters.get("stamp")?.map_or(0, |row| row.value());
        Ok(Self {
            members: txn.open_table(MEMBERS)?,
            vault: txn.open_table(VAULT)?,
            stale: txn.open_table(STALE)?,
            counters,
            meta: txn.open_table(META)?,
            time,
            stamp,
        })
    }

    /// Writes the counters back: to be called last, so that a stamp is committed with whatever bears it.
    pub(super) fn close(mut self) -> Result<()> {
        self.counters.insert("stamp", self.stamp)?;
        self.counters.insert("latest", self.time.latest())?;
        Ok(())
    }

    /// Marks a new database as a store of this format.
    pub(super) fn found(&mut self) -> Result<()> {
        self.meta.insert("format", FORMAT)?;
        Ok(())
    }

    /// The fingerprint that the store is tied to, which is this one where it was tied to none.
    pub(super) fn claim(&mut self, fingerprint: &str) -> Result<String> {
        let known = self.meta.get("fingerprint")?.map(|row| row.value().to_owned());
        if let Some(known) = known {
            return Ok(known);
        }
        self.meta.insert("fingerprint", fingerprint)?;
        Ok(fingerprint.to_owned())
    }

    pub(super) fn marker(&self) -> Result<Option<String>> {
        Ok(self.meta.get("index")?.map(|row| row.value().to_owned()))
    }

    pub(super) fn mark(&mut self, expected: Option<&str>, new: &str) -> Result<String> {
        match self.marker()? {
            Some(there) if Some(&*there) != expected => Ok(there),
            _ => {
                self.meta.insert("index", new)?;
                Ok(new.to_owned())
            }
        }
    }

    pub(super) fn record(&mut self, batch: &[Recording]) -> Result<Vec<Recorded>> {
        let now = self.time.now();
        batch.iter().map(|recording| self.record_one(recording, now)).collect()
    }

    fn record_one(&mut self, recording: &Recording, now: Timestamp) -> Result<Recorded> {
        self.extend_vault(recording)?;
        let key = member_key(&recording.entity, &recording.member);
        let known = self.members.get(key.as_slice())?.map_or(0, |row| row.value().0);
        self.stamp = (self.stamp + 1).max(now.0.saturating_mul(1000));
        self.members.insert(key.as_slice(), (known.max(recording.expires_at.0), self.stamp))?;
        self.trim(&recording.entity, &key, now)?;
        let row = self.stale_row(&recording.entity)?;
        let generation = row.map_or(0, |(_, stale)| stale.generation).max(self.time.latest());
        let stale = row.filter(|(ends, _)| !is_dead(*ends, now)).map(|(_, stale)| stale);
        Ok(Recorded { stamp: Stamp(self.stamp), stale, generation })
    }

    fn extend_vault(&mut self, recording: &Recording) -> Result<()> {
        let holder = recording.member.holder.0.as_slice();
        let known = self.vault.get(holder)?.map(|row| (row.value().0, row.value().1.to_vec()));
        let ends = recording.expires_at.after(VAULT_OUTLIVES).0;
        match known {
            Some((known, sealed)) if !recording.names_holder => {
                self.vault.insert(holder, (ends.max(known), sealed.as_slice()))?
            }
            known => {
                let known = known.map_or(0, |(known, _)| known);
                self.vault.insert(holder, (ends.max(known), recording.vault.0.as_slice()))?
            }
        };
        Ok(())
    }

    fn trim(&mut self, entity: &Entity, key: &[u8], now: Timestamp) -> Result<()> {
        let (_, end) = member_range(entity, Position(0));
        let mut dead = Vec::new();
        let after = (Bound::Excluded(key), Bound::Excluded(end.as_slice()));
        for row in self.members.range::<&[u8]>(after)?.take(TRIM) {
            let (key, value) = row?;
            if is_dead(value.value().0, now) {
                dead.push(key.value().to_vec());
            }
        }
        for key in dead {
            self.members.remove(key.as_slice())?;
        }
        Ok(())
    }

    /// A new generation is above the one before and above every one that was given to a read: a read that asked in
    /// this very millisecond has the clock's, so the new one is a millisecond ahead of it, and of another
    /// invalidation in the same millisecond by the first half of the rule.
    pub(super) fn invalidate(&mut self, entity: &Entity, mark: StaleMark) -> Result<Stale> {
        let now = self.time.now();
        let above = self.time.latest() + 1;
        let row = self.stale_row(entity)?;
        let generation = row.map_or(above, |(_, before)| above.max(before.generation + 1));
        let (mut ends, mut at) = (now.after(mark.life).0, mark.at);
        if let Some((known_ends, before)) = row.filter(|(ends, _)| !is_dead(*ends, now)) {
            (ends, at) = (ends.max(known_ends), at.max(before.at));
        }
        self.stale.insert(entity_key(entity).as_slice(), (ends, at.0, generation))?;
        Ok(Stale { at, generation })
    }

    fn stale_row(&self, entity: &Entity) -> Result<Option<(u64, Stale)>> {
        stale_row(&self.stale, entity)
    }

    pub(super) fn forget(
        &mut self,
        entity: &Entity,
        members: &[(Member, Stamp)],
        linger: Duration,
    ) -> Result<usize> {
        let (mut found, ends) = (0, self.time.now().after(linger).0);
        for (member, stamp) in members {
            let key = member_key(entity, member);
            let known = self.members.get(key.as_slice())?.map(|row| row.value());
            match known.filter(|(_, known)| *known == stamp.0) {
                None => continue,
                Some(_) if linger.is_zero() => drop(self.members.remove(key.as_slice())?),
                Some((known, stamp)) => drop(self.members.insert(key.as_slice(), (known.min(ends), stamp))?),
            }
            found += 1;
        }
        Ok(found)
    }
}

/// When an entity's `stale` ends, and what it says, whether that is over or not.
pub(super) fn stale_row(
    table: &impl ReadableTable<&'static [u8], (u64, u64, u64)>,
    entity: &Entity,
) -> Result<Option<(u64, Stale)>> {
    let row = table.get(entity_key(entity).as_slice())?;
    Ok(row.map(|row| {
        let (ends, at, generation) = row.value();
        (ends, Stale { at: Timestamp(at), generation })
    }))
}
