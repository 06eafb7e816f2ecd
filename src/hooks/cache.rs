//! `cache`: records that a holder has a copy, and evicts the copy where the read may be older than an invalidation.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{HookError, Hooks, copy_keys, member_of};
use crate::{
    caches::{Awaited, CopyList, CopyOf},
    clause::{Clause, holds},
    clock::Timestamp,
    event::Entity,
    job::{CopyHeld, Job},
    judge::{ReadTime, Reason, Verdict, judge, judge_given, judge_revoked},
    queue::{Attempt, Ending, Outcome, Phase},
    relations::{Member, Recorded, Recording, Stamp, StoreError},
    resource::Resource,
    secret::VaultEntry,
};

pub(super) async fn run(hooks: &Hooks, attempts: &[Attempt]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = attempts.iter().map(|_| None).collect();
    let mut reads = Vec::new();
    for (index, attempt) in attempts.iter().enumerate() {
        if let Some(outcome) = still_waits(hooks, attempt) {
            outcomes[index] = Some(outcome);
            continue;
        }
        match (Read::of(hooks, &attempt.job), attempt.phase) {
            (Err(error), _) => outcomes[index] = Some(failed(&error)),
            (Ok(read), Phase::Work) if !attempt.job.recheck => reads.push((index, read)),
            (Ok(_), Phase::Evict(ending)) if !holds(evicting(ending)) => {
                outcomes[index] = Some(evicted(hooks, &attempt.job, attempt.phase));
            }
            (Ok(read), phase) => {
                let deleted = delete_copies(hooks, &[&read]).await;
                outcomes[index] = Some(settle(deleted, evicted(hooks, &attempt.job, phase)));
            }
        }
    }
    let (indexes, reads): (Vec<usize>, Vec<Read<'_>>) = reads.into_iter().unzip();
    for (index, outcome) in indexes.into_iter().zip(record(hooks, &reads).await) {
        outcomes[index] = Some(outcome);
    }
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| failed(&HookError::NoResource))).collect()
}

fn evicting(ending: Ending) -> Clause {
    match ending {
        Ending::Expired => Clause::ExpiredEvicts,
        Ending::Dead => Clause::DeadEvicts,
    }
}

/// A copy that only has to go from caches that are still away, or are left out by now: it has gone from the others.
fn still_waits(hooks: &Hooks, attempt: &Attempt) -> Option<Outcome> {
    if attempt.waits_for.is_empty() {
        return None;
    }
    match (hooks.caches.awaited(&attempt.waits_for), attempt.phase) {
        (Awaited::Answers, _) => None,
        (Awaited::Away(failure), _) => Some(failed(&HookError::Caches(failure))),
        (Awaited::LeftOut, phase) => Some(evicted(hooks, &attempt.job, phase)),
    }
}

/// A read that a job tells of.
struct Read<'a> {
    job: &'a Job,
    copy: &'a CopyHeld,
    member: Member,
    resource: &'a Resource,
}

impl<'a> Read<'a> {
    fn of(hooks: &'a Hooks, job: &'a Job) -> Result<Self, HookError> {
        let resource = hooks.resource(&job.entity)?;
        let (copy, member) = job.copy.as_deref().zip(member_of(job)).ok_or(HookError::NoResource)?;
        Ok(Self { job, copy, member, resource })
    }

    fn recording(&self, hooks: &Hooks) -> Recording {
        let entry = VaultEntry { token: self.copy.token.clone(), user_id: self.copy.user_id.clone() };
        // A copy that a cache fills so much later lives so much longer.
        let fills = self.resource.recheck.filter(|_| holds(Clause::LateFillTracked)).unwrap_or_default();
        let guard = if holds(Clause::TrackedForGuard) { self.resource.guard } else { Duration::ZERO };
        Recording {
            entity: self.job.entity.clone(),
            member: self.member.clone(),
            expires_at: self.job.accepted_at.after(self.copy.life).after(guard + fills),
            vault: hooks.keys.seal(self.copy.holder, &entry),
            names_holder: entry.user_id.is_some(),
        }
    }
}

/// Records reads and evicts those that turn out to be stale. What the store refuses together is tried in halves, so that
/// an entity whose record is unreadable costs no other.
async fn record(hooks: &Hooks, reads: &[Read<'_>]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(reads.len());
    let mut parts = vec![reads];
    while let Some(part) = parts.pop() {
        match record_together(hooks, part).await {
            Ok(recorded) => outcomes.extend(recorded),
            Err(StoreError::Refused(_) | StoreError::Unreadable(_)) if part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) => {
                let error = hooks.store_failed(error);
                outcomes.extend(part.iter().map(|_| failed(&error)));
            }
        }
    }
    outcomes
}

/// What has been recorded stays recorded if an eviction fails: its job is tried again.
async fn record_together(hooks: &Hooks, reads: &[Read<'_>]) -> Result<Vec<Outcome>, StoreError> {
    let (recordings, of_read) = fold(hooks, reads);
    let too_early = hooks.clock.now();
    let recorded = hooks.relations.record(&recordings).await?;
    // Only now: a read that is older than the horizon may have missed a `stale` that has gone (DESIGN 7, rule 3).
    let now = if holds(Clause::HorizonAfterStale) { hooks.clock.now() } else { too_early };
    let stale: Vec<(usize, Stamp)> = reads
        .iter()
        .enumerate()
        .filter_map(|(index, read)| {
            let recorded = recorded[of_read[index]];
            is_stale(hooks, read, recorded, now).then_some((index, recorded.stamp))
        })
        .collect();
    let mut outcomes: Vec<Outcome> = reads.iter().map(|_| done()).collect();
    if !stale.is_empty() {
        let gone = evict(hooks, reads, &stale).await;
        for (index, _) in stale {
            outcomes[index] = match &gone {
                Ok(()) => evicted(hooks, reads[index].job, Phase::Work),
                Err(error) => failed(error),
            };
        }
    }
    Ok(outcomes)
}

/// One recording per member, with the latest expiry, and which of them each read is part of. Reads of one member
/// may have different keys where `key_fields` says so.
fn fold(hooks: &Hooks, reads: &[Read<'_>]) -> (Vec<Recording>, Vec<usize>) {
    let mut recordings: Vec<Recording> = Vec::with_capacity(reads.len());
    let mut places: HashMap<(&Entity, &Member), usize> = HashMap::with_capacity(reads.len());
    let mut of_read = Vec::with_capacity(reads.len());
    for read in reads {
        let recording = read.recording(hooks);
        let place = *places.entry((&read.job.entity, &read.member)).or_insert(recordings.len());
        match recordings.get_mut(place) {
            Some(first) => first.expires_at = first.expires_at.max(recording.expires_at),
            None => recordings.push(recording),
        }
        of_read.push(place);
    }
    (recordings, of_read)
}

fn is_stale(hooks: &Hooks, read: &Read<'_>, recorded: Recorded, now: Timestamp) -> bool {
    let time = ReadTime { occurred_at: read.job.occurred_at, generation: read.job.generation };
    let margins = read.resource.margins();
    let by_entity = judge(time, recorded.stale, now, margins);
    let by_loss = judge(time, hooks.trust.stale(now, margins), now, margins);
    let by_read = judge_given(time, recorded.generation);
    let revoked = recorded.revoked.filter(|_| holds(Clause::RevocationTested));
    let by_holder = judge_revoked(time, revoked, margins.guard);
    let known = [by_entity, by_read, by_holder].into_iter().find_map(Verdict::reason);
    let lost = || by_loss.reason().map(|_| Reason::IndexLost);
    let aged = || (time == ReadTime::default() && has_aged(read, now)).then_some(Reason::OlderThanHorizon);
    let Some(reason) = known.or_else(lost).or_else(aged) else { return false };
    hooks.metrics.evictions.with_label_values(&[reason.as_str()]).inc();
    true
}

/// Whether an undated read, which began before its event arrived, may be older than any mark that is kept. Half of the
/// horizon is for the time that its API took to tell of it.
fn has_aged(read: &Read<'_>, now: Timestamp) -> bool {
    now.since(read.job.accepted_at) >= read.resource.horizon / 2 && holds(Clause::UndatedAges)
}

/// First the copy, then the relationship, as it was recorded: nothing is dropped whose copy may still be there (DESIGN 7, rule
/// 6), for who tries again may judge otherwise. A holder who was recorded again meanwhile keeps the relationship: its stamp
/// is another. Where caches may fill late the relationship is left to expire.
async fn evict(hooks: &Hooks, reads: &[Read<'_>], stale: &[(usize, Stamp)]) -> Result<(), HookError> {
    let mut members: BTreeMap<&Entity, Vec<(Member, Stamp)>> = BTreeMap::new();
    for (index, stamp) in stale {
        let read = &reads[*index];
        if read.resource.recheck.is_some() {
            continue;
        }
        let stamp = if holds(Clause::EvictedByStamp) { *stamp } else { Stamp(0) };
        members.entry(&read.job.entity).or_default().push((read.member.clone(), stamp));
    }
    let copies: Vec<&Read<'_>> = stale.iter().map(|(index, _)| &reads[*index]).collect();
    if holds(Clause::EvictionDropsLast) {
        delete_copies(hooks, &copies).await?;
    }
    for (entity, members) in &members {
        // None has to linger: whoever runs this again knows the copy by the job.
        let forgotten = hooks.relations.forget(entity, members, Duration::ZERO).await;
        forgotten.map_err(|error| hooks.store_failed(error))?;
    }
    if holds(Clause::EvictionDropsLast) {
        return Ok(());
    }
    delete_copies(hooks, &copies).await
}

async fn delete_copies(hooks: &Hooks, reads: &[&Read<'_>]) -> Result<(), HookError> {
    let now = hooks.clock.now();
    let mut copies = CopyList::default();
    for Read { job, copy, member, resource } in reads {
        let keys = copy_keys(resource, &job.entity, member, &copy.token, now);
        let of = CopyOf { entity: job.entity.clone(), token: copy.token.clone() };
        copies.add(of, keys.ok_or(HookError::Unreadable)?);
    }
    let mut removal = hooks.caches.removal();
    removal.delete(&copies).await;
    removal.failure().map_or(Ok(()), |failure| Err(HookError::Caches(failure)))
}

fn settle(result: Result<(), HookError>, outcome: Outcome) -> Outcome {
    result.map_or_else(|error| failed(&error), |()| outcome)
}

/// How a job ends whose copy is gone; from a cache that fills late it has to go again.
fn evicted(hooks: &Hooks, job: &Job, phase: Phase) -> Outcome {
    let ending = match phase {
        Phase::Work => None,
        Phase::Evict(ending) => Some(ending),
    };
    Outcome::Evicted { ending, follow_ups: hooks.again(job).into_iter().collect() }
}

fn done() -> Outcome {
    Outcome::Done { fan_out: None, follow_ups: Vec::new() }
}

fn failed(error: &HookError) -> Outcome {
    error.outcome(None)
}
