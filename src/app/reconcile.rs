//! Index and caches compared by a process of its own, for `decache reconcile`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::build;
use crate::{
    clock::Clock,
    config::Loaded,
    metrics::Metrics,
    reconcile::{Plan, Reconcile, Report},
    relations::embedded::OpenError,
};

/// Does it, with a store of its own or a shared one. `None` where a running service holds the embedded store: it alone can.
///
/// # Errors
/// Everything that keeps it from its end.
pub async fn reconcile(
    loaded: &Loaded,
    plan: Plan,
    progress: &(dyn Fn(&Report) + Sync),
    cancelled: &CancellationToken,
) -> anyhow::Result<Option<Report>> {
    let checked = build::check(loaded)?;
    let metrics = Arc::new(Metrics::new()?);
    let keys = Arc::new(build::keys(&loaded.config)?);
    let built = build::hooks(&loaded.config, checked, keys, Clock::start(), metrics);
    let hooks = match built {
        Ok(built) => built.hooks,
        Err(error) => {
            return match error.downcast_ref() {
                Some(OpenError::InUse(_)) => Ok(None),
                _ => Err(error),
            };
        }
    };
    let reconcile = Reconcile { hooks: &hooks, plan, progress, cancelled };
    Ok(Some(reconcile.run().await?))
}
