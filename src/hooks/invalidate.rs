//! `invalidate`: writes `stale`, then removes every copy that the index knows of, in turns of bounded length.

use std::time::Duration;

use super::{HookError, Hooks, copy_keys, lap, resolve};
use crate::{
    caches::{CopyList, CopyOf, Removal},
    clause::{Clause, holds},
    fan_out::FanOut,
    job::Job,
    queue::{Attempt, Outcome},
    relations::{Held, Member, StaleMark, Stamp},
    resource::Resource,
};

/// Members of one round: walk, vault, caches, index.
const MEMBERS_PER_CHUNK: usize = 512;
/// Chunks of one turn; then the job lets others go first, however many holders are left.
const CHUNKS_PER_TURN: usize = if cfg!(test) { 3 } else { 16 };
/// Steps of giving back room after a fan-out. What is left is given back by later recordings and fan-outs.
const COMPACT_CALLS: usize = 64;

pub(super) async fn run(hooks: &Hooks, attempt: &Attempt) -> Outcome {
    let (job, mut fan_out) = (&*attempt.job, attempt.fan_out.clone());
    let is_complete = turn(hooks, job, &mut fan_out).await;
    if matches!(is_complete, Ok(true)) && !job.recheck {
        let latency = hooks.clock.now().since(job.accepted_at);
        hooks.metrics.invalidation_seconds.observe(latency.as_secs_f64());
    }
    lap::outcome(hooks, job, fan_out, is_complete)
}

/// Goes on with the fan-out. Returns whether it is complete.
async fn turn(hooks: &Hooks, job: &Job, fan_out: &mut FanOut) -> Result<bool, HookError> {
    let resource = hooks.resource(&job.entity)?;
    let written = job.occurred_at.unwrap_or(job.accepted_at);
    if !holds(Clause::WriteNeverTooOld) && hooks.clock.now().since(written) >= resource.horizon {
        return Ok(true);
    }
    if lap::take_up(hooks, fan_out)? {
        return Ok(true);
    }
    // `stale` first, then the members (DESIGN 7, rule 1).
    if holds(Clause::StaleBeforeMembers) {
        mark(hooks, job, resource, fan_out).await?;
    }
    fan_out.begin_turn(resource.recheck.is_none());
    let mut removal = hooks.caches.removal();
    if !resolve::next_page(hooks, &job.entity, resource, &mut removal, fan_out).await? {
        return Ok(false);
    }
    let mut chunk = Chunk { hooks, job, resource, removal };
    for _ in 0..CHUNKS_PER_TURN {
        if chunk.remove_next(fan_out).await? {
            chunk.finish(fan_out).await?;
            mark(hooks, job, resource, fan_out).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes `stale`, where that has not been done for this fan-out. A recheck does not: another mark would make stale what was
/// read since the first one.
async fn mark(hooks: &Hooks, job: &Job, resource: &Resource, fan_out: &mut FanOut) -> Result<(), HookError> {
    if !fan_out.marked && !job.recheck {
        let skew = if holds(Clause::StaleOutlivesHorizon) { 2 * resource.guard } else { Duration::ZERO };
        let at = job.occurred_at.unwrap_or(job.accepted_at);
        let mark = StaleMark { at, life: resource.horizon + skew };
        let marked = hooks.relations.invalidate(&job.entity, mark).await;
        marked.map_err(|error| hooks.store_failed(error))?;
    }
    fan_out.marked = true;
    Ok(())
}

/// What one chunk after the other works with.
struct Chunk<'a> {
    hooks: &'a Hooks,
    job: &'a Job,
    resource: &'a Resource,
    removal: Removal<'a>,
}

impl Chunk<'_> {
    /// Removes the next members' copies, and where all of them are gone, the members. Returns whether the lap is
    /// complete.
    async fn remove_next(&mut self, fan_out: &mut FanOut) -> Result<bool, HookError> {
        let relations = &self.hooks.relations;
        let page = relations.walk(&self.job.entity, fan_out.next(), MEMBERS_PER_CHUNK).await;
        let page = page.map_err(|error| self.hooks.store_failed(error))?;
        let (members, copies) = self.copies_of(&page.held, fan_out).await?;
        if !holds(Clause::DroppedAfterDeletion) {
            self.forget(&members).await?;
        }
        let deleted = self.removal.delete(&copies).await;
        fan_out.tally.deleted += deleted.deleted;
        let failure = self.removal.failure();
        if failure.is_some() && !holds(Clause::DroppedIfGoneEverywhere) {
            self.forget(&members).await?;
        }
        match failure {
            // A relationship is dropped only after its copy is gone from every cache (DESIGN 7, rule 6).
            None => {
                fan_out.tally.matched += members.len() as u64;
                members.iter().for_each(|held| fan_out.removed.add(held.member.holder));
                self.forget(&members).await?;
                fan_out.tally.absent += deleted.absent;
            }
            Some(failure) => {
                fan_out.tally.failed += deleted.failed;
                fan_out.incomplete = Some(failure.sentence.into());
                fan_out.waits_for.extend(failure.waits_for);
            }
        }
        Ok(fan_out.advance(page.next))
    }

    /// The members whose tokens the vault gives, and their copies.
    async fn copies_of(
        &self,
        held: &[Held],
        fan_out: &mut FanOut,
    ) -> Result<(Vec<Held>, CopyList), HookError> {
        let holders: Vec<_> = held.iter().map(|held| held.member.holder).collect();
        let vault = self.hooks.relations.vault(&holders).await;
        let vault = vault.map_err(|error| self.hooks.store_failed(error))?;
        let now = self.hooks.clock.now();
        let (mut members, mut list) = (Vec::with_capacity(held.len()), CopyList::default());
        for (held, sealed) in held.iter().zip(vault) {
            let member = &held.member;
            let entry = sealed.and_then(|sealed| self.hooks.keys.open(member.holder, &sealed).ok());
            let copies = entry.and_then(|entry| {
                let keys = copy_keys(self.resource, &self.job.entity, member, &entry.token, now)?;
                Some((entry.token, keys))
            });
            match copies {
                Some((token, keys)) => {
                    list.add(CopyOf { entity: self.job.entity.clone(), token }, keys);
                    members.push(held.clone());
                }
                None => {
                    self.hooks.metrics.vault_missing.inc();
                    fan_out.tally.failed += 1;
                    fan_out.has_unnamed = true;
                    fan_out.incomplete = Some("a holder has no readable vault entry".into());
                }
            }
        }
        Ok((members, list))
    }

    async fn forget(&self, members: &[Held]) -> Result<(), HookError> {
        let (entity, members) = (&self.job.entity, self.to_forget(members));
        let linger = if holds(Clause::Lingers) { self.hooks.window.span() } else { Duration::ZERO };
        let forgotten = self.hooks.relations.forget(entity, &members, linger).await;
        forgotten.map(drop).map_err(|error| self.hooks.store_failed(error))
    }

    /// Those of the members that can be dropped, now that their copies are gone.
    fn to_forget(&self, members: &[Held]) -> Vec<(Member, Stamp)> {
        let Some(age) = lap::least_age(self.hooks, self.job, self.resource) else { return Vec::new() };
        let old = members.iter().filter(|held| held.age >= age);
        old.map(|held| (held.member.clone(), held.stamp)).collect()
    }

    /// The lap is complete: either all is gone, or the next attempt goes round again.
    async fn finish(&self, fan_out: &mut FanOut) -> Result<(), HookError> {
        lap::finish(fan_out)?;
        for _ in 0..COMPACT_CALLS {
            let more = self.hooks.relations.compact(&self.job.entity).await;
            if !more.map_err(|error| self.hooks.store_failed(error))? {
                break;
            }
        }
        Ok(())
    }
}
