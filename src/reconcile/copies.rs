//! Copies that no relationship tracks.

use std::{sync::Arc, time::Duration};

use super::{
    CacheReport, Reconcile, ReconcileError, Report, Untracked,
    owners::{Meaning, Owner},
    pace::Pace,
    sweep::{KEYS_PER_STEP, Target, targets},
};
use crate::{
    caches::{CopyKey, CopyList, CopyOf, Inspect, Life, ScanCursor, WaitsFor},
    clock::Timestamp,
    event::Entity,
    fan_out::FanOut,
    job::{CopyHeld, Job, JobId, JobKey, JobType},
    queue::{Attempt, Outcome, Phase},
    relations::Member,
};

/// The longest that any copy may live.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A copy that was found.
struct Found {
    key: CopyKey,
    meaning: Meaning,
    /// How long it has yet to live, at most.
    life: Duration,
    is_endless: bool,
}

impl Found {
    /// None where it cannot be told whose copy it is.
    fn owners(&self) -> &[Owner] {
        if self.meaning.is_unreadable { &[] } else { &self.meaning.owners }
    }

    /// How long its relationship must yet live for it to be tracked. One without an end is tracked while half of the
    /// longest life is left, so that it is not recorded anew each time.
    fn needed(&self) -> Duration {
        if self.is_endless { LONGEST / 2 } else { self.life }
    }
}

impl Reconcile<'_> {
    /// Looks at every copy in a cache.
    pub(super) async fn copies(
        &self,
        name: &str,
        inspect: &dyn Inspect,
        report: &mut Report,
    ) -> Result<(), ReconcileError> {
        report.caches.push(CacheReport { name: name.to_owned(), ..CacheReport::default() });
        report.stage = name.to_owned();
        let failed = |error| ReconcileError::Cache { name: name.to_owned(), error };
        let (now, mut pace) = (self.hooks.clock.now(), Pace::begin(self.hooks.clock));
        let targets = targets(&self.hooks.resources, now);
        let mut failure = None;
        for (index, target) in targets.iter().enumerate() {
            let mut from = Some(ScanCursor::default());
            while let Some(cursor) = from {
                let step = inspect.scan(cursor, &target.glob, KEYS_PER_STEP).await.map_err(failed)?;
                let share = step.next.map_or(1.0, ScanCursor::share_done);
                report.share_done = Some((index as f64 + share) / targets.len() as f64);
                if let Some(counts) = report.caches.last_mut() {
                    counts.scanned += step.keys.len() as u64;
                    let now = self.hooks.clock.now();
                    let found = self.found(inspect, target, step.keys).await.map_err(failed)?;
                    match self.settle(&found, now, counts).await {
                        // From another cache, perhaps. What could be done has been done.
                        Err(error @ ReconcileError::Copies(_)) => {
                            failure.get_or_insert(error);
                        }
                        done => done?,
                    }
                }
                (self.progress)(report);
                pace.keep(self.cancelled).await.ok_or(ReconcileError::Cancelled)?;
                from = step.next;
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The copies among some keys, each where its first template is the target.
    async fn found(
        &self,
        inspect: &dyn Inspect,
        target: &Target,
        keys: Vec<CopyKey>,
    ) -> Result<Vec<Found>, crate::caches::CacheError> {
        let (resources, now) = (&self.hooks.resources, self.hooks.clock.now());
        let meanings = keys.into_iter().map(|key| (Meaning::of(&key, resources, now), key));
        let (meanings, keys): (Vec<_>, Vec<_>) =
            meanings.filter(|(meaning, _)| target.counts(meaning)).unzip();
        let lives = inspect.lives(&keys).await?;
        let found = keys.into_iter().zip(meanings).zip(lives).filter_map(|((key, meaning), life)| {
            let (life, is_endless) = match life {
                Life::Gone => return None,
                Life::For(life) if life <= LONGEST => (life, false),
                Life::For(_) | Life::Endless => (LONGEST, true),
            };
            Some(Found { key, meaning, life, is_endless })
        });
        Ok(found.collect())
    }

    /// Sees to it that each is tracked or gone. `now` is from before their lives were read.
    async fn settle(
        &self,
        found: &[Found],
        now: Timestamp,
        counts: &mut CacheReport,
    ) -> Result<(), ReconcileError> {
        let tracked = self.tracked(found, now).await?;
        // While the index is new a relationship may come of a hit on a copy from before, and does not make that fresh.
        let is_new = self.hooks.trust.incomplete_until(now).is_some();
        let (mut to_judge, mut to_record, mut to_evict) = (Vec::new(), Vec::new(), Vec::new());
        for (copy, is_tracked) in found.iter().zip(tracked) {
            counts.matched += 1;
            counts.ambiguous += u64::from(copy.owners().len() > 1);
            counts.unreadable += u64::from(copy.owners().is_empty());
            counts.endless += u64::from(copy.is_endless);
            counts.tracked += u64::from(is_tracked);
            match self.untracked() {
                Untracked::Record if is_tracked && is_new => to_judge.push(copy),
                _ if is_tracked => {}
                Untracked::Evict => to_evict.push(copy),
                Untracked::Record if copy.owners().is_empty() => {}
                Untracked::Record => to_record.push(copy),
            }
        }
        let kept = self.record(&to_record).await?;
        counts.recorded += kept;
        let tracked = self.record(&to_judge).await?;
        counts.evicted += to_judge.len() as u64 - tracked;
        counts.evicted += to_record.len() as u64 - kept + to_evict.len() as u64;
        self.evict(&to_evict).await
    }

    /// Whether a relationship outlives each copy.
    async fn tracked(&self, found: &[Found], now: Timestamp) -> Result<Vec<bool>, ReconcileError> {
        let members: Vec<_> = found.iter().flat_map(Found::owners).map(|owner| self.member(owner)).collect();
        let mut held = self.hooks.relations.held(&members).await?.into_iter();
        let tracked = |copy: &Found| {
            let end = now.after(copy.needed());
            let of_owners = held.by_ref().take(copy.owners().len());
            of_owners.fold(false, |any, held| any | held.is_some_and(|held| held.expires_at >= end))
        };
        Ok(found.iter().map(tracked).collect())
    }

    fn member(&self, owner: &Owner) -> (Entity, Member) {
        let holder = self.hooks.keys.holder_id(&owner.token);
        (owner.entity.clone(), Member { holder, variant: owner.variant.clone() })
    }

    /// Records copies as undated reads. Returns how many of them are there still: the others turned out to be stale.
    async fn record(&self, copies: &[&Found]) -> Result<u64, ReconcileError> {
        if self.plan.dry_run || copies.is_empty() {
            return Ok(copies.len() as u64);
        }
        let accepted_at = self.hooks.clock.now();
        let owned = copies.iter().flat_map(|copy| copy.owners().iter().map(|owner| (owner, copy.life)));
        let attempts: Vec<_> = owned.map(|(owner, life)| self.read(owner, life, accepted_at)).collect();
        for outcome in self.hooks.cache(&attempts).await {
            if let Outcome::Failed { error, .. } = outcome {
                return Err(ReconcileError::Copies(error));
            }
        }
        let members: Vec<_> =
            copies.iter().flat_map(|copy| copy.owners()).map(|owner| self.member(owner)).collect();
        let mut held = self.hooks.relations.held(&members).await?.into_iter();
        let is_kept = |copy: &&&Found| {
            held.by_ref().take(copy.owners().len()).fold(true, |all, held| all & held.is_some())
        };
        Ok(copies.iter().filter(is_kept).count() as u64)
    }

    /// A read of this copy, of which nothing is known but that it has it.
    fn read(&self, owner: &Owner, life: Duration, accepted_at: Timestamp) -> Attempt {
        let holder = self.hooks.keys.holder_id(&owner.token);
        let (token, cache_key) = (owner.token.clone(), owner.variant.clone());
        let id = JobId::new(accepted_at);
        let job = Job {
            id,
            key: JobKey(id.as_u128()),
            job_type: JobType::Cache,
            topic: "reconcile".into(),
            entity: owner.entity.clone(),
            priority: 0,
            superceedable: false,
            ready_at: self.hooks.clock.tick(),
            expires_at: None,
            occurred_at: None,
            generation: None,
            accepted_at,
            copy: Some(Box::new(CopyHeld { holder, token, user_id: None, cache_key, life })),
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        };
        Attempt {
            job: Arc::new(job),
            phase: Phase::Work,
            failures: 0,
            fan_out: FanOut::default(),
            waited: Duration::ZERO,
            kept: Vec::new(),
            waits_for: WaitsFor::default(),
        }
    }

    /// Deletes copies from every cache: what one does not track, none does.
    async fn evict(&self, copies: &[&Found]) -> Result<(), ReconcileError> {
        if self.plan.dry_run || copies.is_empty() {
            return Ok(());
        }
        let mut list = CopyList::default();
        for copy in copies {
            let keys = vec![copy.key.clone()];
            match copy.owners() {
                [] => list.add_unknown(keys),
                owners => {
                    for Owner { entity, token, .. } in owners {
                        list.add(CopyOf { entity: entity.clone(), token: token.clone() }, keys.clone());
                    }
                }
            }
        }
        let mut removal = self.hooks.caches.removal();
        removal.delete(&list).await;
        removal.failure().map_or(Ok(()), |failure| Err(ReconcileError::Copies(failure.sentence)))
    }
}

impl Target {
    /// Whether a key of this meaning is counted with this target's: with its first template's, or with the first pattern that
    /// matches it where it is no template's.
    fn counts(&self, meaning: &Meaning) -> bool {
        match &meaning.glob {
            Some(glob) => *glob == self.glob,
            None => self.is_variants,
        }
    }
}
