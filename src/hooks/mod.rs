//! What jobs do to relationships and caches: one file per job type (DESIGN 7).
//!
//! A hook does not know the queue. It is given attempts and answers outcomes; follow-up jobs are part of an outcome.

mod cache;
mod invalidate;
mod lap;
mod precedence;
mod resolve;
mod revoke;

use std::sync::Arc;

pub use precedence::Precedence;

use crate::{
    caches::{Caches, CopyKey, Failure, WaitsFor},
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::{AccessToken, Entity},
    fan_out::FanOut,
    job::{Cause, Job, JobType},
    metrics::Metrics,
    queue::{Attempt, Outcome},
    relations::{Member, Relations, StoreError},
    resolver::{Resolver, ResolverError},
    resource::{Resource, Resources, variant_key},
    rules::History,
    secret::Keys,
    trust::Trust,
    window::Window,
};

/// What every hook works with.
pub struct Hooks {
    /// The index.
    pub relations: Arc<dyn Relations>,
    /// Where copies live.
    pub caches: Caches,
    /// Seals and opens vault entries.
    pub keys: Arc<Keys>,
    /// How copies of each resource type are named, and how long they live.
    pub resources: Arc<Resources>,
    /// Knows whether the index was lost.
    pub trust: Arc<Trust>,
    /// Whom to ask while the index may not know, where there is somebody.
    pub resolver: Option<Arc<Resolver>>,
    /// Which fan-outs go first while they run.
    pub precedence: Arc<Precedence>,
    /// How long what is removed may have to be removed again.
    pub window: Arc<Window>,
    /// Makes follow-up jobs.
    pub rules: History,
    /// Reads the time after the store was asked.
    pub clock: Clock,
    /// Counts what was done.
    pub metrics: Arc<Metrics>,
}

impl Hooks {
    /// Runs `cache` jobs together: one round trip records them all. Answers in their order.
    pub async fn cache(&self, attempts: &[Attempt]) -> Vec<Outcome> {
        cache::run(self, attempts).await
    }

    /// Runs a turn of an `invalidate` job.
    pub async fn invalidate(&self, attempt: &Attempt) -> Outcome {
        invalidate::run(self, attempt).await
    }

    /// Runs a turn of a `revoke` job.
    pub async fn revoke(&self, attempt: &Attempt) -> Outcome {
        revoke::run(self, attempt).await
    }

    fn resource(&self, entity: &Entity) -> Result<&Resource, HookError> {
        self.resources.get(&entity.resource_type).ok_or(HookError::NoResource)
    }

    /// The job that does again what this one has done, for caches that fill late, where there are such.
    fn again(&self, job: &Job) -> Option<Job> {
        if !holds(Clause::Recheck) {
            return None;
        }
        let delay = match job.job_type {
            JobType::Cache | JobType::Invalidate => self.resource(&job.entity).ok()?.recheck,
            // Whatever the holder holds has been filled by then.
            JobType::Revoke => self.resources.longest_recheck().filter(|_| holds(Clause::RevokedAgain)),
        };
        Some(job.again(delay.filter(|_| !job.recheck)?, self.clock.accepted()))
    }

    fn store_failed(&self, error: StoreError) -> HookError {
        self.metrics.errors.with_label_values(&["store"]).inc();
        error.into()
    }
}

/// Why an attempt failed. All of it may pass, so the job is tried again.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no key templates are configured for this resource type")]
    NoResource,
    #[error("a variant's key is unreadable")]
    Unreadable,
    #[error("the job names no holder")]
    NoHolder,
    #[error(
        "store.by_holder is off, so nobody knows what the holder holds: set it to true, and wait for the longest ttl"
    )]
    NotByHolder,
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    #[error("{}", .0.sentence)]
    Caches(Failure),
}

impl HookError {
    fn outcome(&self, fan_out: Option<FanOut>) -> Outcome {
        let (error, cause, waits_for) = (self.to_string(), self.cause(), self.waits_for());
        Outcome::Failed { error, cause, fan_out, waits_for }
    }

    fn cause(&self) -> Cause {
        match self {
            Self::Store(StoreError::Unavailable(_)) => Cause::StoreUnavailable,
            Self::Store(StoreError::Refused(_)) => Cause::StoreRefused,
            Self::Store(StoreError::Unreadable(_)) => Cause::StoreUnreadable,
            Self::Store(StoreError::Lost) => Cause::IndexLost,
            Self::NoResource => Cause::NoResource,
            Self::Unreadable => Cause::KeyUnreadable,
            Self::NoHolder | Self::NotByHolder => Cause::NotByHolder,
            Self::Resolver(_) => Cause::ResolverFailed,
            Self::Caches(_) => Cause::CacheUnavailable,
        }
    }

    fn waits_for(&self) -> WaitsFor {
        match self {
            Self::Caches(failure) => failure.waits_for.clone(),
            Self::Store(_)
            | Self::NoResource
            | Self::Unreadable
            | Self::NoHolder
            | Self::NotByHolder
            | Self::Resolver(_) => WaitsFor::default(),
        }
    }
}

/// The keys of a member's copies in every cache.
pub(crate) fn copy_keys(
    resource: &Resource,
    entity: &Entity,
    member: &Member,
    token: &AccessToken,
    now: Timestamp,
) -> Option<Vec<CopyKey>> {
    match &member.variant {
        None => Some(resource.keys_to_remove(&entity.id, token, now)),
        Some(variant) => variant_key(variant, token).ok()?.map(|key| vec![key]),
    }
}

/// The member that a `cache` job is about.
fn member_of(job: &Job) -> Option<Member> {
    let copy = job.copy.as_deref()?;
    Some(Member { holder: copy.holder, variant: copy.cache_key.clone() })
}

#[cfg(test)]
mod tests;
