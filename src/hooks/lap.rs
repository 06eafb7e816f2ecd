//! What all fan-outs have in common, whether they go round an entity's members or what a holder holds: how a turn begins and
//! ends, and what may be dropped.

use std::time::Duration;

use tracing::{debug, error};

use super::{
    HookError, Hooks,
    precedence::{Rank, Turn},
};
use crate::{
    caches::{Awaited, Failure},
    clause::{Clause, holds},
    fan_out::FanOut,
    job::Job,
    queue::Outcome,
    resource::Resource,
    rules::{SkipReason, Skipped},
};

/// What a difference of two times of the wall clock may be short of.
const CLOCK_UNIT: Duration = Duration::from_millis(1);

/// Takes a fan-out up again. Returns whether nothing of it is left to do.
pub(super) fn take_up(hooks: &Hooks, fan_out: &mut FanOut) -> Result<bool, HookError> {
    let epoch = hooks.trust.epoch();
    if fan_out.marked && fan_out.epoch != epoch && holds(Clause::EpochTold) {
        // What it has done may have been on a server that is gone.
        fan_out.restart();
        fan_out.marked = false;
    }
    fan_out.epoch = epoch;
    match fan_out.awaited().map(|caches| hooks.caches.awaited(caches)) {
        // The others have been emptied: asking them again would cost fresh copies.
        Some(Awaited::Away(failure)) => Err(HookError::Caches(failure)),
        // The members stay until they expire, for no lap has come to its end in all caches.
        Some(Awaited::LeftOut) => Ok(!fan_out.has_unnamed),
        Some(Awaited::Answers) | None => Ok(false),
    }
}

/// Its place among the fan-outs that are under way, to the end of the turn.
pub(super) fn order<'a>(hooks: &'a Hooks, job: &Job, fan_out: &FanOut) -> Turn<'a> {
    hooks.precedence.begin(Rank { priority: job.priority, is_long: !fan_out.is_at_start() })
}

/// The lap is complete: either all is gone, or the next attempt goes round again.
pub(super) fn finish(fan_out: &mut FanOut) -> Result<(), HookError> {
    let Some(incomplete) = fan_out.incomplete.as_deref().filter(|_| holds(Clause::FanOutGoesRoundAgain))
    else {
        return Ok(());
    };
    let waits_for = fan_out.waits_for.iter().cloned().collect();
    let failure = Failure { sentence: incomplete.to_string(), waits_for };
    fan_out.restart();
    Err(HookError::Caches(failure))
}

/// What comes of a turn that says whether the fan-out is complete.
pub(super) fn outcome(
    hooks: &Hooks,
    job: &Job,
    fan_out: FanOut,
    is_complete: Result<bool, HookError>,
) -> Outcome {
    match is_complete {
        Ok(true) => Outcome::Done { fan_out: Some(fan_out), follow_ups: follow_ups(hooks, job) },
        Ok(false) => Outcome::Yield(fan_out),
        Err(error) => error.outcome(Some(fan_out)),
    }
}

/// How long ago members have to be recorded to be dropped, now that their copies are gone; `None`: all stay. Where caches
/// fill late (DESIGN 7, rule 11) none can be dropped before the recheck, and then only who was recorded before the job came: a
/// copy of before it has been filled by now, and one that has been read since may be filled yet. The others are left to expire.
pub(super) fn least_age(hooks: &Hooks, job: &Job, resource: &Resource) -> Option<Duration> {
    match (job.recheck, resource.recheck) {
        (false, None) => Some(Duration::ZERO),
        (false, Some(_)) if !holds(Clause::KeptUntilRecheck) => Some(Duration::ZERO),
        (false, Some(_)) => None,
        (true, _) => Some(hooks.clock.now().since(job.accepted_at) + CLOCK_UNIT),
    }
}

/// What follows a job that is done.
fn follow_ups(hooks: &Hooks, job: &Job) -> Vec<Job> {
    if job.recheck {
        return Vec::new();
    }
    let made = hooks.rules.of(job).follow_ups(job, &hooks.resources, hooks.clock.accepted());
    for Skipped { rule, reason } in made.skipped {
        hooks.metrics.follow_ups_skipped.with_label_values(&[reason.as_str()]).inc();
        // Rules that go in a circle are a mistake in them; the others are a matter of the event.
        if reason == SkipReason::Depth {
            error!(job.id = %job.id, rule, "follow-ups go too deep: do job_manager.job_rules go in a circle?");
        } else {
            debug!(job.id = %job.id, rule, reason = reason.as_str(), "no follow-up");
        }
    }
    made.jobs.into_iter().chain(hooks.again(job)).collect()
}
