//! What caches are owed while they are away: past its bound a cache is suspect, and it is emptied when it answers again
//! (DESIGN 7, rule 13).

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::parts::Parts;
use crate::{
    caches::{Caches, Regard},
    clock::Tick,
    current::Taken,
    hooks::Hooks,
    queue::RetryPolicy,
    reconcile::{Sweep, SweepError},
};

/// Between two looks, and the longest that one waits for an answer.
const PAUSE: Duration = Duration::from_secs(1);

/// When a cache that answers and could not be emptied is tried again.
const AGAIN: RetryPolicy = RetryPolicy { max_attempts: u32::MAX, base: PAUSE, cap: Duration::from_secs(30) };

pub(super) async fn run(parts: Parts, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        let Taken { it: hooks, replaced } = parts.hooks.take();
        let watches = hooks.caches.names().map(|cache| watch((&parts, &hooks), cache, &cancelled));
        let ended = async {
            join_all(watches).await;
            // Where there is no cache.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ended => {}
            // What is being emptied is emptied from the beginning, by what there is then.
            () = replaced.cancelled() => {}
            () = cancelled.cancelled() => {}
        }
    }
}

/// The service, and the caches of it that are looked after.
type In<'a> = (&'a Parts, &'a Arc<Hooks>);

/// Looks after one cache, for ever.
async fn watch((parts, hooks): In<'_>, cache: &Arc<str>, cancelled: &CancellationToken) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut failures, mut outlived) = (0, None);
    loop {
        ticks.tick().await;
        let caches = &hooks.caches;
        match (caches.regarded(cache), outlived) {
            (Some(Regard::Trusted), _) if is_past_bound(parts, cache) => suspect(hooks, cache).await,
            (Some(Regard::Returning), Some(_)) if is_past_bound(parts, cache) => {
                warn!(cache = &**cache, "too many jobs wait for the cache again: removals leave it out");
                caches.leave_out_again(cache);
                outlived = None;
            }
            (Some(Regard::Returning), Some(at)) if parts.clock.tick() >= at => {
                info!(cache = &**cache, "what was stale in the cache has ended: it is relied on again");
                trust(hooks, cache).await;
                outlived = None;
            }
            (Some(Regard::Returning), Some(_)) => {}
            (Some(Regard::Suspect | Regard::Returning), _) if caches.answers(cache, PAUSE).await => {
                match empty((parts, hooks), cache, cancelled).await {
                    Emptied::Whole => failures = 0,
                    Emptied::By(at) => outlived = Some(at),
                    Emptied::Not => {
                        failures += 1;
                        tokio::time::sleep(AGAIN.delay(failures, fastrand::f64())).await;
                    }
                }
            }
            _ => {}
        }
    }
}

/// What has become of what was in a suspect cache.
enum Emptied {
    /// All of it is gone.
    Whole,
    /// It cannot be found, and has ended by itself at this time.
    By(Tick),
    /// Some of it is still there.
    Not,
}

fn is_past_bound(parts: &Parts, cache: &str) -> bool {
    let (owed, outfit) = (parts.queue.owed(), parts.outfit.get());
    let owed = owed.get(cache).zip(outfit.bounds.get(cache));
    owed.is_some_and(|(owed, bound)| owed.jobs > bound.jobs || owed.bytes > bound.bytes)
}

/// Where it cannot be noted, the cache is waited for until it can.
async fn suspect(hooks: &Arc<Hooks>, cache: &Arc<str>) {
    let suspect = |caches: &Caches, name: &str| caches.suspect(name);
    match noted(hooks, cache, suspect).await {
        Ok(()) => error!(
            cache = &**cache,
            "too many jobs wait for the cache: it is suspect, removals leave it out, and all its copies go when it \
             answers again"
        ),
        Err(error) => warn!(cache = &**cache, %error, "it could not be noted that the cache is suspect"),
    }
}

/// Removes every copy from a suspect cache: nobody knows which of them are stale. What is interrupted begins again.
async fn empty((parts, hooks): In<'_>, cache: &Arc<str>, cancelled: &CancellationToken) -> Emptied {
    let Hooks { caches, resources, .. } = &**hooks;
    // Before anything is looked for: what is stale from now on is removed as in any other cache.
    caches.let_return(cache);
    info!(cache = &**cache, "the suspect cache answers again and is being emptied");
    let sweep = Sweep { caches, resources, clock: parts.clock, dry_run: false, progress: &|_| {}, cancelled };
    match sweep.one(cache).await {
        Ok(swept) => {
            let copies = swept.deleted;
            info!(cache = &**cache, copies, "the suspect cache is emptied: removals wait for it again");
            trust(hooks, cache).await;
            Emptied::Whole
        }
        Err(SweepError::Unscannable(_)) => {
            let life = resources.longest_life();
            let seconds = life.as_secs();
            warn!(
                cache = &**cache,
                seconds,
                "nobody can tell what is in the cache, nor empty it: removals ask it again, and what is stale in it lives until \
                 it expires"
            );
            Emptied::By(parts.clock.tick().after(life))
        }
        Err(error) => {
            caches.leave_out_again(cache);
            warn!(cache = &**cache, %error, "the suspect cache could not be emptied");
            Emptied::Not
        }
    }
}

async fn trust(hooks: &Arc<Hooks>, cache: &Arc<str>) {
    let trust = |caches: &Caches, name: &str| caches.trust(name);
    if let Err(error) = noted(hooks, cache, trust).await {
        warn!(cache = &**cache, %error, "it is not noted that the cache is emptied: the next start does it again");
    }
}

/// Notes write to a disk.
async fn noted(
    hooks: &Arc<Hooks>,
    cache: &Arc<str>,
    note: impl FnOnce(&Caches, &str) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let (hooks, cache) = (hooks.clone(), cache.clone());
    tokio::task::spawn_blocking(move || note(&hooks.caches, &cache)).await?
}
