//! `invalidate`: writes `stale`, then removes every copy that the index knows of, in turns of bounded length.

use std::time::Duration;

use tracing::{debug, error};

use super::{HookError, Hooks, copy_keys};
use crate::{
    caches::{CopyKey, Removal},
    clause::{Clause, holds},
    clock::Timestamp,
    event::Entity,
    fan_out::FanOut,
    job::Job,
    queue::{Attempt, Outcome},
    relations::{Held, Member, StaleMark, Stamp},
    resource::Resource,
    rules::{SkipReason, Skipped},
};

/// Members of one round: walk, vault, caches, index.
const MEMBERS_PER_CHUNK: usize = 512;
/// Chunks of one turn; then the job lets others go first, however many holders are left.
const CHUNKS_PER_TURN: usize = if cfg!(test) { 3 } else { 16 };
/// Steps of giving back room after a fan-out. What is left is given back by later recordings and fan-outs.
const COMPACT_CALLS: usize = 64;

pub(super) async fn run(hooks: &Hooks, attempt: &Attempt) -> Outcome {
    let (job, mut fan_out) = (&*attempt.job, attempt.fan_out.clone());
    match turn(hooks, job, &mut fan_out).await {
        Ok(true) => {
            let latency = hooks.clock.now().since(job.accepted_at);
            hooks.metrics.invalidation_seconds.observe(latency.as_secs_f64());
            Outcome::Done { fan_out: Some(fan_out), follow_ups: follow_ups(hooks, job) }
        }
        Ok(false) => Outcome::Yield(fan_out),
        Err(error) => Outcome::Failed { error: error.to_string(), fan_out: Some(fan_out) },
    }
}

/// Goes on with the fan-out. Returns whether it is complete.
async fn turn(hooks: &Hooks, job: &Job, fan_out: &mut FanOut) -> Result<bool, HookError> {
    let resource = hooks.resource(&job.entity)?;
    let at = job.occurred_at.unwrap_or(job.accepted_at);
    if !holds(Clause::WriteNeverTooOld) && hooks.clock.now().since(at) >= resource.horizon {
        return Ok(true);
    }
    // `stale` first, then the members (DESIGN 7, rule 1).
    if holds(Clause::StaleBeforeMembers) {
        mark(hooks, &job.entity, at, resource, fan_out).await?;
    }
    fan_out.begin_turn();
    let mut chunk = Chunk { hooks, entity: &job.entity, resource, removal: hooks.caches.removal() };
    for _ in 0..CHUNKS_PER_TURN {
        if chunk.remove_next(fan_out).await? {
            chunk.finish(fan_out).await?;
            mark(hooks, &job.entity, at, resource, fan_out).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes `stale`, where that has not been done for this fan-out.
async fn mark(
    hooks: &Hooks,
    entity: &Entity,
    at: Timestamp,
    resource: &Resource,
    fan_out: &mut FanOut,
) -> Result<(), HookError> {
    if fan_out.marked {
        return Ok(());
    }
    let skew = if holds(Clause::StaleOutlivesHorizon) { 2 * resource.guard } else { Duration::ZERO };
    let marked = hooks.relations.invalidate(entity, StaleMark { at, life: resource.horizon + skew }).await;
    marked.map_err(|error| hooks.store_failed(error))?;
    fan_out.marked = true;
    Ok(())
}

/// What one chunk after the other works with.
struct Chunk<'a> {
    hooks: &'a Hooks,
    entity: &'a Entity,
    resource: &'a Resource,
    removal: Removal<'a>,
}

impl Chunk<'_> {
    /// Removes the next members' copies, and where all of them are gone, the members. Returns whether the lap is
    /// complete.
    async fn remove_next(&mut self, fan_out: &mut FanOut) -> Result<bool, HookError> {
        let relations = &self.hooks.relations;
        let page = relations.walk(self.entity, fan_out.next(), MEMBERS_PER_CHUNK).await;
        let page = page.map_err(|error| self.hooks.store_failed(error))?;
        let (members, keys) = self.keys_of(&page.held, fan_out).await?;
        if !holds(Clause::DroppedAfterDeletion) {
            let forgotten = relations.forget(self.entity, &members).await;
            forgotten.map_err(|error| self.hooks.store_failed(error))?;
        }
        let deleted = self.removal.delete(&keys).await;
        fan_out.tally.deleted += deleted.deleted;
        let error = self.removal.error();
        if error.is_some() && !holds(Clause::DroppedIfGoneEverywhere) {
            let forgotten = relations.forget(self.entity, &members).await;
            forgotten.map_err(|error| self.hooks.store_failed(error))?;
        }
        match error {
            // A relationship is dropped only after its copy is gone from every cache (DESIGN 7, rule 6).
            None => {
                let forgotten = relations.forget(self.entity, &members).await;
                forgotten.map_err(|error| self.hooks.store_failed(error))?;
                fan_out.tally.matched += members.len() as u64;
                fan_out.tally.absent += deleted.absent;
            }
            Some(error) => {
                fan_out.tally.failed += deleted.failed;
                fan_out.incomplete = Some(error.into());
            }
        }
        Ok(fan_out.advance(page.next))
    }

    /// The members whose tokens the vault gives, and the keys of their copies.
    async fn keys_of(
        &self,
        held: &[Held],
        fan_out: &mut FanOut,
    ) -> Result<(Vec<(Member, Stamp)>, Vec<CopyKey>), HookError> {
        let holders: Vec<_> = held.iter().map(|held| held.member.holder).collect();
        let vault = self.hooks.relations.vault(&holders).await;
        let vault = vault.map_err(|error| self.hooks.store_failed(error))?;
        let (mut members, mut keys) = (Vec::with_capacity(held.len()), Vec::with_capacity(held.len()));
        for (held, sealed) in held.iter().zip(vault) {
            let member = &held.member;
            let entry = sealed.and_then(|sealed| self.hooks.keys.open(member.holder, &sealed).ok());
            match entry.and_then(|entry| copy_keys(self.resource, self.entity, member, &entry.token)) {
                Some(copies) => {
                    keys.extend(copies);
                    members.push((member.clone(), held.stamp));
                }
                None => {
                    self.hooks.metrics.vault_missing.inc();
                    fan_out.tally.failed += 1;
                    fan_out.incomplete = Some("a holder has no readable vault entry".into());
                }
            }
        }
        Ok((members, keys))
    }

    /// The lap is complete: either all is gone, or the next attempt goes round again.
    async fn finish(&self, fan_out: &mut FanOut) -> Result<(), HookError> {
        if let Some(incomplete) = fan_out.incomplete.take()
            && holds(Clause::FanOutGoesRoundAgain)
        {
            fan_out.restart();
            return Err(HookError::Caches(incomplete.into()));
        }
        for _ in 0..COMPACT_CALLS {
            let more = self.hooks.relations.compact(self.entity).await;
            if !more.map_err(|error| self.hooks.store_failed(error))? {
                break;
            }
        }
        Ok(())
    }
}

fn follow_ups(hooks: &Hooks, job: &Job) -> Vec<Job> {
    let made = hooks.rules.follow_ups(job, &hooks.resources, hooks.clock.accepted());
    for Skipped { rule, reason } in made.skipped {
        hooks.metrics.follow_ups_skipped.with_label_values(&[reason.as_str()]).inc();
        // Rules that go in a circle are a mistake in them; the others are a matter of the event.
        if reason == SkipReason::Depth {
            error!(job.id = %job.id, rule, "follow-ups go too deep: do job_manager.job_rules go in a circle?");
        } else {
            debug!(job.id = %job.id, rule, reason = reason.as_str(), "no follow-up");
        }
    }
    made.jobs
}
