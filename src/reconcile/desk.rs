//! Where a running service takes a reconciliation, one at a time, and shows how far it has come.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Plan, Reconcile, ReconcileError, Report};
use crate::{
    clock::Clock,
    current::{Current, Taken},
    hooks::Hooks,
    job::JobId,
};

/// The desk. Whoever asks and whoever works share it.
pub struct Reconciliations {
    clock: Clock,
    current: Mutex<Option<Reconciliation>>,
    asked: Notify,
}

/// One that was asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Tells it from others.
    pub id: String,
    /// Where it stands.
    pub state: Stage,
    /// Why it did not come to its end.
    pub error: Option<String>,
    /// What was asked for.
    pub plan: Plan,
    /// How far it has come.
    pub report: Report,
}

/// Where one stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is under way, or about to be.
    Running,
    /// It has come to its end.
    Done,
    /// It has not.
    Failed,
}

/// One is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a reconciliation is under way; `GET /v1/reconciliations/current` shows how far it has come")]
pub struct Busy;

impl Reconciliations {
    /// Nothing is asked for yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, current: Mutex::default(), asked: Notify::new() }
    }

    /// Asks for one.
    ///
    /// # Errors
    /// [`Busy`] while another is under way.
    pub fn ask(&self, plan: Plan) -> Result<Reconciliation, Busy> {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|it| it.state == Stage::Running) {
            return Err(Busy);
        }
        let id = JobId::new(self.clock.now()).to_string();
        let asked =
            Reconciliation { id, state: Stage::Running, error: None, plan, report: Report::default() };
        *current = Some(asked.clone());
        self.asked.notify_one();
        Ok(asked)
    }

    /// The one under way, or the last one.
    pub fn current(&self) -> Option<Reconciliation> {
        self.lock().clone()
    }

    /// Does what is asked for, until it is cancelled.
    /// One that a reload cuts off begins again, with the templates and caches that there are then.
    pub async fn run(&self, hooks: &Current<Hooks>, cancelled: &CancellationToken) {
        while cancelled.run_until_cancelled(self.asked.notified()).await.is_some() {
            let Some(plan) = self.current().map(|it| it.plan) else { continue };
            info!(dry_run = plan.dry_run, "a reconciliation begins");
            let progress = |report: &Report| self.change(|it| it.report = report.clone());
            loop {
                let Taken { it: hooks, replaced } = hooks.take();
                let reconcile = Reconcile { hooks: &hooks, plan, progress: &progress, cancelled };
                tokio::select! {
                    ended = reconcile.run() => break self.change(|it| it.end(ended)),
                    () = replaced.cancelled() => info!("the configuration is another one: the reconciliation begins again"),
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Reconciliation)) {
        if let Some(current) = self.lock().as_mut() {
            change(current);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Reconciliation>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciliation {
    fn end(&mut self, ended: Result<Report, ReconcileError>) {
        match ended {
            Ok(report) => {
                info!("the reconciliation is done");
                (self.report, self.state) = (report, Stage::Done);
            }
            Err(error) => {
                warn!(%error, "the reconciliation has failed");
                (self.error, self.state) = (Some(error.to_string()), Stage::Failed);
            }
        }
    }
}
