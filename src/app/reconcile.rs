//! Index and caches compared by a process of its own, for `decache reconcile`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    build::{self, Built},
    check::check,
};
use crate::{
    clock::Clock,
    config::Loaded,
    metrics::Metrics,
    reconcile::{Plan, Reconcile, Report},
    relations::{Marker, embedded::OpenError},
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
    let checked = check(loaded)?;
    let metrics = Arc::new(Metrics::new()?);
    let keys = Arc::new(build::keys(&loaded.config)?);
    let built = build::hooks(&loaded.config, checked, keys, Clock::start(), metrics);
    let Built { hooks, store, .. } = match built {
        Ok(built) => built,
        Err(error) => {
            return match error.downcast_ref() {
                Some(OpenError::InUse(_)) => Ok(None),
                _ => Err(error),
            };
        }
    };
    // Whoever noticed a loss has written it into the index.
    let marker = store.marked.marker().await?.as_deref().and_then(Marker::parse);
    if let Some(marker) = marker {
        let resources = || hooks.resources.iter().map(|(_, resource)| resource);
        let life = resources().map(|resource| resource.ttl + resource.guard).max().unwrap_or_default();
        hooks.trust.new_index(marker.made_at.after(life));
        if let Some(floor) = marker.floor {
            hooks.trust.lost(floor, floor);
        }
    }
    let reconcile = Reconcile { hooks: &hooks, plan, progress, cancelled };
    Ok(Some(reconcile.run().await?))
}
