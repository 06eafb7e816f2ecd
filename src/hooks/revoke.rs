//! `revoke`: writes the holder's own `stale`, then removes every copy of theirs that the index knows of, in turns of bounded
//! length (DESIGN 7, rule 10).

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};

use super::{HookError, Hooks, copy_keys, lap};
use crate::{
    caches::{CopyKey, CopyList, CopyOf, Removal},
    clause::{Clause, holds},
    event::{AccessToken, Entity},
    fan_out::FanOut,
    job::Job,
    queue::{Attempt, Outcome},
    relations::{Held, HeldEntity, Holding, Member, StaleMark, Stamp, StoreError},
    secret::HolderId,
};

/// Entries of one round: read, members, caches, index.
const ENTRIES_PER_CHUNK: usize = 512;
/// Chunks of one turn; then the job lets others go first, however much is left.
const CHUNKS_PER_TURN: usize = 16;
/// Entities whose members are dropped at a time.
const DROPPED_AT_ONCE: usize = 16;

pub(super) async fn run(hooks: &Hooks, attempt: &Attempt) -> Outcome {
    let (job, mut fan_out) = (&*attempt.job, attempt.fan_out.clone());
    let is_complete = turn(hooks, job, &mut fan_out).await;
    lap::outcome(hooks, job, fan_out, is_complete)
}

/// Goes on with what the holder holds. Returns whether that was all.
async fn turn(hooks: &Hooks, job: &Job, fan_out: &mut FanOut) -> Result<bool, HookError> {
    let holder = job.holder().ok_or(HookError::NoHolder)?;
    if !hooks.relations.by_holder() {
        return Err(HookError::NotByHolder);
    }
    if lap::take_up(hooks, fan_out)? {
        return Ok(true);
    }
    let order = lap::order(hooks, job, fan_out);
    // `stale` first, then what the holder holds.
    if holds(Clause::RevokedBeforeEntries) {
        mark(hooks, job, holder, fan_out).await?;
    }
    fan_out.begin_turn(hooks.resources.longest_recheck().is_none());
    let mut chunk = Chunk { hooks, job, holder, token: None, removal: hooks.caches.removal() };
    for _ in 0..CHUNKS_PER_TURN {
        if chunk.remove_next(fan_out).await? {
            lap::finish(fan_out)?;
            mark(hooks, job, holder, fan_out).await?;
            return Ok(true);
        }
        order.give_way().await;
    }
    Ok(false)
}

/// Writes the holder's own `stale`, where that has not been done for this fan-out. A recheck does not: another mark would make
/// stale what was read since the first one.
async fn mark(hooks: &Hooks, job: &Job, holder: HolderId, fan_out: &mut FanOut) -> Result<(), HookError> {
    if !fan_out.marked && !job.recheck {
        let at = job.occurred_at.unwrap_or(job.accepted_at);
        let horizon =
            || hooks.resources.iter().map(|(_, resource)| resource.horizon).max().unwrap_or_default();
        let is_long = holds(Clause::RevokedOutlivesHorizon);
        let mark = StaleMark { at, life: if is_long { hooks.resources.longest_mark() } else { horizon() } };
        let marked = hooks.relations.revoke(holder, mark).await;
        marked.map_err(|error| hooks.store_failed(error))?;
    }
    fan_out.marked = true;
    Ok(())
}

/// The vault outlives the holder's last relationship, so it is there where it is needed.
async fn token_of(hooks: &Hooks, holder: HolderId) -> Result<Option<AccessToken>, HookError> {
    let vault = hooks.relations.vault(&[holder]).await.map_err(|error| hooks.store_failed(error))?;
    let sealed = vault.into_iter().next().flatten();
    Ok(sealed.and_then(|sealed| hooks.keys.open(holder, &sealed).ok()).map(|entry| entry.token))
}

/// What one chunk after the other works with.
struct Chunk<'a> {
    hooks: &'a Hooks,
    job: &'a Job,
    holder: HolderId,
    /// Read with the first entries.
    token: Option<AccessToken>,
    removal: Removal<'a>,
}

/// What a chunk is going to remove.
#[derive(Default)]
struct Plan {
    /// Relationships found.
    matched: u64,
    copies: CopyList,
    members: BTreeMap<Entity, Vec<(Member, Stamp)>>,
    entries: Vec<(Holding, Stamp)>,
}

impl Chunk<'_> {
    /// Removes the next copies, and where all of them are gone, their members and entries. Returns whether the lap is
    /// complete.
    async fn remove_next(&mut self, fan_out: &mut FanOut) -> Result<bool, HookError> {
        let page = self.hooks.relations.entities_of(self.holder, fan_out.next(), ENTRIES_PER_CHUNK).await;
        let page = page.map_err(|error| self.hooks.store_failed(error))?;
        // After the entries: whoever has just been recorded for the first time has had a vault entry before them.
        if self.token.is_none() && !page.held.is_empty() {
            self.token = token_of(self.hooks, self.holder).await?;
        }
        let plan = self.plan(page.held, fan_out).await?;
        if !holds(Clause::EntriesAfterDeletion) {
            self.forget(&plan).await.map_err(|error| self.hooks.store_failed(error))?;
        }
        let deleted = self.removal.delete(&plan.copies).await;
        fan_out.tally.deleted += deleted.deleted;
        match self.removal.failure() {
            // A relationship is dropped only after its copy is gone from every cache (DESIGN 7, rule 6).
            None => {
                fan_out.tally.matched += plan.matched;
                fan_out.tally.absent += deleted.absent;
                self.forget(&plan).await.map_err(|error| self.hooks.store_failed(error))?;
            }
            Some(failure) => {
                fan_out.tally.failed += deleted.failed;
                fan_out.incomplete = Some(failure.sentence.into());
                fan_out.waits_for.extend(failure.waits_for);
            }
        }
        Ok(fan_out.advance(page.next))
    }

    async fn plan(&self, mut held: Vec<HeldEntity>, fan_out: &mut FanOut) -> Result<Plan, HookError> {
        held.retain(|entry| self.concerns(&entry.holding));
        let relationship = |it: &HeldEntity| (it.holding.entity.clone(), it.holding.member(self.holder));
        let relationships: Vec<_> = held.iter().map(relationship).collect();
        let found = self.hooks.relations.held(&relationships).await;
        let found = found.map_err(|error| self.hooks.store_failed(error))?;
        let mut plan = Plan::default();
        for (entry, member) in held.into_iter().zip(found) {
            match (self.copies(&entry.holding), member) {
                (Ok(copies), Some(member)) => {
                    plan.matched += 1;
                    self.add(copies, &entry.holding, &mut plan);
                    if self.drops(&entry.holding, &member) {
                        plan.drop(entry, member);
                    }
                }
                // Its copy was deleted with its member, or has ended: only the entry is left.
                (copies, None) => {
                    let copies = copies.ok().filter(|_| holds(Clause::LeftOverDeleted));
                    self.add(copies.unwrap_or_default(), &entry.holding, &mut plan);
                    plan.entries.push((entry.holding, entry.stamp));
                }
                (Err(trouble), Some(_)) => {
                    self.hooks.metrics.vault_missing.inc_by(u64::from(self.token.is_none()));
                    fan_out.tally.failed += 1;
                    fan_out.has_unnamed = true;
                    fan_out.incomplete = Some(trouble.into());
                }
            }
        }
        Ok(plan)
    }

    fn add(&self, keys: Vec<CopyKey>, holding: &Holding, plan: &mut Plan) {
        if let Some(token) = &self.token {
            plan.copies.add(CopyOf { entity: holding.entity.clone(), token: token.clone() }, keys);
        }
    }

    /// A recheck is for what may have been filled late; the rest is gone.
    fn concerns(&self, holding: &Holding) -> bool {
        let resource = self.hooks.resource(&holding.entity);
        !self.job.recheck || resource.map_or(true, |resource| resource.recheck.is_some())
    }

    /// Whether a member can be dropped, now that its copies are going.
    fn drops(&self, holding: &Holding, member: &Held) -> bool {
        let resource = self.hooks.resource(&holding.entity).ok();
        let age = resource.and_then(|resource| lap::least_age(self.hooks, self.job, resource));
        age.is_some_and(|age| member.age >= age)
    }

    /// The keys of a copy in every cache, or why they cannot be named.
    fn copies(&self, holding: &Holding) -> Result<Vec<CopyKey>, &'static str> {
        let Some(token) = &self.token else {
            return Err("the holder has no readable vault entry");
        };
        let Ok(resource) = self.hooks.resource(&holding.entity) else {
            return Err("no key templates are configured for something that the holder holds");
        };
        let (member, now) = (holding.member(self.holder), self.hooks.clock.now());
        let copies = copy_keys(resource, &holding.entity, &member, token, now);
        copies.ok_or("a variant's key is unreadable")
    }

    /// Members first: an entry that is left finds the rest again. Where members linger, so do entries: whoever runs this
    /// again, after a failover has brought a copy back, finds it by them.
    async fn forget(&self, plan: &Plan) -> Result<(), StoreError> {
        let (relations, span) = (&self.hooks.relations, self.hooks.window.span());
        let linger = if holds(Clause::Lingers) { span } else { Duration::ZERO };
        let drops: Vec<_> =
            plan.members.iter().map(|(entity, members)| relations.forget(entity, members, linger)).collect();
        let mut drops = stream::iter(drops).buffer_unordered(DROPPED_AT_ONCE);
        while let Some(dropped) = drops.next().await {
            dropped?;
        }
        let linger = if holds(Clause::EntriesLinger) { span } else { Duration::ZERO };
        relations.release(self.holder, &plan.entries, linger).await.map(drop)
    }
}

impl Plan {
    fn drop(&mut self, entry: HeldEntity, Held { member, stamp, .. }: Held) {
        self.members.entry(entry.holding.entity.clone()).or_default().push((member, stamp));
        self.entries.push((entry.holding, entry.stamp));
    }
}
