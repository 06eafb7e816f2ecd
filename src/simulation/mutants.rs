//! Every clause of the promise is left out once: the simulation must find what that breaks.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{SEEDS, asked, kind::Kind, simulate};
use crate::clause::{Clause, leave_out};

/// Clauses, and a seed whose world shows that each is missing: where to look first. `scripts/simulate --mutants` prints
/// these; one that shows nothing any more costs a search, no more.
const SHOWN_BY: &[(Clause, u64)] = &[
    (Clause::StaleBeforeMembers, 3),
    (Clause::TrackedForGuard, 70),
    (Clause::Guard, 0),
    (Clause::Horizon, 53),
    (Clause::WriteNeverTooOld, 1),
    (Clause::GenerationTested, 36),
    (Clause::UndatedEvicted, 40),
    (Clause::DroppedAfterDeletion, 0),
    (Clause::DroppedIfGoneEverywhere, 11),
    (Clause::FanOutGoesRoundAgain, 11),
    (Clause::LapIsWhole, 67),
    (Clause::ExpiredEvicts, 34),
    (Clause::DeadEvicts, 2),
    (Clause::InvalidationsNeverDie, 3),
    (Clause::EarliestRead, 592),
    (Clause::LowestGeneration, 597),
    (Clause::LatestCopyEnd, 263),
    (Clause::ProvisionalLife, 1),
    (Clause::FollowedInKey, 49),
    (Clause::FollowUpsBeforeEnd, 74),
    (Clause::KeptUntilEnded, 5),
    (Clause::AcceptedWhenKept, 18),
    (Clause::VaultFirst, 30),
    (Clause::MemberBeforeStale, 58),
    (Clause::ExpiryNeverShortened, 17),
    (Clause::KeyOutlivesMembers, 6),
    (Clause::VaultOnlyExtended, 2),
    (Clause::GenerationIsTime, 36),
    (Clause::GenerationNeverReturns, 4),
    (Clause::DroppedByStamp, 48),
    (Clause::NoPagingByRank, 4),
    (Clause::PostAfterFill, 0),
    (Clause::PostUntilAccepted, 2),
    (Clause::Outbox, 16),
    (Clause::LifeIsTold, 0),
    (Clause::Recheck, 25_002),
    (Clause::KeptUntilRecheck, 25_009),
    (Clause::LateFillTracked, 25_000),
    (Clause::LossAnswered, 35_001),
    (Clause::Held, 30_001),
    (Clause::EpochTold, 30_002),
];

/// Clauses whose absence breaks no promise, and why.
const NOT_MISSED: &[(Clause, &str)] = &[
    (
        Clause::EvictionDropsFirst,
        "an eviction drops by its own stamp, so whoever was recorded after it stays either way, and its copies are \
         deleted before or after by the same attempt, which is repeated until both are done",
    ),
    (
        Clause::EvictingApart,
        "a job that only evicts and one that records the same copy may become either: the copy is gone, or judged by \
         the earliest read and tracked",
    ),
    (Clause::LatestJobExpiry, "a job that expires too early evicts: copies are lost, none is stale"),
    (Clause::HighestGeneration, "an invalidation takes its generation from the store, not from the event"),
    (Clause::DeepestFollowUp, "it ends rules that go in a circle, of which there are none here"),
];

/// Tests that share the clauses.
const PARTS: usize = 4;

/// What breaks in the world of a seed without a clause.
fn broken(clause: Clause, seed: u64) -> Option<(u64, String)> {
    leave_out(Some(clause));
    let result = simulate(seed, false).result;
    leave_out(None);
    Some((seed, result.err()?))
}

/// The first seed whose world shows that a clause is missing.
fn search(clause: Clause, seeds: u64) -> Option<(u64, String)> {
    let first = kind_of(clause).first();
    (first..first + seeds).find_map(|seed| broken(clause, seed))
}

/// The kind of worlds that a clause is about.
fn kind_of(clause: Clause) -> Kind {
    match clause {
        Clause::Recheck | Clause::KeptUntilRecheck | Clause::LateFillTracked => Kind::LateFill,
        Clause::LossAnswered | Clause::Floor | Clause::MarkerChecked => Kind::Loss,
        Clause::Held | Clause::Lingers | Clause::EpochTold | Clause::LookedBeforeUse => Kind::Failover,
        _ => Kind::Plain,
    }
}

/// Finds worlds for the clauses of the other kinds.
#[test]
#[ignore = "searches: to be run by name"]
fn which_seed_misses_which_clause_of_another_kind() {
    for clause in Clause::ALL.iter().filter(|clause| kind_of(**clause) != Kind::Plain) {
        match search(*clause, asked("DECACHE_SIMULATE_SEEDS", 400)) {
            Some(found) => tell(*clause, &found),
            None => println!("    {clause:?}: none"),
        }
    }
}

/// Clauses that are missed, those first that no known world shows.
fn needed() -> Vec<Clause> {
    let is_missed = |clause: &&Clause| NOT_MISSED.iter().all(|(known, _)| known != *clause);
    let mut clauses: Vec<Clause> = Clause::ALL.iter().filter(is_missed).copied().collect();
    clauses.sort_by_key(|clause| SHOWN_BY.iter().any(|(shown, _)| shown == clause));
    clauses
}

fn every_clause_is_missed(part: usize) {
    let mut not_found = Vec::new();
    for (clause, seed) in SHOWN_BY.iter().skip(part).step_by(PARTS) {
        match broken(*clause, *seed).or_else(|| search(*clause, SEEDS)) {
            Some(found) => tell(*clause, &found),
            None => not_found.push(*clause),
        }
    }
    assert!(not_found.is_empty(), "nothing misses {not_found:?} in {SEEDS} worlds");
}

fn tell(clause: Clause, (seed, violation): &(u64, String)) {
    let what = violation.split([',', ':']).next().unwrap_or_default();
    println!("    (Clause::{clause:?}, {seed}), // {what}");
}

#[test]
fn every_clause_is_missed_when_it_is_left_out_1() {
    every_clause_is_missed(0);
}

#[test]
fn every_clause_is_missed_when_it_is_left_out_2() {
    every_clause_is_missed(1);
}

#[test]
fn every_clause_is_missed_when_it_is_left_out_3() {
    every_clause_is_missed(2);
}

#[test]
fn every_clause_is_missed_when_it_is_left_out_4() {
    every_clause_is_missed(3);
}

#[test]
fn what_is_said_not_to_be_missed_is_not() {
    for (clause, reason) in NOT_MISSED {
        let broken = search(*clause, 40);
        assert_eq!(broken, None, "{clause:?} is missed after all, although {reason}");
    }
}

/// What `scripts/simulate --mutants` runs: a table of each clause and the first seed that misses it.
#[test]
#[ignore = "searches every clause from the first seed on: scripts/simulate --mutants"]
fn which_seed_misses_which_clause() {
    let (clauses, next, not_found) = (needed(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let seeds = asked("DECACHE_SIMULATE_SEEDS", SEEDS);
    let search_all = || {
        while let Some(clause) = clauses.get(next.fetch_add(1, Ordering::Relaxed)) {
            match search(*clause, seeds) {
                Some(found) => tell(*clause, &found),
                None => not_found.lock().unwrap().push(*clause),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(search_all);
        }
    });
    let not_found = not_found.into_inner().unwrap();
    assert!(not_found.is_empty(), "nothing misses {not_found:?} in {seeds} worlds");
}
