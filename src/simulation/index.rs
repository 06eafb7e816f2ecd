//! What a simulated Redis holds of the index, and its scripts: each is one atomic step. The semantics are those of
//! `relations/redis/*.lua`, to the millisecond, but for buckets: an entity's members are one key.

use std::{collections::BTreeMap, time::Duration};

use super::holders::Holders;
use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    event::Entity,
    relations::{
        AsRead, Held, Member, Page, Position, Recorded, Recording, Sealed, Stale, StaleMark, Staleness, Stamp,
    },
    secret::HolderId,
};

/// Everything in one server.
#[derive(Clone, Default)]
pub(super) struct Index {
    entities: BTreeMap<Entity, Record>,
    vault: BTreeMap<HolderId, VaultEntry>,
    pub(super) holders: Holders,
    pub(super) secret: Option<String>,
    /// Which index this is.
    pub(super) marker: Option<String>,
    /// A vault entry outlives its last relationship by this.
    vault_outlives: Duration,
    stamps: u64,
    /// It was made in place of one that was lost.
    replaces: bool,
}

/// What is kept of an entity.
#[derive(Clone, Default)]
struct Record {
    members: BTreeMap<(Position, Member), Value>,
    /// When the key that holds the members goes.
    members_until: Timestamp,
    at: Timestamp,
    generation: u64,
    stale_until: Timestamp,
}

#[derive(Clone, Copy)]
struct Value {
    expires_at: Timestamp,
    stamp: Stamp,
    recorded_at: Timestamp,
    /// Whether the vault knew its holder then.
    in_vault: bool,
}

#[derive(Clone)]
struct VaultEntry {
    sealed: Sealed,
    expires_at: Timestamp,
}

impl Index {
    pub(super) fn new(vault_outlives: Duration) -> Self {
        Self { vault_outlives, ..Self::default() }
    }

    /// This takes the place of another; stamps are made of time, and none comes again.
    pub(super) fn after(self, lost: &Self) -> Self {
        Self { stamps: lost.stamps, vault_outlives: lost.vault_outlives, ..self }
    }

    /// What is left when all of this is lost.
    pub(super) fn lost(&self) -> Self {
        Self { replaces: true, ..Self::default() }.after(self)
    }

    /// Whether a holder has a living member here and no vault entry. A recording that a loss came into the middle of may leave
    /// such a one; it does not count, and is made again.
    pub(super) fn is_orphan(&self, holder: HolderId, now: Timestamp) -> bool {
        let mut members = self
            .entities
            .values()
            .filter(|record| record.members_until > now)
            .flat_map(|record| &record.members);
        let counts = |value: &Value| value.expires_at > now && (value.in_vault || !self.replaces);
        let is_held = members.any(|((_, member), value)| member.holder == holder && counts(value));
        is_held && self.vault(holder, now).is_none()
    }

    /// Writes a marker where there still is what was `expected`. Returns what is there now.
    pub(super) fn mark(&mut self, expected: Option<&str>, new: String) -> String {
        if self.marker.as_deref() == expected {
            self.marker = Some(new);
        }
        self.marker.clone().unwrap_or_default()
    }

    pub(super) fn put_in_vault(&mut self, recording: &Recording, now: Timestamp) {
        let expires_at = recording.expires_at.after(self.vault_outlives);
        let known = self.vault.get_mut(&recording.member.holder).filter(|entry| entry.expires_at > now);
        match known {
            Some(entry) => {
                if recording.names_holder {
                    entry.sealed = recording.vault.clone();
                }
                entry.expires_at = if holds(Clause::VaultOnlyExtended) {
                    entry.expires_at.max(expires_at)
                } else {
                    expires_at
                };
            }
            None => {
                let entry = VaultEntry { sealed: recording.vault.clone(), expires_at };
                self.vault.insert(recording.member.holder, entry);
            }
        }
    }

    pub(super) fn vault(&self, holder: HolderId, now: Timestamp) -> Option<Sealed> {
        let entry = self.vault.get(&holder).filter(|entry| entry.expires_at > now)?;
        Some(entry.sealed.clone())
    }

    /// A stamp that was never given before.
    pub(super) fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp(self.stamps)
    }

    /// Writes a member, then reads `stale`.
    pub(super) fn record(&mut self, recording: &Recording, now: Timestamp) -> Recorded {
        let new = self.stamp();
        let in_vault = self.vault(recording.member.holder, now).is_some();
        let record = self.record_of(&recording.entity, now);
        let key = (recording.member.position(), recording.member.clone());
        let old = record.members.get(&key).copied().filter(|old| old.expires_at > now);
        let (mut expires_at, mut stamp) = (recording.expires_at, new);
        let generation = record.current(now);
        if let Some(old) = old {
            if holds(Clause::ExpiryNeverShortened) {
                expires_at = expires_at.max(old.expires_at);
            }
            if !holds(Clause::NewStamp) {
                stamp = old.stamp;
            }
        }
        record.members.insert(key, Value { expires_at, stamp, recorded_at: now, in_vault });
        record.members_until =
            if holds(Clause::KeyOutlivesMembers) { record.members_until.max(expires_at) } else { expires_at };
        Recorded { stamp, stale: record.stale(now), generation, revoked: None }
    }

    pub(super) fn stale(&mut self, entity: &Entity, now: Timestamp) -> Option<Stale> {
        self.record_of(entity, now).stale(now)
    }

    pub(super) fn invalidate(&mut self, entity: &Entity, mark: StaleMark, now: Timestamp) -> Stale {
        let record = self.record_of(entity, now);
        if record.stale(now).is_none() {
            record.at = Timestamp::default();
        }
        record.at = if holds(Clause::StaleNeverBack) { record.at.max(mark.at) } else { mark.at };
        let till = now.after(mark.life);
        record.stale_until =
            if holds(Clause::StaleNeverShortened) { record.stale_until.max(till) } else { till };
        record.generation = match () {
            () if !holds(Clause::GenerationIsTime) => record.generation + 1,
            () if !holds(Clause::GenerationGrows) => record.generation.max(now.0),
            () => record.generation.max(now.0) + 1,
        };
        Stale { at: record.at, generation: record.generation }
    }

    pub(super) fn staleness(&mut self, entity: &Entity, now: Timestamp) -> Staleness {
        let record = self.record_of(entity, now);
        Staleness { stale: record.stale(now), generation: record.current(now) }
    }

    /// About `limit` members from a position on; a position is in one page.
    pub(super) fn walk(&mut self, entity: &Entity, from: Position, limit: usize, now: Timestamp) -> Page {
        let members = &self.record_of(entity, now).members;
        let first = (from, Member { holder: HolderId([0; 16]), variant: None });
        let living = |(_, value): &(&(Position, Member), &Value)| value.expires_at > now;
        let held = |((_, member), value): (&(Position, Member), &Value)| value.held(member, now);
        if !holds(Clause::NoPagingByRank) {
            let rank = from.0 as usize;
            let held: Vec<Held> = members.iter().filter(living).skip(rank).take(limit).map(held).collect();
            let next = (held.len() == limit).then(|| Position((rank + limit) as u32));
            return Page { held, next, read: AsRead::default() };
        }
        let mut page: Vec<Held> = Vec::new();
        for found in members.range(first..).filter(living) {
            let position = found.0.0;
            if page.len() >= limit && page.last().is_some_and(|last| last.member.position() != position) {
                return Page { held: page, next: Some(position), read: AsRead::default() };
            }
            page.push(held(found));
        }
        Page { held: page, next: None, read: AsRead::default() }
    }

    pub(super) fn held(&mut self, entity: &Entity, member: &Member, now: Timestamp) -> Option<Held> {
        let value = self.record_of(entity, now).members.get(&(member.position(), member.clone()))?;
        Some(value.held(member, now)).filter(|held| held.expires_at > now)
    }

    /// Entities that have members, in their order, from one on.
    pub(super) fn entities(&self, from: usize, limit: usize) -> Vec<Entity> {
        let with_members = self.entities.iter().filter(|(_, record)| !record.members.is_empty());
        with_members.skip(from).take(limit).map(|(entity, _)| entity.clone()).collect()
    }

    /// Drops members that are as they were read, now or after a while.
    pub(super) fn forget(
        &mut self,
        entity: &Entity,
        members: &[(Member, Stamp)],
        linger: Duration,
        now: Timestamp,
    ) -> usize {
        let record = self.record_of(entity, now);
        let mut dropped = 0;
        for (member, stamp) in members {
            let key = (member.position(), member.clone());
            let Some(value) = record.members.get_mut(&key) else { continue };
            let whatever = *stamp == Stamp(0) || !holds(Clause::DroppedByStamp);
            if value.expires_at <= now || (value.stamp != *stamp && !whatever) {
                continue;
            }
            dropped += 1;
            value.expires_at = value.expires_at.min(now.after(linger));
            if linger.is_zero() {
                record.members.remove(&key);
            }
        }
        dropped
    }

    /// Until when an invalidation would find a member, and its token.
    pub(super) fn tracked_until(&self, entity: &Entity, member: &Member) -> Option<Timestamp> {
        let record = self.entities.get(entity)?;
        let value = record.members.get(&(member.position(), member.clone()))?;
        let vault = self.vault.get(&member.holder)?;
        Some(value.expires_at.min(record.members_until).min(vault.expires_at))
    }

    /// The record, without what has expired.
    fn record_of(&mut self, entity: &Entity, now: Timestamp) -> &mut Record {
        let record = self.entities.entry(entity.clone()).or_default();
        if record.members_until <= now {
            record.members.clear();
        }
        if record.stale_until <= now && record.generation < now.0 {
            record.generation = 0;
        }
        record
    }
}

impl Value {
    fn held(&self, member: &Member, now: Timestamp) -> Held {
        let Self { expires_at, stamp, recorded_at, .. } = *self;
        Held { member: member.clone(), stamp, expires_at, age: now.since(recorded_at) }
    }
}

impl Record {
    /// The generation of a read that begins now.
    fn current(&self, now: Timestamp) -> u64 {
        if holds(Clause::GenerationNeverReturns) { self.generation.max(now.0) } else { self.generation }
    }

    fn stale(&self, now: Timestamp) -> Option<Stale> {
        (self.stale_until > now).then_some(Stale { at: self.at, generation: self.generation })
    }
}
