//! Superseding: what of the older job lives on in the newer one that takes its place (DESIGN 5, DESIGN 7 rule 9).

use super::{
    entry::{Entry, Loose},
    packed::Unpacked,
};
use crate::{
    caches::WaitsFor,
    clause::{Clause, holds},
    clock::Timestamp,
    job::{Job, JobType},
    judge::ANY_STALE,
    trace::Trace,
};

/// Makes `newer` do the work of both. The rule is that the survivor errs only toward evicting and toward tracking. The
/// journal keeps both until the survivor has ended.
pub(super) fn merge(newer: &mut Loose, older: &Entry) {
    newer.kept.extend(older.kept());
    // What the newer one asks for, no cache has seen yet.
    newer.story.waits_for = WaitsFor::default();
    let job = &mut newer.job;
    job.trace = Trace::merged(job.trace.take(), older.trace());
    match job.job_type {
        JobType::Cache => merge_cache(job, &older.unpacked()),
        // Of a holder, or of an entity: what counts is the later one, from the beginning.
        JobType::Invalidate | JobType::Revoke => {
            merge_invalidate(job, &older.unpacked());
            restart(newer, older);
        }
    }
}

/// The read that counts is the one that began first: a copy that it filled may be the one in the cache.
fn merge_cache(newer: &mut Job, older: &Unpacked<'_>) {
    (newer.occurred_at, newer.generation) = match (older.generation, newer.generation) {
        (Some(a), Some(b)) if a != ANY_STALE && b != ANY_STALE => {
            let generation = if holds(Clause::LowestGeneration) { a.min(b) } else { a.max(b) };
            (earliest(older.occurred_at, newer.occurred_at), Some(generation))
        }
        (None, None) => (earliest(older.occurred_at, newer.occurred_at), None),
        _ if !holds(Clause::MixedIsStale) => (newer.occurred_at, newer.generation),
        // One read is judged by its generation, the other by its time. No single read stands for both but one that is
        // evicted wherever there is any `stale`, and once it is as old as the older of them.
        _ => match earliest(
            began(older.occurred_at, older.generation),
            began(newer.occurred_at, newer.generation),
        ) {
            Some(_) if !holds(Clause::MixedKeepsItsAge) => (None, None),
            Some(began) => (Some(began), Some(ANY_STALE)),
            None => (None, None),
        },
    };
    if holds(Clause::LatestJobExpiry) {
        newer.expires_at = newer.expires_at.zip(older.expires_at).map(|(a, b)| a.max(b));
    } else {
        newer.expires_at = older.expires_at;
    }
    if let (Some(copy), Some(older_copy)) = (newer.copy.as_deref_mut(), &older.copy) {
        let (end, older_end) = (newer.accepted_at.after(copy.life), older.accepted_at.after(older_copy.life));
        let end = if holds(Clause::LatestCopyEnd) { end.max(older_end) } else { end };
        // An undated read is as old as its arrival at least, so it must not arrive later by a merge.
        newer.accepted_at = newer.accepted_at.min(older.accepted_at);
        copy.life = end.since(newer.accepted_at);
        if copy.user_id.is_none() {
            copy.user_id = older_copy.user_id.map(Into::into);
        }
    }
}

/// When a read began, or was about to: a generation is a time of the store's clock.
fn began(occurred_at: Option<Timestamp>, generation: Option<u64>) -> Option<Timestamp> {
    let asked_at = generation.filter(|generation| *generation != ANY_STALE).map(Timestamp);
    let both = occurred_at.zip(asked_at).map(|(began, asked_at)| began.min(asked_at));
    both.or(occurred_at).or(asked_at)
}

/// `None` is a read that began at an unknown time, and so earlier than any.
fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    if !holds(Clause::UndatedWins) {
        return a.min(b).or(a.max(b));
    }
    let which = if holds(Clause::EarliestRead) { Ord::min } else { Ord::max };
    a.zip(b).map(|(a, b)| which(a, b))
}

/// One fan-out serves both writes if `stale` covers the later one. Its latency counts from the first.
fn merge_invalidate(newer: &mut Job, older: &Unpacked<'_>) {
    if holds(Clause::LatestWrite) {
        newer.occurred_at = newer.occurred_at.max(older.occurred_at);
    } else {
        newer.occurred_at = newer.occurred_at.min(older.occurred_at);
    }
    if holds(Clause::HighestGeneration) {
        newer.generation = newer.generation.max(older.generation);
    }
    newer.accepted_at = newer.accepted_at.min(older.accepted_at);
    if holds(Clause::DeepestFollowUp) {
        newer.depth = newer.depth.max(older.depth);
    }
}

/// A fan-out that had begun starts again, `stale` first: copies behind it may be older than the newer write.
fn restart(newer: &mut Loose, older: &Entry) {
    let (Some(older), newer) = (older.story(), &mut newer.story) else { return };
    if let Some(begun) = &older.fan_out {
        let fan_out = newer.fan_out.get_or_insert_with(|| begun.clone());
        if holds(Clause::FanOutStartsAgain) {
            fan_out.restart();
        }
        if holds(Clause::StaleMarkedAgain) {
            fan_out.marked = false;
        }
    }
    newer.failures = newer.failures.max(older.failures);
    if newer.last_error.is_none() {
        newer.last_error.clone_from(&older.last_error);
        newer.cause = older.cause;
    }
}
