//! Gives the queue back what the journal has kept, before anything is taken or done.

use anyhow::Context;
use tracing::{info, warn};

use super::{monitor, parts::Parts};
use crate::{
    clock::Timestamp,
    journal::{Damage, Journal, Log, Replayed, ReplayedJob},
    queue::Queue,
};

/// Jobs that are queued between two breaths.
const AT_ONCE: usize = 10_000;

/// Replays the journal, where there is one; until then the service is not ready.
pub(super) async fn replay(parts: &Parts) -> anyhow::Result<()> {
    let Some(log) = parts.log.clone() else { return Ok(()) };
    let began = parts.clock.tick();
    let replayed = tokio::task::spawn_blocking(move || Log::replay(&log)).await?;
    let Replayed { jobs, damage } = replayed.context("the journal cannot be read")?;
    tell_damage(parts, &damage);
    let total = jobs.len();
    if let Some(died) = give_back(&parts.queue, &*parts.journal, jobs).await {
        parts.hooks.get().window.died(died);
    }
    let took = parts.clock.tick().since(began);
    info!(jobs = total, seconds = took.as_secs_f64(), "the journal is replayed");
    // A cache that fails over from now on is found to be another one than this.
    parts.losses.look_at_caches(monitor::PAUSE).await;
    parts.health.replaying(false);
    Ok(())
}

/// Queues what the journal has kept, as if it had just been accepted. Returns when the last of the dead letters in it died.
pub(crate) async fn give_back(
    queue: &Queue,
    journal: &dyn Journal,
    jobs: Vec<ReplayedJob>,
) -> Option<Timestamp> {
    let mut last = None;
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let (mut waiting, mut dead) = (Vec::new(), Vec::new());
        for ((job, death), kept) in jobs.by_ref().take(AT_ONCE) {
            match death {
                None => waiting.push((job, kept)),
                Some(death) => dead.push((job, death, kept)),
            }
        }
        queue.push_kept(waiting);
        for (job, death, kept) in dead {
            last = last.max(Some(kept.entry.at()));
            journal.forget(queue.put_dead(job, death, kept));
        }
        tokio::task::yield_now().await;
    }
    last
}

/// What could not be read is said once, byte for byte, and readiness keeps saying that there was something.
fn tell_damage(parts: &Parts, damage: &[Damage]) {
    for Damage { file, from, bytes, torn } in damage {
        if *torn {
            warn!(
                file,
                from,
                bytes,
                "the journal ends in a record that was not written to its end: it was being written when the \
                 process died, and had not been answered"
            );
        } else {
            warn!(
                file,
                from,
                bytes,
                "a part of the journal is damaged: jobs in it are lost, a copy of the file is kept"
            );
        }
    }
    let lost: usize = damage.iter().filter(|damage| !damage.torn).map(|damage| damage.bytes).sum();
    if lost > 0 {
        let detail = format!("{lost} bytes could not be read at start; the log says where");
        parts.health.report("journal", Some(detail));
    }
}
