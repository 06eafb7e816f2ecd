//! What caches are owed while they are away: past its bound a cache is suspect, and it is emptied when it answers again
//! (DESIGN 7, rule 13).

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::build::Parts;
use crate::{
    caches::{Caches, Regard},
    hooks::Hooks,
    queue::RetryPolicy,
    reconcile::Sweep,
};

/// Between two looks, and the longest that one waits for an answer.
const PAUSE: Duration = Duration::from_secs(1);

/// When a cache that answers and could not be emptied is tried again.
const AGAIN: RetryPolicy = RetryPolicy { max_attempts: u32::MAX, base: PAUSE, cap: Duration::from_secs(30) };

pub(super) async fn run(parts: Parts, cancelled: CancellationToken) {
    let caches: Vec<Arc<str>> = parts.hooks.caches.names().cloned().collect();
    let watches = caches.iter().map(|cache| watch(&parts, cache, &cancelled));
    cancelled.run_until_cancelled(join_all(watches)).await;
}

/// Looks after one cache, for ever.
async fn watch(parts: &Parts, cache: &Arc<str>, cancelled: &CancellationToken) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        ticks.tick().await;
        let caches = &parts.hooks.caches;
        match caches.regarded(cache) {
            Some(Regard::Trusted) if is_past_bound(parts, cache) => suspect(parts, cache).await,
            Some(Regard::Suspect | Regard::Returning) if caches.answers(cache, PAUSE).await => {
                failures = if empty(parts, cache, cancelled).await { 0 } else { failures + 1 };
                if failures > 0 {
                    tokio::time::sleep(AGAIN.delay(failures, fastrand::f64())).await;
                }
            }
            _ => {}
        }
    }
}

fn is_past_bound(parts: &Parts, cache: &str) -> bool {
    let owed = parts.queue.owed();
    let owed = owed.get(cache).zip(parts.bounds.get(cache));
    owed.is_some_and(|(owed, bound)| owed.jobs > bound.jobs || owed.bytes > bound.bytes)
}

/// Where it cannot be noted, the cache is waited for until it can.
async fn suspect(parts: &Parts, cache: &Arc<str>) {
    let suspect = |caches: &Caches, name: &str| caches.suspect(name);
    match noted(parts, cache, suspect).await {
        Ok(()) => error!(
            cache = &**cache,
            "too many jobs wait for the cache: it is suspect, removals leave it out, and all its copies go when it \
             answers again"
        ),
        Err(error) => warn!(cache = &**cache, %error, "it could not be noted that the cache is suspect"),
    }
}

/// Removes every copy from a suspect cache: nobody knows which of them are stale. What is interrupted begins again.
/// Returns whether all of them are gone.
async fn empty(parts: &Parts, cache: &Arc<str>, cancelled: &CancellationToken) -> bool {
    let Hooks { caches, resources, .. } = &*parts.hooks;
    // Before anything is looked for: what is stale from now on is removed as in any other cache.
    caches.let_return(cache);
    info!(cache = &**cache, "the suspect cache answers again and is being emptied");
    let sweep = Sweep { caches, resources, clock: parts.clock, dry_run: false, progress: &|_| {}, cancelled };
    match sweep.one(cache).await {
        Ok(swept) => {
            let copies = swept.deleted;
            info!(cache = &**cache, copies, "the suspect cache is emptied: removals wait for it again");
            let trust = |caches: &Caches, name: &str| caches.trust(name);
            if let Err(error) = noted(parts, cache, trust).await {
                warn!(cache = &**cache, %error, "it is not noted that the cache is emptied: the next start does it again");
            }
            true
        }
        Err(error) => {
            caches.leave_out_again(cache);
            warn!(cache = &**cache, %error, "the suspect cache could not be emptied");
            false
        }
    }
}

/// Notes write to a disk.
async fn noted(
    parts: &Parts,
    cache: &Arc<str>,
    note: impl FnOnce(&Caches, &str) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let (hooks, cache): (Arc<Hooks>, _) = (parts.hooks.clone(), cache.clone());
    tokio::task::spawn_blocking(move || note(&hooks.caches, &cache)).await?
}
