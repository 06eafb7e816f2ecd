//! Does what is owed after a loss or a failover, one thing after the other, until nothing is.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Losses,
    note::{Debt, OwedByCache},
};
use crate::{
    config::store::OnLoss,
    reconcile::{Sweep, SweepError, Swept},
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

impl Losses {
    /// Works until cancelled. What is left then is in the note, and is done after the next start.
    pub async fn answer(&self, cancelled: CancellationToken) {
        while !cancelled.is_cancelled() {
            let came_up = self.came_up.notified();
            let next = self.memory().note.owed.next();
            let Some(debt) = next else {
                cancelled.run_until_cancelled(came_up).await;
                continue;
            };
            match self.pay(&debt, &cancelled).await {
                Ok(swept) => self.paid(&debt, &swept).await,
                Err(SweepError::Cancelled) => return,
                Err(error) => {
                    self.tell_debt(&debt, Some(&error.to_string()));
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

    /// What an earlier life owed is owed still.
    pub(super) fn go_on_owing(&self) {
        let owed = self.memory().note.owed.clone();
        if let Some(since) = owed.index {
            self.ground.hooks.trust.lost(since, since.after(self.life));
            self.tell_debt(&Debt::Index(since), None);
        }
        for (name, owed) in owed.caches {
            self.tell_debt(&Debt::Cache(name, owed), None);
        }
    }

    async fn pay(&self, debt: &Debt, cancelled: &CancellationToken) -> Result<Swept, SweepError> {
        let hooks = &self.ground.hooks;
        let sweep = Sweep {
            caches: &hooks.caches,
            resources: &hooks.resources,
            clock: self.ground.clock,
            dry_run: false,
            progress: &|_| {},
            cancelled,
        };
        match debt {
            Debt::Index(_) => sweep.all().await,
            Debt::Cache(name, _) => sweep.one(name.trim_start_matches("cache:")).await,
        }
    }

    async fn paid(&self, debt: &Debt, swept: &Swept) {
        if !self.memory().note.owed.paid(debt) {
            return;
        }
        if matches!(debt, Debt::Index(_)) && swept.unscannable.is_empty() {
            self.ground.hooks.trust.complete();
        }
        for cache in &swept.unscannable {
            warn!(cache, "a cache does not tell what it holds: copies in it may live on until they expire");
        }
        self.ground.health.report(&component(debt), None);
        info!(component = component(debt), copies = swept.deleted, "what a loss has left behind is gone");
        // Where it is not noted, it is done once more.
        let _ = self.save(false).await;
    }

    fn tell_debt(&self, debt: &Debt, trouble: Option<&str>) {
        let (since, what) = match (debt, self.ground.on_loss) {
            (Debt::Index(since), OnLoss::Rebuild) => {
                (since, "lost: copies that nothing tracks are being evicted")
            }
            (Debt::Index(since), OnLoss::Evict) => (since, "lost: all copies are being evicted"),
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
