//! Index and caches, compared: copies that no relationship tracks are recorded or evicted, relationships without a copy are
//! dropped (DESIGN 7, rule 13). Both go on while reads, invalidations and other processes do.
//!
//! # Why that is safe
//!
//! **To delete a copy** breaks no promise, whatever has become of it since it was looked at: replaced by a fresh one, or recorded
//! by its own event that was still on its way. At worst it costs a read, and leaves a relationship that expires.
//!
//! **To record a copy** is a `cache` job of the hook that reads run: vault, member, then `stale`. It is undated, so rule 5 evicts it
//! where there is any `stale`. An invalidation writes `stale` before it reads the members: either it finds this member, or this
//! recording finds its `stale`. So an untracked copy of before a write goes, whether the write comes before the scan, between
//! scan and recording, or after. A recording says nothing of how fresh a copy is: when the copy's own event arrives, that is
//! judged by its own time and evicts it all the same. A copy that was replaced between the look at its life and its recording may
//! live longer than what was recorded; the API posts the read that replaced it, as any other.
//!
//! What this cannot know is a write that is older than `horizon`, of whose `stale` nothing is left, and that found the copy
//! untracked. So after a loss copies are evicted, and recording is for the day on which decache is introduced.
//!
//! **A relationship is dropped** when its copy was in no cache after its stamp was read. The API posts a read after it has
//! written the copy: one that is written later has a recording of its own to come, which gives the member another stamp, and then the
//! comparison drops nothing; or it comes after the drop and records the member anew.
//!
//! **A key that can be read in several ways** is tracked where one of the relationships is there that it may be of: the API itself
//! has said which it means. Else it is recorded under each of them, so that whichever entity changes, the copy goes.
//!
//! **A copy without an end** is recorded for the longest time that any copy may live. `ttl` would be what its own event would have
//! given it, but a copy that outlives its relationship is what this is here to prevent; and where copies never end, to evict
//! them all would empty the cache on the day of introduction. The price is a relationship that outlives a copy that
//! is removed by other means, until the entity's next invalidation or the next reconciliation drops it.

mod copies;
mod desk;
mod owners;
mod pace;
mod relationships;
mod report;
mod sweep;

use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use desk::{Busy, Reconciliation, Reconciliations, Stage};
pub use report::{CacheReport, Plan, RelationshipReport, Report, Untracked};
pub use sweep::{Sweep, SweepError, Swept};

use crate::{
    caches::CacheError,
    hooks::Hooks,
    relations::{ClaimError, StoreError},
};

/// A reconciliation. It is bounded in memory, and leaves index and caches half of their time.
pub struct Reconcile<'a> {
    /// Index, caches and how copies are named.
    pub hooks: &'a Hooks,
    /// What is wanted.
    pub plan: Plan,
    /// Is told how far it has come, after each step.
    pub progress: &'a (dyn Fn(&Report) + Sync),
    /// Ends it after the step under way.
    pub cancelled: &'a CancellationToken,
}

/// Why a reconciliation did not come to its end. What it did until then is right, and it may be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store is another secret's, or did not answer.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A cache did not answer.
    #[error("cache {name}: {error}")]
    Cache {
        /// Which one.
        name: String,
        /// What it said.
        error: CacheError,
    },
    /// Copies could not be recorded, or not be deleted everywhere.
    #[error("{0}")]
    Copies(String),
    /// Whoever asked for it wants it no more.
    #[error("cancelled")]
    Cancelled,
}

impl Reconcile<'_> {
    /// Looks at every copy of every cache, and then at every relationship.
    ///
    /// # Errors
    /// [`ReconcileError`]: the rest was not looked at.
    pub async fn run(&self) -> Result<Report, ReconcileError> {
        let mut report = self.copies_only().await?;
        self.relationships(&mut report).await?;
        report.share_done = Some(1.0);
        (self.progress)(&report);
        Ok(report)
    }

    /// Looks at every copy of every cache. That is all that a loss asks for: it leaves no relationships behind.
    ///
    /// # Errors
    /// [`ReconcileError`]: the rest was not looked at.
    pub async fn copies_only(&self) -> Result<Report, ReconcileError> {
        self.hooks.relations.claim(self.hooks.keys.fingerprint()).await?;
        let mut report = Report { irreversible: self.irreversible(), ..Report::default() };
        for template in &report.irreversible {
            warn!(
                template,
                "keys of this template hold a hash and cannot be read back: their copies cannot be recorded"
            );
        }
        let mut failure = None;
        for cache in self.hooks.caches.iter() {
            match cache.inspect() {
                // One that fails holds up none of the others.
                Some(inspect) => match self.copies(cache.name(), inspect, &mut report).await {
                    Err(error @ (ReconcileError::Cache { .. } | ReconcileError::Copies(_))) => {
                        failure.get_or_insert(error);
                    }
                    done => done?,
                },
                None => {
                    warn!(cache = cache.name(), "this cache does not tell what it holds");
                    report.unscannable.push(cache.name().to_owned());
                }
            }
        }
        failure.map_or(Ok(report), Err)
    }

    /// What becomes of untracked copies.
    fn untracked(&self) -> Untracked {
        let is_lost = self.hooks.trust.floor().is_some();
        self.plan.untracked.unwrap_or(if is_lost { Untracked::Evict } else { Untracked::Record })
    }

    fn irreversible(&self) -> Vec<String> {
        let templates = self.hooks.resources.iter().flat_map(|(_, resource)| resource.templates().iter());
        templates.filter(|template| !template.is_reversible()).map(ToString::to_string).collect()
    }
}
