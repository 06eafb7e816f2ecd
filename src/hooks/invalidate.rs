//! `invalidate`: writes `stale`, then removes every copy that the index knows of, in turns of bounded length.

use std::time::Duration;

use super::{HookError, Hooks, copy_keys, lap, precedence::Turn, resolve};
use crate::{
    caches::{CopyList, CopyOf, Removal},
    clause::{Clause, holds},
    fan_out::FanOut,
    job::Job,
    queue::{Attempt, Outcome},
    relations::{AsRead, Held, Page, Position, StaleMark},
    resource::Resource,
};

/// Members of one round: walk, vault, caches, index.
const MEMBERS_PER_CHUNK: usize = 256;
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
    let order = lap::order(hooks, job, fan_out);
    // `stale` first, then the members (DESIGN 7, rule 1).
    let first = match holds(Clause::StaleBeforeMembers) {
        true => mark(hooks, job, resource, fan_out).await?,
        false => None,
    };
    fan_out.begin_turn(resource.recheck.is_none());
    let mut removal = hooks.caches.removal();
    if !resolve::next_page(hooks, &job.entity, resource, &mut removal, fan_out).await? {
        return Ok(false);
    }
    let mut chunk = Chunk { hooks, job, resource, order, removal };
    if chunk.remove_some(first, fan_out).await? {
        chunk.finish(fan_out).await?;
        mark(hooks, job, resource, fan_out).await?;
        return Ok(true);
    }
    Ok(false)
}

/// Writes `stale`, where that has not been done for this fan-out, and where that begins with the first page of members, reads it
/// in the same round trip. A recheck does not: another mark would make stale what was read since the first one.
async fn mark(
    hooks: &Hooks,
    job: &Job,
    resource: &Resource,
    fan_out: &mut FanOut,
) -> Result<Option<Page>, HookError> {
    let mut first = None;
    if !fan_out.marked && !job.recheck {
        let skew = if holds(Clause::StaleOutlivesHorizon) { 2 * resource.guard } else { Duration::ZERO };
        let at = job.occurred_at.unwrap_or(job.accepted_at);
        let mark = StaleMark { at, life: resource.horizon + skew };
        let (relations, entity) = (&hooks.relations, &job.entity);
        let marked = if fan_out.next() == Position::default() {
            let marked = relations.invalidate_and_walk(entity, mark, MEMBERS_PER_CHUNK).await;
            marked.map(|(_, page)| first = Some(page))
        } else {
            relations.invalidate(entity, mark).await.map(drop)
        };
        marked.map_err(|error| hooks.store_failed(error))?;
    }
    fan_out.marked = true;
    Ok(first)
}

/// What one chunk after the other works with.
struct Chunk<'a> {
    hooks: &'a Hooks,
    job: &'a Job,
    resource: &'a Resource,
    order: Turn<'a>,
    removal: Removal<'a>,
}

/// The members of a page, and their copies.
struct Found {
    page: Page,
    copies: CopyList,
    /// Members whose tokens the vault does not give. They are not on the page any more.
    unnamed: u64,
}

impl Chunk<'_> {
    /// Removes the members of a turn, a page at a time, the first of which may have been read; each page is read while the one
    /// before it is removed. Returns whether the lap is complete.
    async fn remove_some(&mut self, first: Option<Page>, fan_out: &mut FanOut) -> Result<bool, HookError> {
        let mut found = match first {
            Some(page) => name(self.hooks, self.job, self.resource, page).await?,
            None => find(self.hooks, self.job, self.resource, fan_out.next()).await?,
        };
        for pages_left in (0..CHUNKS_PER_TURN).rev() {
            let ahead = fan_out.ahead(found.page.next).filter(|_| pages_left > 0);
            let (hooks, job, resource) = (self.hooks, self.job, self.resource);
            let next = async {
                match ahead {
                    Some(position) => find(hooks, job, resource, position).await.map(Some),
                    None => Ok(None),
                }
            };
            let (removed, next) = tokio::join!(self.remove(&found, fan_out), next);
            removed?;
            if fan_out.advance(found.page.next) {
                return Ok(true);
            }
            self.order.give_way().await;
            match next? {
                Some(next) => found = next,
                None => break,
            }
        }
        Ok(false)
    }

    /// Removes the copies of a page's members, and where all of them are gone, the members.
    async fn remove(&mut self, found: &Found, fan_out: &mut FanOut) -> Result<(), HookError> {
        let Found { page, copies, unnamed } = found;
        if *unnamed > 0 {
            fan_out.tally.failed += unnamed;
            fan_out.has_unnamed = true;
            fan_out.incomplete = Some("a holder has no readable vault entry".into());
        }
        if !holds(Clause::DroppedAfterDeletion) {
            self.forget(page).await?;
        }
        let deleted = self.removal.delete(copies).await;
        fan_out.tally.deleted += deleted.deleted;
        let failure = self.removal.failure();
        if failure.is_some() && !holds(Clause::DroppedIfGoneEverywhere) {
            self.forget(page).await?;
        }
        match failure {
            // A relationship is dropped only after its copy is gone from every cache (DESIGN 7, rule 6).
            None => {
                fan_out.tally.matched += page.held.len() as u64;
                page.held.iter().for_each(|held| fan_out.removed.add(held.member.holder));
                self.forget(page).await?;
                fan_out.tally.absent += deleted.absent;
            }
            Some(failure) => {
                fan_out.tally.failed += deleted.failed;
                fan_out.incomplete = Some(failure.sentence.into());
                fan_out.waits_for.extend(failure.waits_for);
            }
        }
        Ok(())
    }

    async fn forget(&self, page: &Page) -> Result<(), HookError> {
        let Some(age) = lap::least_age(self.hooks, self.job, self.resource) else { return Ok(()) };
        let (relations, entity) = (&self.hooks.relations, &self.job.entity);
        let linger = if holds(Clause::Lingers) { self.hooks.window.span() } else { Duration::ZERO };
        let forgotten = if page.held.iter().all(|held| held.age >= age) {
            relations.forget_page(entity, page, linger).await
        } else {
            let old = page.held.iter().filter(|held| held.age >= age);
            let members: Vec<_> = old.map(|held| (held.member.clone(), held.stamp)).collect();
            relations.forget(entity, &members, linger).await
        };
        forgotten.map(drop).map_err(|error| self.hooks.store_failed(error))
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

/// Reads a page of members, and what their copies are named.
async fn find(hooks: &Hooks, job: &Job, resource: &Resource, from: Position) -> Result<Found, HookError> {
    let page = hooks.relations.walk(&job.entity, from, MEMBERS_PER_CHUNK).await;
    name(hooks, job, resource, page.map_err(|error| hooks.store_failed(error))?).await
}

/// Finds the tokens of a page's members, and with them their copies' names.
async fn name(hooks: &Hooks, job: &Job, resource: &Resource, mut page: Page) -> Result<Found, HookError> {
    let holders: Vec<_> = page.held.iter().map(|held| held.member.holder).collect();
    let vault = hooks.relations.tokens(&holders).await;
    let vault = vault.map_err(|error| hooks.store_failed(error))?;
    let now = hooks.clock.now();
    let (mut copies, all) = (CopyList::default(), page.held.len());
    let mut vault = vault.into_iter();
    page.held.retain(|Held { member, .. }| {
        let entry = vault.next().flatten().and_then(|sealed| hooks.keys.open(member.holder, &sealed).ok());
        let named = entry.and_then(|entry| {
            let keys = copy_keys(resource, &job.entity, member, &entry.token, now)?;
            Some((entry.token, keys))
        });
        let is_named = named.is_some();
        if let Some((token, keys)) = named {
            copies.add(CopyOf { entity: job.entity.clone(), token }, keys);
        }
        is_named
    });
    let unnamed = (all - page.held.len()) as u64;
    if unnamed > 0 {
        hooks.metrics.vault_missing.inc_by(unnamed);
        page.read = AsRead::default();
    }
    Ok(Found { page, copies, unnamed })
}
