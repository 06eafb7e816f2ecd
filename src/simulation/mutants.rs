//! Every clause of the promise is left out once: the simulation must find what that breaks.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{Ran, SEEDS, asked, kinds::Kind, realm::Realm, simulate};
use crate::clause::{Clause, leave_out};

/// Clauses, and a seed whose world shows that each is missing: where to look first. `scripts/simulate --mutants` prints
/// these; one that shows nothing any more costs a search, no more.
const SHOWN_BY: &[(Clause, u64)] = &[
    (Clause::StaleBeforeMembers, 20),
    (Clause::TrackedForGuard, 39),
    (Clause::Guard, 72),
    (Clause::EvictionDropsLast, 298),
    (Clause::StaleOutlivesHorizon, 495),
    (Clause::Horizon, 368),
    (Clause::HorizonAfterStale, 861),
    (Clause::WriteNeverTooOld, 7),
    (Clause::GenerationTested, 19),
    (Clause::GuardBesideGeneration, 1208),
    (Clause::UndatedEvicted, 0),
    (Clause::UndatedAges, 475),
    (Clause::EvictedByStamp, 97),
    (Clause::DroppedAfterDeletion, 38),
    (Clause::DroppedIfGoneEverywhere, 46),
    (Clause::FanOutGoesRoundAgain, 46),
    (Clause::LapIsWhole, 104),
    (Clause::ExpiredEvicts, 936),
    (Clause::DeadEvicts, 2),
    (Clause::InvalidationsNeverDie, 17),
    (Clause::EarliestRead, 1290),
    (Clause::UndatedWins, 87),
    (Clause::LowestGeneration, 1037),
    (Clause::MixedIsStale, 503),
    (Clause::MixedKeepsItsAge, 421),
    (Clause::LatestCopyEnd, 155),
    (Clause::LatestWrite, 301),
    (Clause::FanOutStartsAgain, 3059),
    (Clause::StaleMarkedAgain, 251),
    (Clause::FollowedInKey, 18),
    (Clause::FollowUpsBeforeEnd, 310),
    (Clause::KeptUntilEnded, 42),
    (Clause::AcceptedWhenKept, 44),
    (Clause::VaultFirst, 23),
    (Clause::MemberBeforeStale, 58),
    (Clause::NewStamp, 97),
    (Clause::ExpiryNeverShortened, 90),
    (Clause::KeyOutlivesMembers, 14),
    (Clause::VaultOnlyExtended, 4),
    (Clause::StaleNeverBack, 202),
    (Clause::GenerationGrows, 595),
    (Clause::GenerationIsTime, 19),
    (Clause::GenerationNeverReturns, 4),
    (Clause::DroppedByStamp, 48),
    (Clause::NoPagingByRank, 4),
    (Clause::SurvivorKeptMerged, 2115),
    (Clause::ReplayMerges, 2115),
    (Clause::PostAfterFill, 0),
    (Clause::PostUntilAccepted, 8),
    (Clause::Outbox, 12),
    (Clause::ReadTimeBeforeDatabase, 48),
    (Clause::LifeIsTold, 0),
    (Clause::ProvisionalLife, 8),
    (Clause::RaiseTheSameCopy, 666),
    (Clause::Recheck, 25_002),
    (Clause::KeptUntilRecheck, 25_009),
    (Clause::LateFillTracked, 25_000),
    (Clause::LossAnswered, 35_000),
    (Clause::Held, 30_001),
    (Clause::EpochTold, 30_171),
    (Clause::RevocationTested, 20_004),
    (Clause::RevokedBeforeEntries, 20_016),
    (Clause::RevocationGuard, 20_038),
    (Clause::UndatedRevoked, 20_016),
    (Clause::EntriesAfterDeletion, 20_006),
    (Clause::RevokedAgain, 27_018),
    (Clause::EntryWritten, 20_000),
    (Clause::MemberBeforeEntry, 20_847),
    (Clause::EntryNeverShortened, 20_062),
    (Clause::RevokedNeverBack, 20_614),
    (Clause::EntryDroppedByStamp, 20_151),
    (Clause::EntryBeforeRevoked, 23_531),
    (Clause::Lingers, 30_013),
    (Clause::EntriesLinger, 30_008),
    (Clause::Floor, 35_013),
    (Clause::MarkerChecked, 35_033),
    (Clause::LookedBeforeUse, 35_033),
    (Clause::RevokedOutlivesHorizon, 20_483),
    (Clause::RevokedByEarlierTime, 20_013),
];

/// Clauses whose absence breaks no promise, and why.
const NOT_MISSED: &[(Clause, &str)] = &[
    (
        Clause::EvictingApart,
        "without it a job that only evicts may be taken over by one that records the same copy, or the other way round. If \
         what is left evicts, the copy is gone from every cache before it ends, and eviction breaks no promise. If it \
         records, it does so under the earliest read of the two, their earliest arrival and the latest end of both copies, \
         and is judged after: what either read alone would be evicted for, it is evicted for, and else it is tracked",
    ),
    (
        Clause::LatestJobExpiry,
        "a job that expires too early evicts its copy (ExpiredEvicts, which is missed): a fresh copy is lost, which costs a \
         read, but none is stale or untracked. It is a promise of the queue (DESIGN 5), and the queue's own tests miss it",
    ),
    (
        Clause::LeftOverDeleted,
        "an entry is written after its member, and a member goes only once its copy has gone from every cache (rule 6, \
         EvictionDropsLast and DroppedIfGoneEverywhere, which are missed), or ends after it. So of an entry whose member \
         has gone there is no copy but one that was written since, whose own event is yet to come: its recording reads the \
         mark that was written before the entries were read. What brings back a copy without its member is a failover, and \
         that is made good for by rules 13 and 14. It spares users a copy that would go a little later",
    ),
];

/// Clauses whose absence nobody can see from outside: what happens is the same, step by step. And why.
const SEEN_BY_NOBODY: &[(Clause, &str)] = &[
    (
        Clause::StaleNeverShortened,
        "every mark of an entity lives as long as any other, and each is written later by the store's one clock: a mark's \
         life always ends after that of the one before. Should that clock be set back, by less than `guard`, the 2 `guard` \
         that a mark outlives `horizon` by make up for it; the stores' contract keeps the clause for marks of other lives",
    ),
    (
        Clause::HighestGeneration,
        "an invalidation's mark takes its generation from the store alone; that of the event ends with the job",
    ),
    (
        Clause::DeepestFollowUp,
        "a follow-up's depth ends rules that go in a circle, of which there are none here, and does nothing else: too \
         small a depth can only add invalidations, and these break no promise",
    ),
];

/// Worlds in which it is tried that a clause is not missed.
const NOT_MISSED_IN: u64 = 200;
/// Worlds that are compared step by step.
const SAME_IN: u64 = 100;
/// Tests that share the clauses.
const PARTS: usize = 4;

/// What breaks in the world of a seed without a clause.
fn broken(clause: Clause, seed: u64) -> Option<(u64, String)> {
    Some((seed, run_without(clause, seed, false).result.err()?))
}

/// Runs the world of a seed without a clause.
fn run_without(clause: Clause, seed: u64, traced: bool) -> Ran {
    leave_out(Some(clause));
    let ran = simulate(seed, traced);
    leave_out(None);
    ran
}

/// The first seed whose world shows that a clause is missing; of those that are bent on a race first.
fn search(clause: Clause, seeds: u64) -> Option<(u64, String)> {
    let seeds = || realm_of(clause).seeds().take(seeds as usize);
    let (bent, any) = (seeds().filter(|seed| is_bent(*seed)), seeds().filter(|seed| !is_bent(*seed)));
    bent.chain(any).find_map(|seed| broken(clause, seed))
}

/// Whether a seed's world is of a kind.
fn is_bent(seed: u64) -> bool {
    Kind::of(seed).is_some()
}

/// The realm of worlds that a clause is about.
fn realm_of(clause: Clause) -> Realm {
    match clause {
        Clause::EntryWritten
        | Clause::MemberBeforeEntry
        | Clause::EntryBeforeRevoked
        | Clause::EntryNeverShortened
        | Clause::RevokedNeverBack
        | Clause::EntryDroppedByStamp
        | Clause::RevokedBeforeEntries
        | Clause::RevocationTested
        | Clause::RevocationGuard
        | Clause::RevokedByEarlierTime
        | Clause::UndatedRevoked
        | Clause::RevokedOutlivesHorizon
        | Clause::LeftOverDeleted
        | Clause::EntriesAfterDeletion => Realm::Revocations,
        Clause::Recheck | Clause::KeptUntilRecheck | Clause::LateFillTracked | Clause::RevokedAgain => {
            Realm::LateFill
        }
        Clause::LossAnswered | Clause::Floor | Clause::MarkerChecked | Clause::LookedBeforeUse => Realm::Loss,
        Clause::Held | Clause::Lingers | Clause::EntriesLinger | Clause::EpochTold => Realm::Failover,
        _ => Realm::Plain,
    }
}

/// Finds worlds for the clauses of the other realms.
#[test]
#[ignore = "searches: to be run by name"]
fn which_seed_misses_which_clause_of_another_realm() {
    for clause in Clause::ALL.iter().filter(|clause| realm_of(**clause) != Realm::Plain) {
        match search(*clause, asked("DECACHE_SIMULATE_SEEDS", 400)) {
            Some(found) => tell(*clause, &found),
            None => println!("    {clause:?}: none"),
        }
    }
}

/// Clauses that are missed, those first that no known world shows.
fn needed() -> Vec<Clause> {
    let mut clauses: Vec<Clause> =
        Clause::ALL.iter().filter(|clause| !is_not_missed(**clause)).copied().collect();
    clauses.sort_by_key(|clause| is_shown(*clause));
    clauses
}

fn is_shown(clause: Clause) -> bool {
    SHOWN_BY.iter().any(|(shown, _)| *shown == clause)
}

/// Whether it is said that a clause is not missed.
fn is_not_missed(clause: Clause) -> bool {
    NOT_MISSED.iter().chain(SEEN_BY_NOBODY).any(|(known, _)| *known == clause)
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
fn every_clause_is_shown_to_be_missed_or_said_why_it_is_not() {
    for clause in Clause::ALL {
        let tables = [is_shown(*clause), is_not_missed(*clause)];
        let count = tables.into_iter().filter(|is_in| *is_in).count();
        assert!(
            count > 0,
            "{clause:?} is in no table: `scripts/simulate --mutants` searches a seed that misses it"
        );
        assert!(count == 1, "{clause:?} is in {count} tables");
    }
}

#[test]
fn what_is_said_not_to_be_missed_is_not() {
    for (clause, reason) in NOT_MISSED {
        assert_eq!(search(*clause, NOT_MISSED_IN), None, "{clause:?} is missed after all, although {reason}");
    }
}

#[test]
fn what_nobody_sees_changes_no_step_of_any_world() {
    for seed in 0..SAME_IN {
        let all = simulate(seed, true);
        for (clause, reason) in SEEN_BY_NOBODY {
            let without = run_without(*clause, seed, true);
            assert_eq!(
                all.trace, without.trace,
                "seed {seed} sees that {clause:?} is missing, although {reason}"
            );
        }
    }
}

/// What `scripts/simulate --mutants` runs: a table of each clause and the first seed that misses it.
#[test]
#[ignore = "searches every clause from the first seed on: scripts/simulate --mutants"]
fn which_seed_misses_which_clause() {
    let mut clauses = needed();
    if let Ok(only) = std::env::var("DECACHE_SIMULATE_CLAUSES") {
        clauses = Clause::ALL.to_vec();
        clauses.retain(|clause| only.split(',').any(|name| name == format!("{clause:?}")));
    }
    let (next, not_found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
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
