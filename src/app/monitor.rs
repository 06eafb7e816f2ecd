//! Looks after what the service depends on: readiness says within two seconds what is away, and the log says it once.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::parts::Parts;
use crate::{caches::Regard, clock::Timestamp, queue::JobState, relations::StoreError, upkeep};

/// Between two looks, and the longest that one waits for an answer.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Before a look that is made out of turn: whoever has cause for it has it many times over.
const BREATH: Duration = Duration::from_millis(10);
/// Rows of the embedded store that are looked at each time, to remove what has expired.
const SWEPT: usize = 4096;

pub(super) async fn run(parts: Parts, cancelled: CancellationToken) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut dead = 0;
    let mut owed_since = OwedSince::new();
    while cancelled.run_until_cancelled(cause(&parts, &mut ticks)).await.is_some() {
        if cancelled.run_until_cancelled(look(&parts, &mut owed_since)).await.is_none() {
            return;
        }
        tell_dead(&parts, &mut dead);
        parts.note_for_console();
    }
}

/// Waits for the next look, which comes at once where something is odd.
async fn cause(parts: &Parts, ticks: &mut tokio::time::Interval) {
    tokio::select! {
        _ = ticks.tick() => {}
        () = parts.losses.suspected() => tokio::time::sleep(BREATH).await,
    }
}

/// One line for all dead letters since the last look: where one job fails, thousands do.
fn tell_dead(parts: &Parts, before: &mut u64) {
    let dead = parts.metrics.jobs_ended(JobState::Dead);
    if dead > *before {
        let jobs = dead - *before;
        warn!(jobs, "jobs have failed too often and are dead letters; their copies were evicted");
        *before = dead;
    }
}

/// Since when something is owed to a cache without a break.
type OwedSince = BTreeMap<Arc<str>, Timestamp>;

async fn look(parts: &Parts, owed_since: &mut OwedSince) {
    let store = async {
        let trouble = match tokio::time::timeout(PAUSE, look_at_store(parts)).await {
            Ok(answer) => answer.err().map(|error| error.to_string()),
            Err(_) => Some("no answer to a ping".to_owned()),
        };
        parts.health.tell("store", trouble);
    };
    let caches = async {
        // What a failover may have undone is known when the journal has been read.
        if parts.health.is_replaying() {
            return;
        }
        // First, so that a ping goes to a server that has been accepted.
        parts.losses.look_at_caches(PAUSE).await;
        let hooks = parts.hooks.get();
        let pinged = hooks.caches.ping(PAUSE).await;
        let owed = parts.queue.owed();
        owed_since.retain(|name, _| owed.contains_key(name));
        for (name, trouble) in pinged {
            let owes = owed.get_key_value(name).map(|(name, owed)| {
                let since = owed_since.entry(name.clone()).or_insert_with(|| parts.clock.now());
                match owed.jobs {
                    1 => format!("1 job waits for it since {since}"),
                    jobs => format!("{jobs} jobs wait for it since {since}"),
                }
            });
            let trouble = trouble.map(|error| error.to_string());
            let regard = hooks.caches.regarded(name).and_then(tell_regard);
            let told: Vec<String> =
                [trouble, owes, regard.map(str::to_owned)].into_iter().flatten().collect();
            parts.health.tell(&format!("cache:{name}"), (!told.is_empty()).then(|| told.join("; ")));
        }
    };
    tokio::join!(store, caches);
    parts.losses.let_go().await;
    upkeep::tidy(&parts.queue, &parts.journal, parts.clock.accepted());
    tell_journal(parts);
    tell_resources(parts);
    if let Some(embedded) = &parts.embedded
        && let Err(error) = embedded.sweep(SWEPT).await
    {
        // What is wrong with the store, its ping says.
        debug!(%error, "the store could not be swept");
    }
}

fn tell_regard(regard: Regard) -> Option<&'static str> {
    match regard {
        Regard::Trusted => None,
        Regard::Suspect => {
            Some("it is suspect: removals leave it out, and all its copies go when it answers again")
        }
        Regard::Returning => Some("it was suspect: what was in it is being removed, or has yet to expire"),
    }
}

/// Jobs that nobody can do until somebody configures what their copies are called.
fn tell_resources(parts: &Parts) {
    let types = parts.queue.without_resource();
    let told: Vec<String> = types
        .iter()
        .map(|(name, jobs)| match jobs {
            1 => format!("{name} (1 job)"),
            jobs => format!("{name} ({jobs} jobs)"),
        })
        .collect();
    let detail =
        format!("no entry in resources, so nobody knows the keys of copies, for {}", told.join(", "));
    parts.health.tell("resources", (!told.is_empty()).then_some(detail));
}

fn tell_journal(parts: &Parts) {
    let trouble = parts.journal.trouble();
    let detail = trouble.clone();
    if parts.health.journal_unwritable(trouble) {
        match detail {
            Some(detail) => error!(detail, "the journal cannot be written: no events are taken"),
            None => info!("the journal can be written again"),
        }
    }
}

/// Nothing is written to a store that may be another secret's.
async fn look_at_store(parts: &Parts) -> Result<(), StoreError> {
    match parts.is_ours.load(Ordering::Acquire) {
        true => parts.losses.look_at_store().await,
        false => parts.relations.ping().await,
    }
}
