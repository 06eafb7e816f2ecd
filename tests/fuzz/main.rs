//! Every fuzz target on its seeds, and on a bounded number of mutations of them: the same in every run. `scripts/fuzz`
//! runs the same targets under libFuzzer, for as long as it is told.

mod targets;

use std::{fs, panic, path::Path};

use fastrand::Rng;

/// Mutations of a target's seeds that a run tries.
const MUTATIONS: usize = 4000;
/// Of the targets that open a journal or a file for each.
const SLOW_MUTATIONS: usize = 150;
/// Changes in one mutation, at most.
const CHANGES: usize = 6;
/// What makes a text break where it has a grammar.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "\n",
    "\r\n",
    "\0",
    "\u{1b}",
    "\\u0000",
    "\\ud800",
    "é",
    "{access_token}",
    "{entity_id:urlencode}",
    "%0a",
    "1e999",
    "-0",
    "null",
    "&a ",
    "*a",
    "- ",
];

#[test]
fn no_seed_and_no_mutation_of_one_breaks_a_promise() {
    for (name, target) in targets::ALL {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut rng = Rng::with_seed(42);
        let is_fast = ["cloud_event", "event", "event_lines", "template"].contains(&name);
        let count = if is_fast { MUTATIONS } else { SLOW_MUTATIONS };
        let mutations = (0..count).map(|_| mutation(&seeds, &mut rng));
        for input in seeds.iter().cloned().chain(mutations.collect::<Vec<_>>()) {
            let held = panic::catch_unwind(|| target(&input));
            assert!(held.is_ok(), "{name} breaks on {:?}", String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn every_target_has_its_file_for_libfuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for (name, _) in targets::ALL {
        let text = fs::read_to_string(folder.join(format!("{name}.rs"))).expect(name);
        assert!(text.contains(&format!("run(\"{name}\"")), "{name}");
    }
    assert_eq!(fs::read_dir(folder).expect("the folder").count(), targets::ALL.len());
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect(name).map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// A seed with some bytes changed, removed, put in, or continued as another seed.
fn mutation(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..=CHANGES) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            1 if at < bytes.len() => bytes[at] = rng.u8(..),
            2 => drop(bytes.drain(at..(at + rng.usize(..16)).min(bytes.len()))),
            3 => drop(bytes.splice(at..at, PIECES[rng.usize(..PIECES.len())].bytes())),
            _ => {
                let other = &seeds[rng.usize(..seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
        }
    }
    bytes
}
