//! Does what is owed after a loss or a failover, one thing after the other, until nothing is.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Losses,
    note::{Debt, OwedByCache, Untold},
};
use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    config::store::OnLoss,
    current::Taken,
    hooks::Hooks,
    reconcile::{Plan, Reconcile, ReconcileError, Sweep, SweepError, Untracked},
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Relationships end at whole seconds of the store's clock.
const LINGERS_LONGER: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Default)]
struct Paid {
    evicted: u64,
    unscannable: Vec<String>,
}

enum Unpaid {
    Cancelled,
    MoreCameUp,
    Failed(String),
}

impl Losses {
    /// Works until cancelled. What is left then is in the note, and is done after the next start.
    pub async fn answer(&self, cancelled: CancellationToken) {
        while !cancelled.is_cancelled() {
            let came_up = self.came_up.notified();
            let index_waits = self.on_loss() == OnLoss::Resolver;
            let next = self.memory().note.owed.next(index_waits);
            let Some(debt) = next else {
                cancelled.run_until_cancelled(came_up).await;
                continue;
            };
            // What a reload cuts off begins again with what has taken the place of what it worked with.
            let Taken { it: hooks, replaced } = self.ground.hooks.take();
            let paid = tokio::select! {
                paid = self.pay_in_full(&hooks, &debt, &cancelled) => paid,
                () = replaced.cancelled() => Err(Unpaid::MoreCameUp),
            };
            drop(hooks);
            match paid {
                Ok(paid) => self.paid(&debt, &paid).await,
                Err(Unpaid::Cancelled) => return,
                Err(Unpaid::MoreCameUp) => {}
                Err(Unpaid::Failed(error)) => {
                    self.tell_debt(&debt, Some(&error));
                    cancelled.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
            }
        }
    }

    /// Takes note of something to be done. It is noted on disk with what was found.
    pub(super) fn owe(&self, debt: &Debt) {
        let mut memory = self.memory();
        match debt {
            Debt::Index(since) => memory.note.owed.index = Some(*since),
            Debt::Cache(name, owed) => memory.note.owed.add(name, *owed),
        }
        drop(memory);
        self.tell_debt(debt, None);
        self.came_up.notify_one();
    }

    /// Has readiness name the caches that nobody could empty, until what was in them has ended.
    pub(super) fn tell_untold(&self) {
        let mut memory = self.memory();
        let Some(untold) = &memory.note.untold else { return };
        let detail = (untold.until > self.ground.clock.now()).then(|| untold.detail());
        if detail.is_none() {
            memory.note.untold = None;
        }
        // A loss that is being answered says more.
        if memory.note.owed.index.is_none() {
            self.ground.health.report("index", detail);
        }
    }

    /// What an earlier life owed is owed still.
    pub(super) fn go_on_owing(&self) {
        let owed = self.memory().note.owed.clone();
        if let Some(since) = owed.index {
            self.trust.lost(since, since.after(self.life()));
            self.tell_debt(&Debt::Index(since), None);
        }
        for (name, owed) in owed.caches {
            self.tell_debt(&Debt::Cache(name, owed), None);
        }
    }

    /// What is done about a loss of the index. Where it was lost in part only, a relationship that is left proves nothing of
    /// its copy, and neither does one that was made before the loss was noticed.
    fn on_loss(&self) -> OnLoss {
        if self.memory().note.owed.partly { OnLoss::Evict } else { self.ground.on_loss }
    }

    /// Where caches fill late (DESIGN 7, rule 11) one may be filled for a read that was recorded, and judged, before the index
    /// was lost: once more, when the last of them has been.
    async fn pay_in_full(
        &self,
        hooks: &Hooks,
        debt: &Debt,
        cancelled: &CancellationToken,
    ) -> Result<Paid, Unpaid> {
        let paid = self.pay(hooks, debt, cancelled).await?;
        let (Debt::Index(since), Some(recheck)) = (debt, hooks.resources.longest_recheck()) else {
            return Ok(paid);
        };
        let left = since.after(recheck).since(self.window.now());
        cancelled.run_until_cancelled(tokio::time::sleep(left)).await.ok_or(Unpaid::Cancelled)?;
        let again = self.pay(hooks, debt, cancelled).await?;
        Ok(Paid { evicted: paid.evicted + again.evicted, ..again })
    }

    async fn pay(&self, hooks: &Hooks, debt: &Debt, cancelled: &CancellationToken) -> Result<Paid, Unpaid> {
        match (debt, self.on_loss()) {
            _ if !holds(Clause::LossAnswered) => Ok(Paid::default()),
            (Debt::Index(_), OnLoss::Rebuild) => {
                let mut paid = self.evict_untracked(hooks, cancelled).await?;
                self.empty_whole(hooks, &mut paid.unscannable).await.map(|()| paid)
            }
            (Debt::Index(_), OnLoss::Evict) => self.sweep(hooks, None, cancelled).await,
            (Debt::Index(since), OnLoss::Resolver) => self.wait_for_the_last_copy(*since, cancelled).await,
            (Debt::Cache(name, OwedByCache { all: true, .. }), _) => {
                self.sweep(hooks, Some(name), cancelled).await
            }
            (Debt::Cache(_, OwedByCache { since, .. }), _) => {
                // A relationship that lingers tracks a copy that it will not outlive.
                let window = &self.window;
                let gone = since.after(window.span() + LINGERS_LONGER).since(window.now());
                cancelled.run_until_cancelled(tokio::time::sleep(gone)).await.ok_or(Unpaid::Cancelled)?;
                self.evict_untracked(hooks, cancelled).await
            }
        }
    }

    /// Until then the resolver is asked with each invalidation.
    async fn wait_for_the_last_copy(
        &self,
        since: Timestamp,
        cancelled: &CancellationToken,
    ) -> Result<Paid, Unpaid> {
        let left = since.after(self.life()).since(self.ground.clock.now());
        tokio::select! {
            () = tokio::time::sleep(left) => Ok(Paid::default()),
            () = self.came_up.notified() => Err(Unpaid::MoreCameUp),
            () = cancelled.cancelled() => Err(Unpaid::Cancelled),
        }
    }

    async fn evict_untracked(&self, hooks: &Hooks, cancelled: &CancellationToken) -> Result<Paid, Unpaid> {
        let plan = Plan { dry_run: false, untracked: Some(Untracked::Evict) };
        let reconcile = Reconcile { hooks, plan, progress: &|_| {}, cancelled };
        match reconcile.copies_only().await {
            Ok(report) => Ok(Paid {
                evicted: report.caches.iter().map(|cache| cache.evicted).sum(),
                unscannable: report.unscannable,
            }),
            Err(ReconcileError::Cancelled) => Err(Unpaid::Cancelled),
            Err(error) => Err(Unpaid::Failed(error.to_string())),
        }
    }

    /// Empties those of these caches that can be emptied only as a whole. The others are left in the list.
    async fn empty_whole(&self, hooks: &Hooks, unscannable: &mut Vec<String>) -> Result<(), Unpaid> {
        for cache in hooks.caches.iter() {
            let name = cache.name();
            let Some(everything) = cache.purge_all().filter(|_| unscannable.iter().any(|it| it == name))
            else {
                continue;
            };
            everything.await.map_err(|error| Unpaid::Failed(format!("cache {name}: {error}")))?;
            unscannable.retain(|it| it != name);
        }
        Ok(())
    }

    async fn sweep(
        &self,
        hooks: &Hooks,
        only: Option<&str>,
        cancelled: &CancellationToken,
    ) -> Result<Paid, Unpaid> {
        let sweep = Sweep {
            caches: &hooks.caches,
            resources: &hooks.resources,
            clock: self.ground.clock,
            dry_run: false,
            progress: &|_| {},
            cancelled,
        };
        let swept = match only {
            None => sweep.all().await,
            Some(component) => sweep.one(component.trim_start_matches("cache:")).await,
        };
        match swept {
            Ok(swept) => Ok(Paid { evicted: swept.deleted, unscannable: swept.unscannable }),
            Err(SweepError::Cancelled) => Err(Unpaid::Cancelled),
            // It is no longer configured.
            Err(SweepError::UnknownCache(_)) => Ok(Paid::default()),
            Err(error) => Err(Unpaid::Failed(error.to_string())),
        }
    }

    async fn paid(&self, debt: &Debt, paid: &Paid) {
        if !self.memory().note.owed.paid(debt) {
            return;
        }
        if matches!(debt, Debt::Index(_)) && paid.unscannable.is_empty() {
            self.trust.complete();
        }
        self.observe();
        self.ground.health.report(&component(debt), None);
        if let (Debt::Index(since), [_, ..]) = (debt, &*paid.unscannable) {
            let untold = Untold { caches: paid.unscannable.clone(), until: since.after(self.life()) };
            for cache in &untold.caches {
                warn!(cache, until = %untold.until, "a cache does not tell what it holds: stale copies in it may live on");
            }
            self.memory().note.untold = Some(untold);
            self.tell_untold();
        }
        info!(component = component(debt), copies = paid.evicted, "what a loss has left behind is gone");
        // Where it is not noted, it is done once more.
        let _ = self.save(false).await;
    }

    fn tell_debt(&self, debt: &Debt, trouble: Option<&str>) {
        let (since, what) = match (debt, self.on_loss()) {
            (Debt::Index(since), OnLoss::Rebuild) => {
                (since, "lost: copies that nothing tracks are being evicted")
            }
            (Debt::Index(since), OnLoss::Evict) => (since, "lost: all copies are being evicted"),
            (Debt::Index(since), OnLoss::Resolver) => {
                (since, "lost: the resolver is asked who holds copies, until the last of them has ended")
            }
            (Debt::Cache(_, OwedByCache { since, all: true }), _) => {
                (since, "copies may have come back: all are being evicted")
            }
            (Debt::Cache(_, OwedByCache { since, .. }), _) => {
                (since, "copies may have come back: those that nothing tracks are being evicted")
            }
        };
        let trouble = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
        let detail = format!("{what}; noticed at {since}{trouble}");
        self.ground.health.report(&component(debt), Some(detail));
    }
}

/// What readiness calls it. A cache's own name is for how the cache is.
fn component(debt: &Debt) -> String {
    match debt {
        Debt::Index(_) => "index".to_owned(),
        Debt::Cache(name, _) => name.replace("cache:", "failover:"),
    }
}
