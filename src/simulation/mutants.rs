//! Every clause of the promise is left out once: the simulation must find what that breaks.

use super::{SEEDS, simulate};
use crate::clause::{Clause, leave_out};

/// Clauses whose absence breaks no promise, and what they are for.
const NOT_MISSED: &[(Clause, &str)] = &[];
/// Threads that share the clauses, so that no test takes long.
const PARTS: usize = 4;

/// The first seed whose world shows that a clause is missing.
fn found(clause: Clause, seeds: u64) -> Option<(u64, String)> {
    leave_out(Some(clause));
    let found = (0..seeds).find_map(|seed| Some((seed, simulate(seed, false).result.err()?)));
    leave_out(None);
    found
}

fn is_needed(clause: &&Clause) -> bool {
    NOT_MISSED.iter().all(|(not_missed, _)| not_missed != *clause)
}

fn every_clause_is_missed(part: usize) {
    let mut not_found = Vec::new();
    for clause in Clause::ALL.iter().filter(is_needed).skip(part).step_by(PARTS) {
        match found(*clause, std::env::var("N").map_or(SEEDS, |n| n.parse().unwrap())) {
            Some((seed, violation)) => {
                let what = violation.split([',', ':']).next().unwrap_or_default();
                println!("{:<26} {:>5} seeds  {what}", format!("{clause:?}"), seed + 1);
            }
            None => {
                println!("NOT FOUND {clause:?}");
                not_found.push(*clause);
            }
        }
    }
    assert!(not_found.is_empty(), "nothing misses {not_found:?} in {SEEDS} seeds");
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
