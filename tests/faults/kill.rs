//! SIGKILL in a loop, under load: each accepted event has its effect.
//!
//! `DECACHE_KILL_ROUNDS` (30) and `DECACHE_SEED` (a random one, which is printed) change what is done.

use std::time::Duration;

use fastrand::Rng;

use crate::{load::Load, proxy::Mode, service::Service, world::World};

const CONNECTIONS: u64 = 6;
/// Events that a round lets through at the most.
const EVENTS: usize = 150;
/// Keeps work behind the events that ask for it, so that there is some to lose.
const DELAY: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_it_is_killed_with_the_index_in_redis() {
    let world = World::new().await;
    world.to_index.set(Mode::Slow(world.index.port, DELAY));
    kill_again_and_again(world, "SIGKILL, Redis store").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_it_is_killed_with_the_embedded_index() {
    kill_again_and_again(World::embedded().await, "SIGKILL, embedded store").await;
}

async fn kill_again_and_again(world: World, test: &str) {
    let rounds = number("DECACHE_KILL_ROUNDS").unwrap_or(30);
    let seed = number("DECACHE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: {rounds} rounds, DECACHE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let load = Load::start(&world.ledger, CONNECTIONS, seed);
    let mut replayed = 0;
    for _ in 0..rounds {
        let mut service = Service::start(&world.setup).await;
        load.go_to(&service.url);
        // Now and then it is killed before it has begun, while it replays.
        if rng.u8(0..6) > 0 {
            world.ledger.accept(rng.usize(1..EVENTS)).await;
        }
        service.process.kill();
        replayed += service.logged("the journal is replayed", "jobs").unwrap_or_default();
    }
    let service = Service::ready(&world.setup).await;
    load.go_to(&service.url);
    let not_accepted = load.not_accepted();
    load.stop().await;
    service.wait_until_done().await;
    println!("{test}: {replayed} jobs were replayed; {not_accepted} requests were cut off and made again");
    assert!(replayed > 0, "no round left a job behind");
    world.ledger.assert_all_done(&service, test).await;
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}
