//! Looks after what the service depends on: readiness says within a second what is away, and the log says it once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::build::Parts;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows of the embedded store that are looked at each time, to remove what has expired.
const SWEPT: usize = 4096;

pub(super) async fn run(parts: Parts, cancelled: CancellationToken) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancelled.run_until_cancelled(ticks.tick()).await.is_some() {
        if cancelled.run_until_cancelled(look(&parts)).await.is_none() {
            return;
        }
    }
}

async fn look(parts: &Parts) {
    let store = async {
        let away = parts.relations.ping().await.err();
        tell(parts, "store", away.map(|error| error.to_string()));
    };
    let caches = async {
        for (name, away) in parts.hooks.caches.ping().await {
            tell(parts, &format!("cache:{name}"), away.map(|error| error.to_string()));
        }
    };
    tokio::join!(store, caches);
    if let Some(embedded) = &parts.embedded
        && let Err(error) = embedded.sweep(SWEPT).await
    {
        warn!(%error, "the store could not be swept");
    }
}

/// Takes note of how a component is, and says it in the log where that is news.
pub(super) fn tell(parts: &Parts, component: &str, trouble: Option<String>) {
    let detail = trouble.clone();
    if parts.health.report(component, trouble) {
        match detail {
            Some(detail) => warn!(component, detail, "in trouble"),
            None => info!(component, "well again"),
        }
    }
}
