//! What each holder holds, in the simulated Redis: the semantics are those of `relations/redis/*.lua` over a holder's entries, to
//! the millisecond.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    event::Entity,
    relations::{HeldEntity, Holding, HoldingsPage, Member, Position, Recording, StaleMark, Stamp},
    secret::HolderId,
};

/// The entries of all holders, and what was revoked.
#[derive(Clone, Default)]
pub(super) struct Holders(BTreeMap<HolderId, Holder>);

#[derive(Clone, Default)]
struct Holder {
    entries: BTreeMap<(Position, Holding), Entry>,
    /// When the holder lost the right to read, and until when that counts.
    revoked: Option<(Timestamp, Timestamp)>,
}

#[derive(Clone)]
struct Entry {
    expires_at: Timestamp,
    stamp: Stamp,
}

impl Holders {
    /// Writes a member's entry.
    pub(super) fn record(&mut self, recording: &Recording, stamp: Stamp, now: Timestamp) {
        let holder = self.0.entry(recording.member.holder).or_default();
        let holding = Holding { entity: recording.entity.clone(), variant: recording.member.variant.clone() };
        let key = (holding.position(), holding);
        let known = holder.entries.get(&key).filter(|entry| entry.expires_at > now);
        let known = known.filter(|_| holds(Clause::EntryNeverShortened)).map(|entry| entry.expires_at);
        let expires_at = recording.expires_at.max(known.unwrap_or_default());
        holder.entries.insert(key, Entry { expires_at, stamp });
    }

    /// The holder's own `stale`.
    pub(super) fn revoked(&self, holder: HolderId, now: Timestamp) -> Option<Timestamp> {
        let (at, until) = self.0.get(&holder)?.revoked?;
        (until > now).then_some(at)
    }

    /// Until when a holder's entry tells of what a copy shows.
    pub(super) fn listed_until(&self, entity: &Entity, member: &Member) -> Option<Timestamp> {
        let holding = Holding { entity: entity.clone(), variant: member.variant.clone() };
        let entries = &self.0.get(&member.holder)?.entries;
        entries.get(&(holding.position(), holding)).map(|entry| entry.expires_at)
    }

    pub(super) fn revoke(&mut self, holder: HolderId, mark: StaleMark, now: Timestamp) -> Timestamp {
        let holder = self.0.entry(holder).or_default();
        let (known, until) = holder.revoked.filter(|(_, until)| *until > now).unwrap_or_default();
        let at = if holds(Clause::RevokedNeverBack) { known.max(mark.at) } else { mark.at };
        holder.revoked = Some((at, until.max(now.after(mark.life))));
        at
    }

    /// About `limit` living entries from a position on; a position is in one page.
    pub(super) fn entries(
        &self,
        holder: HolderId,
        from: Position,
        limit: usize,
        now: Timestamp,
    ) -> HoldingsPage {
        let mut page = HoldingsPage { held: Vec::new(), next: None };
        let mut last = None;
        let entries = self.0.get(&holder).into_iter().flat_map(|holder| &holder.entries);
        let living = entries.filter(|((position, _), entry)| *position >= from && entry.expires_at > now);
        for ((position, holding), Entry { expires_at, stamp }) in living {
            if page.held.len() >= limit && last != Some(*position) {
                page.next = Some(*position);
                break;
            }
            last = Some(*position);
            page.held.push(HeldEntity { holding: holding.clone(), stamp: *stamp, expires_at: *expires_at });
        }
        page
    }

    /// Drops entries that are as they were read, now or after a while.
    pub(super) fn release(
        &mut self,
        holder: HolderId,
        holdings: &[(Holding, Stamp)],
        linger: Duration,
        now: Timestamp,
    ) -> usize {
        let Some(holder) = self.0.get_mut(&holder) else { return 0 };
        let mut found = 0;
        for (holding, stamp) in holdings {
            let key = (holding.position(), holding.clone());
            let Some(entry) = holder.entries.get_mut(&key) else { continue };
            if entry.stamp != *stamp && holds(Clause::EntryDroppedByStamp) {
                continue;
            }
            found += 1;
            entry.expires_at = entry.expires_at.min(now.after(linger));
            if linger.is_zero() {
                holder.entries.remove(&key);
            }
        }
        found
    }
}
