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
    relations::{Holding, Member, Position, Recorded, Recording, Stale, StaleMark, Stamp},
    secret::HolderId,
};

/// What the tables below are called together; another layout gets another one.
pub(super) const FORMAT: &str = "1";

/// Member key -> when it ends, stamp.
pub(super) const MEMBERS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("members");
/// Holder id and a holding's field, which begins with its position -> when it ends, stamp.
pub(super) const HOLDINGS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("holdings");
/// Holder id -> when it ends, the holder's own [`Stale::at`].
pub(super) const REVOKED: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("revoked");
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

/// Where the keys of a holder's entries from a position on begin.
pub(super) fn holdings_from(holder: HolderId, from: Position) -> Vec<u8> {
    [holder.0.as_slice(), &from.0.to_be_bytes()].concat()
}

/// Behind all keys of a holder's entries: their text is UTF-8, which has no such byte.
pub(super) fn holdings_end(holder: HolderId) -> Vec<u8> {
    [holder.0.as_slice(), &[u8::MAX; 5]].concat()
}

/// The holding that a key of a holder's names, and its position.
pub(super) fn parse_holding(key: &[u8]) -> Result<(Position, Holding)> {
    key.get(16..)
        .and_then(|field| {
            let position = field.first_chunk::<4>()?;
            Some((Position(u32::from_be_bytes(*position)), Holding::from_field(field)?))
        })
        .ok_or_else(|| redb::Error::Corrupted("a holder's entry cannot be read".to_owned()))
}

fn holding_key(holder: HolderId, holding: &Holding) -> Vec<u8> {
    [holder.0.as_slice(), &holding.to_field()].concat()
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
    pub(super) holdings: Table<'txn, &'static [u8], (u64, u64)>,
    pub(super) revoked: Table<'txn, &'static [u8], (u64, u64)>,
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
            holdings: txn.open_table(HOLDINGS)?,
            revoked: txn.open_table(REVOKED)?,
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

    /// `by_holder`: also what each holder holds.
    pub(super) fn record(&mut self, batch: &[Recording], by_holder: bool) -> Result<Vec<Recorded>> {
        let now = self.time.now();
        let record = |recording| {
            let recorded = self.record_one(recording, now)?;
            let revoked = if by_holder { self.record_holding(recording, now)? } else { None };
            Ok(Recorded { revoked, ..recorded })
        };
        batch.iter().map(record).collect()
    }

    fn record_one(&mut self, recording: &Recording, now: Timestamp) -> Result<Recorded> {
        self.extend_vault(recording)?;
        let key = member_key(&recording.entity, &recording.member);
        let known = self.members.get(key.as_slice())?.map_or(0, |row| row.value().0);
        self.stamp = (self.stamp + 1).max(now.0.saturating_mul(1000));
        self.members.insert(key.as_slice(), (known.max(recording.expires_at.0), self.stamp))?;
        let (_, end) = member_range(&recording.entity, Position(0));
        trim(&mut self.members, &key, &end, now)?;
        let row = self.stale_row(&recording.entity)?;
        let generation = row.map_or(0, |(_, stale)| stale.generation).max(self.time.latest());
        let stale = row.filter(|(ends, _)| !is_dead(*ends, now)).map(|(_, stale)| stale);
        Ok(Recorded { stamp: Stamp(self.stamp), stale, generation, revoked: None })
    }

    /// Writes the holder's entry with the member's stamp. Returns the holder's own `stale`.
    fn record_holding(&mut self, recording: &Recording, now: Timestamp) -> Result<Option<Timestamp>> {
        let holder = recording.member.holder;
        let variant = recording.member.variant.clone();
        let key = holding_key(holder, &Holding { entity: recording.entity.clone(), variant });
        let known = self.holdings.get(key.as_slice())?.map_or(0, |row| row.value().0);
        self.holdings.insert(key.as_slice(), (known.max(recording.expires_at.0), self.stamp))?;
        trim(&mut self.holdings, &key, &holdings_end(holder), now)?;
        let row = self.revoked.get(holder.0.as_slice())?.map(|row| row.value());
        Ok(row.filter(|(ends, _)| !is_dead(*ends, now)).map(|(_, at)| Timestamp(at)))
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

    /// Writes a holder's own `stale`, and answers what it is now.
    pub(super) fn revoke(&mut self, holder: HolderId, mark: StaleMark) -> Result<Timestamp> {
        let now = self.time.now();
        let row = self.revoked.get(holder.0.as_slice())?.map(|row| row.value());
        let (mut ends, mut at) = (now.after(mark.life).0, mark.at);
        if let Some((known_ends, known_at)) = row.filter(|(ends, _)| !is_dead(*ends, now)) {
            (ends, at) = (ends.max(known_ends), at.max(Timestamp(known_at)));
        }
        self.revoked.insert(holder.0.as_slice(), (ends, at.0))?;
        Ok(at)
    }

    pub(super) fn release(
        &mut self,
        holder: HolderId,
        holdings: &[(Holding, Stamp)],
        linger: Duration,
    ) -> Result<usize> {
        let ends = self.end_of(linger);
        let rows = holdings.iter().map(|(holding, stamp)| (holding_key(holder, holding), *stamp));
        drop_same(&mut self.holdings, rows, ends)
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
        let ends = self.end_of(linger);
        let rows = members.iter().map(|(member, stamp)| (member_key(entity, member), *stamp));
        drop_same(&mut self.members, rows, ends)
    }

    /// When what is dropped ends; `None`: at once.
    fn end_of(&self, linger: Duration) -> Option<Timestamp> {
        (!linger.is_zero()).then(|| self.time.now().after(linger))
    }
}

/// Drops the rows that still have the stamp that was read, or has them end by then. Returns how many there were.
fn drop_same(
    table: &mut Table<'_, &'static [u8], (u64, u64)>,
    rows: impl Iterator<Item = (Vec<u8>, Stamp)>,
    ends: Option<Timestamp>,
) -> Result<usize> {
    let mut found = 0;
    for (key, stamp) in rows {
        let known = table.get(key.as_slice())?.map(|row| row.value());
        let Some((known, stamp)) = known.filter(|(_, known)| *known == stamp.0) else { continue };
        match ends {
            None => drop(table.remove(key.as_slice())?),
            Some(ends) => drop(table.insert(key.as_slice(), (known.min(ends.0), stamp))?),
        }
        found += 1;
    }
    Ok(found)
}

/// Removes the dead among the next few rows behind `key`.
fn trim(
    table: &mut Table<'_, &'static [u8], (u64, u64)>,
    key: &[u8],
    end: &[u8],
    now: Timestamp,
) -> Result<()> {
    let mut dead = Vec::new();
    let behind = (Bound::Excluded(key), Bound::Excluded(end));
    for row in table.range::<&[u8]>(behind)?.take(TRIM) {
        let (key, value) = row?;
        if is_dead(value.value().0, now) {
            dead.push(key.value().to_vec());
        }
    }
    for key in dead {
        table.remove(key.as_slice())?;
    }
    Ok(())
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
