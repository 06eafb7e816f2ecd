//! The promise of DESIGN 7, tried on simulated worlds: the real rules, ingest, queue, workers, hooks and judge, on a virtual
//! clock, over a simulated Redis, simulated caches and journals, and an API that reads and writes. Everything that
//! happens comes of one seed, and happens again with it.
//!
//! `scripts/simulate` runs as many worlds as one likes, and shows one of them step by step.

use std::sync::Arc;

use config::Config;
use world::{Seen, World};

mod api;
mod cache;
mod config;
mod database;
mod dice;
mod index;
mod journal;
mod mutants;
mod network;
mod process;
mod store;
mod trace;
mod world;

/// Worlds of the tests.
const SEEDS: u64 = 5000;

thread_local! {
    static CONFIG: Arc<Config> = Arc::new(Config::read());
}

/// A world that has come to its end.
struct Ran {
    result: Result<Seen, String>,
    trace: String,
}

/// Runs the world of a seed.
fn simulate(seed: u64, traced: bool) -> Ran {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let config = CONFIG.with(Arc::clone);
    let vault_missing = config.metrics.vault_missing.clone();
    let before = vault_missing.get();
    runtime.block_on(async {
        let world = World::new(seed, config, traced);
        let mut result = world.run().await;
        if result.is_ok() && vault_missing.get() > before {
            result = Err("an invalidation met a holder whose token it did not know".to_owned());
        }
        Ran { result, trace: world.trace.text() }
    })
}

#[test]
fn one() {
    let n: u64 = std::env::var("SEED").map_or(0, |n| n.parse().unwrap());
    let ran = simulate(n, true);
    println!("{}\n{:?}", ran.trace, ran.result);
}

#[test]
fn smoke() {
    let n: u64 = std::env::var("N").map_or(200, |n| n.parse().unwrap());
    let (mut living, mut kept, mut gone) = (0, 0, 0);
    for seed in 0..n {
        match simulate(seed, false).result {
            Ok(seen) => {
                living += seen.living;
                kept += seen.kept;
                gone += seen.gone;
            }
            Err(violation) => {
                println!("{}", simulate(seed, true).trace);
                panic!("seed {seed}: {violation}");
            }
        }
    }
    println!("living {living} kept {kept} gone {gone}");
}
