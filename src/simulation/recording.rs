//! Recordings in the simulated Redis: the order of their steps, and what becomes of it where a clause is left out.

use std::sync::{Arc, Mutex};

use super::{index::Index, network::Step, store::SimStore};
use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    relations::{Recorded, Recording, Stamp, StoreError},
};

/// What a pipeline has found so far, in the order of what it records.
type Found = Arc<Mutex<Vec<Recorded>>>;

/// What one step of a pipeline does.
type Script = fn(&mut Index, &[Recording], &mut [Recorded], Timestamp);

impl SimStore {
    /// A pipeline: the vault, then the members and with them `stale`, then what their holders hold, and with it the holders'
    /// own `stale`.
    pub(super) async fn record_batch(&self, batch: Vec<Recording>) -> Result<Vec<Recorded>, StoreError> {
        if let Some(network) = &self.network {
            network.stall().await;
        }
        let nothing = Recorded { stamp: Stamp(0), stale: None, generation: 0, revoked: None };
        let found: Found = Arc::new(Mutex::new(vec![nothing; batch.len()]));
        let batch = Arc::new(batch);
        let scripts = order(self.by_holder);
        let steps = scripts.iter().map(|script| self.recording_step(*script, &batch, &found)).collect();
        self.call(steps).await?;
        let recorded = std::mem::take(&mut *found.lock().unwrap());
        self.note_recorded(&batch, &recorded);
        Ok(recorded)
    }

    fn recording_step(&self, script: Script, batch: &Arc<Vec<Recording>>, found: &Found) -> Step<()> {
        let (batch, found) = (batch.clone(), found.clone());
        self.step(move |index, now| {
            script(index, &batch, &mut found.lock().unwrap(), now);
        })
    }

    fn note_recorded(&self, batch: &[Recording], recorded: &[Recorded]) {
        for (recording, recorded) in batch.iter().zip(recorded) {
            let (id, holder) = (&recording.entity.id, recording.member.holder);
            self.note(format_args!("{id} held by {holder} until {}: {recorded:?}", recording.expires_at));
        }
    }
}

/// The steps of a recording.
fn order(by_holder: bool) -> Vec<Script> {
    let mut steps: Vec<Script> = match () {
        () if !holds(Clause::VaultFirst) => vec![members, vault],
        () if !holds(Clause::MemberBeforeStale) => vec![vault, stale, members_alone],
        () => vec![vault, members],
    };
    if by_holder {
        match () {
            () if !holds(Clause::MemberBeforeEntry) => steps.insert(0, entries),
            () if !holds(Clause::EntryBeforeRevoked) => steps.extend([revoked as Script, entries_alone]),
            () if !holds(Clause::EntryWritten) => steps.push(revoked),
            () => steps.push(entries),
        }
    }
    steps
}

fn vault(index: &mut Index, batch: &[Recording], _: &mut [Recorded], now: Timestamp) {
    batch.iter().for_each(|recording| index.put_in_vault(recording, now));
}

fn members(index: &mut Index, batch: &[Recording], found: &mut [Recorded], now: Timestamp) {
    for (recording, found) in batch.iter().zip(found) {
        let revoked = found.revoked;
        *found = Recorded { revoked, ..index.record(recording, now) };
    }
}

fn stale(index: &mut Index, batch: &[Recording], found: &mut [Recorded], now: Timestamp) {
    for (recording, found) in batch.iter().zip(found) {
        found.stale = index.stale(&recording.entity, now);
    }
}

/// Without a look at `stale`.
fn members_alone(index: &mut Index, batch: &[Recording], found: &mut [Recorded], now: Timestamp) {
    for (recording, found) in batch.iter().zip(found) {
        let stale = found.stale;
        *found = Recorded { stale, ..index.record(recording, now) };
    }
}

fn entries(index: &mut Index, batch: &[Recording], found: &mut [Recorded], now: Timestamp) {
    entries_alone(index, batch, found, now);
    revoked(index, batch, found, now);
}

/// Without a look at the holders' own `stale`.
fn entries_alone(index: &mut Index, batch: &[Recording], found: &mut [Recorded], now: Timestamp) {
    for (recording, found) in batch.iter().zip(found) {
        // One that comes before its member has a stamp of its own.
        let stamp = if found.stamp == Stamp(0) { index.stamp() } else { found.stamp };
        index.holders.record(recording, stamp, now);
    }
}

fn revoked(index: &mut Index, batch: &[Recording], found: &mut [Recorded], now: Timestamp) {
    for (recording, found) in batch.iter().zip(found) {
        found.revoked = index.holders.revoked(recording.member.holder, now);
    }
}
