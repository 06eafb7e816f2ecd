//! What is read from a snapshot.

use redb::{ReadTransaction, TableError};

use super::{
    is_dead,
    tables::{self, Result},
    time::StoreTime,
};
use crate::{
    clock::Timestamp,
    event::Entity,
    relations::{
        AsRead, EntityCursor, EntityPage, Held, HeldEntity, HoldingsPage, Member, Page, Position, Sealed,
        Staleness, Stamp,
    },
    secret::HolderId,
};

/// The store's format; `None` for another program's database.
pub(super) fn format(txn: &ReadTransaction) -> Result<Option<String>> {
    match txn.open_table(tables::META) {
        Ok(meta) => Ok(meta.get("format")?.map(|row| row.value().to_owned())),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The latest time that the store was written at.
pub(super) fn latest(txn: &ReadTransaction) -> Result<u64> {
    Ok(txn.open_table(tables::COUNTERS)?.get("latest")?.map_or(0, |row| row.value()))
}

pub(super) fn staleness(txn: &ReadTransaction, entity: &Entity, time: &StoreTime) -> Result<Staleness> {
    let row = tables::stale_row(&txn.open_table(tables::STALE)?, entity)?;
    let generation = row.map_or(0, |(_, stale)| stale.generation).max(time.latest());
    let stale = row.filter(|(ends, _)| !is_dead(*ends, time.now())).map(|(_, stale)| stale);
    Ok(Staleness { stale, generation })
}

/// All living members of as many positions as it takes to have `limit`: a page ends where a position does, so that
/// the next can begin there.
pub(super) fn walk(
    txn: &ReadTransaction,
    entity: &Entity,
    from: Position,
    limit: usize,
    now: Timestamp,
) -> Result<Page> {
    let (prefix, (first, end)) = (tables::entity_key(entity), tables::member_range(entity, from));
    let (mut held, mut last) = (Vec::new(), None);
    for row in txn.open_table(tables::MEMBERS)?.range(first.as_slice()..end.as_slice())? {
        let (key, value) = row?;
        let (expires_at, stamp) = value.value();
        if is_dead(expires_at, now) {
            continue;
        }
        let (position, member) = tables::parse_member(&prefix, key.value())?;
        if held.len() >= limit && last != Some(position) {
            return Ok(Page { held, next: Some(position), read: AsRead::default() });
        }
        last = Some(position);
        let age = now.since(Timestamp(stamp.div_ceil(1000)));
        held.push(Held { member, stamp: Stamp(stamp), expires_at: Timestamp(expires_at), age });
    }
    Ok(Page { held, next: None, read: AsRead::default() })
}

/// As [`walk`], of what a holder holds.
pub(super) fn entities_of(
    txn: &ReadTransaction,
    holder: HolderId,
    from: Position,
    limit: usize,
    now: Timestamp,
) -> Result<HoldingsPage> {
    let (first, end) = (tables::holdings_from(holder, from), tables::holdings_end(holder));
    let (mut held, mut last) = (Vec::new(), None);
    for row in txn.open_table(tables::HOLDINGS)?.range(first.as_slice()..end.as_slice())? {
        let (key, value) = row?;
        let (expires_at, stamp) = value.value();
        if is_dead(expires_at, now) {
            continue;
        }
        let (position, holding) = tables::parse_holding(key.value())?;
        if held.len() >= limit && last != Some(position) {
            return Ok(HoldingsPage { held, next: Some(position) });
        }
        last = Some(position);
        held.push(HeldEntity { holding, stamp: Stamp(stamp), expires_at: Timestamp(expires_at) });
    }
    Ok(HoldingsPage { held, next: None })
}

pub(super) fn held(
    txn: &ReadTransaction,
    wanted: &[(Entity, Member)],
    now: Timestamp,
) -> Result<Vec<Option<Held>>> {
    let members = txn.open_table(tables::MEMBERS)?;
    let held = |(entity, member): &(Entity, Member)| {
        let row = members.get(tables::member_key(entity, member).as_slice())?.map(|row| row.value());
        Ok(row.filter(|(ends, _)| !is_dead(*ends, now)).map(|(ends, stamp)| Held {
            member: member.clone(),
            stamp: Stamp(stamp),
            expires_at: Timestamp(ends),
            age: now.since(Timestamp(stamp.div_ceil(1000))),
        }))
    };
    wanted.iter().map(held).collect()
}

/// Goes from each entity's first member to behind its last. A cursor is where the keys of the next one may begin.
pub(super) fn entities(txn: &ReadTransaction, from: EntityCursor, limit: usize) -> Result<EntityPage> {
    let members = txn.open_table(tables::MEMBERS)?;
    let (mut entities, mut from) = (Vec::new(), from.0.into_vec());
    while entities.len() < limit {
        let Some(row) = members.range(from.as_slice()..)?.next() else {
            return Ok(EntityPage { entities, next: None });
        };
        let entity = tables::parse_entity(row?.0.value())?;
        from = tables::member_range(&entity, Position(0)).1;
        entities.push(entity);
    }
    Ok(EntityPage { entities, next: Some(EntityCursor(from.into())) })
}

pub(super) fn vault(
    txn: &ReadTransaction,
    holders: &[HolderId],
    now: Timestamp,
) -> Result<Vec<Option<Sealed>>> {
    let vault = txn.open_table(tables::VAULT)?;
    let entry = |holder: &HolderId| {
        let row = vault.get(holder.0.as_slice())?;
        Ok(row.and_then(|row| {
            let (ends, sealed) = row.value();
            (!is_dead(ends, now)).then(|| Sealed(sealed.to_vec()))
        }))
    };
    holders.iter().map(entry).collect()
}
