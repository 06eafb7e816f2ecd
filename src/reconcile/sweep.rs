//! Deletes every copy that a cache holds, found by the resources' templates and variant patterns and not by the index: what is
//! left to do where the index was lost, or where a cache has come back that owes more deletions than were kept.
//!
//! A copy that is written behind the scan stays. That is right after a loss, where copies of before it have to go: one that
//! was there all along is met. It is deleted whatever has become of it meanwhile, for to delete a copy breaks no promise.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::{
    caches::{Cache, CacheError, Caches, CopyKey, ScanCursor},
    clock::{Clock, Timestamp},
    resource::{Resource, Resources},
    template::Glob,
};

/// Keys that a cache looks at in one step: about a millisecond of a Redis.
pub(super) const KEYS_PER_STEP: usize = 512;

/// What a sweep works with. It is bounded in memory by one step, and leaves each cache half of its time.
pub struct Sweep<'a> {
    /// Where copies live.
    pub caches: &'a Caches,
    /// How they are named.
    pub resources: &'a Resources,
    /// For the pauses.
    pub clock: Clock,
    /// Only counts.
    pub dry_run: bool,
    /// Is told how far it has come, after each step.
    pub progress: &'a (dyn Fn(&Swept) + Sync),
    /// Ends it after the step under way.
    pub cancelled: &'a CancellationToken,
}

/// How far a sweep has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Swept {
    /// Keys that templates or variant patterns match.
    pub matched: u64,
    /// Copies that were deleted.
    pub deleted: u64,
    /// Caches that cannot be swept, as they neither tell what they hold nor can be emptied as a whole. How many copies went from
    /// one that was emptied as a whole, nobody knows.
    pub unscannable: Vec<String>,
}

/// Why a sweep did not come to its end. It may be made again from the beginning.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SweepError {
    /// There is no cache of this name.
    #[error("there is no cache {0}")]
    UnknownCache(String),
    /// The cache does not tell what it holds, and cannot be emptied as a whole.
    #[error("the cache {0} does not tell what it holds")]
    Unscannable(String),
    /// The cache did not answer.
    #[error("cache {name}: {error}")]
    Cache {
        /// Which one.
        name: String,
        /// What it said.
        error: CacheError,
    },
    /// Whoever asked for it wants it no more.
    #[error("cancelled")]
    Cancelled,
}

impl Sweep<'_> {
    /// Sweeps the cache of this name.
    ///
    /// # Errors
    /// [`SweepError`]: some of its copies may be left.
    pub async fn one(&self, name: &str) -> Result<Swept, SweepError> {
        let cache = self.caches.iter().find(|cache| cache.name() == name);
        let cache = cache.ok_or_else(|| SweepError::UnknownCache(name.to_owned()))?;
        let mut swept = Swept::default();
        self.cache(cache, &mut swept).await.map(|()| swept)
    }

    /// Sweeps all caches, in their order. Those that do not tell what they hold are named in the answer.
    ///
    /// # Errors
    /// The first [`SweepError`], after the other caches were swept.
    pub async fn all(&self) -> Result<Swept, SweepError> {
        let (mut swept, mut failed) = (Swept::default(), None);
        for cache in self.caches.iter() {
            match self.cache(cache, &mut swept).await {
                Err(SweepError::Unscannable(name)) => swept.unscannable.push(name),
                Err(SweepError::Cancelled) => return Err(SweepError::Cancelled),
                Err(error) => failed = failed.or(Some(error)),
                Ok(()) => {}
            }
        }
        failed.map_or(Ok(swept), Err)
    }

    async fn cache(&self, cache: &dyn Cache, swept: &mut Swept) -> Result<(), SweepError> {
        let failed = |error| SweepError::Cache { name: cache.name().to_owned(), error };
        let Some(inspect) = cache.inspect() else {
            return match cache.purge_all() {
                Some(_) if self.dry_run => Ok(()),
                Some(everything) => everything.await.map_err(failed),
                None => Err(SweepError::Unscannable(cache.name().to_owned())),
            };
        };
        let mut pace = Pace::begin(self.clock);
        let now = self.clock.now();
        for target in targets(self.resources, now) {
            let mut from = Some(ScanCursor::default());
            while let Some(cursor) = from {
                let step = inspect.scan(cursor, &target.glob, KEYS_PER_STEP).await.map_err(failed)?;
                let mut keys = step.keys;
                keys.retain(|key| target.matches(self.resources, key, now));
                swept.matched += keys.len() as u64;
                if !self.dry_run {
                    swept.deleted += cache.delete(&keys).await.map_err(failed)? as u64;
                }
                (self.progress)(swept);
                pace.keep(self.cancelled).await.ok_or(SweepError::Cancelled)?;
                from = step.next;
            }
        }
        Ok(())
    }
}

/// Keys that are scanned for together.
pub(super) struct Target {
    pub(super) glob: Glob,
    /// Whether the pattern itself says which keys are meant, and not a template.
    pub(super) is_variants: bool,
}

impl Target {
    fn matches(&self, resources: &Resources, key: &CopyKey, now: Timestamp) -> bool {
        let is_copy = |resource: &Resource| resource.living_templates(now).any(|it| it.matches(key));
        self.is_variants || resources.iter().any(|(_, resource)| is_copy(resource))
    }
}

/// What a cache is scanned for, each pattern once: also copies under what an earlier configuration named (DESIGN 7, rule 12).
pub(super) fn targets(resources: &Resources, now: Timestamp) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut add = |glob: Glob, is_variants: bool| match targets.iter_mut().find(|it| it.glob == glob) {
        Some(target) => target.is_variants |= is_variants,
        None => targets.push(Target { glob, is_variants }),
    };
    for (_, resource) in resources.iter() {
        resource.living_templates(now).for_each(|template| add(template.glob(), false));
        resource.variant_patterns().iter().for_each(|glob| add(glob.clone(), true));
    }
    targets
}
