//! What goes wrong with `--faults`: the cache refuses to be emptied for a while, and comes back.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use super::api::Api;

/// Until it goes away, for the first time and after each return.
const WELL: Duration = Duration::from_secs(40);
/// For how long it is away.
const AWAY: Duration = Duration::from_secs(30);

pub(super) struct Faults {
    api: Arc<Api>,
}

impl Faults {
    pub(super) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    /// Goes on until nobody waits for it any more.
    pub(super) async fn come_and_go(self) {
        loop {
            tokio::time::sleep(WELL).await;
            warn!(seconds = AWAY.as_secs(), "demonstration: the cache goes away");
            self.api.cache.go_away(true);
            tokio::time::sleep(AWAY).await;
            warn!("demonstration: the cache is back");
            self.api.cache.go_away(false);
        }
    }
}
