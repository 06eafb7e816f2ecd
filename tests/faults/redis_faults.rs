//! What a Redis can do to those who depend on it: the index, the cache, both.

use std::time::Duration;

use serde_json::Value;

use crate::{
    ledger::{Ledger, events},
    load::Load,
    process::poll,
    proxy::Mode,
    service::Service,
    world::{AWAY, World},
};

const POSTS: usize = 5;
const READERS: usize = 4;
/// Longer than decache waits for an answer.
const TOO_SLOW: Duration = Duration::from_secs(2);
/// Shorter than that.
const SLOW: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_redis_answers_events_are_taken_readiness_tells_and_all_is_done_when_it_is_well_again() {
    let world = World::new().await;
    let service = Service::ready(&world.setup).await;
    let faults = [
        Mode::Reset,
        Mode::Answer("LOADING Redis is loading the dataset in memory"),
        Mode::Answer("READONLY You can't write against a read only replica."),
        Mode::Answer("OOM command not allowed when used memory > 'maxmemory'."),
        Mode::Answer("MOVED 3999 127.0.0.1:6381"),
        Mode::Answer("NOAUTH Authentication required."),
        Mode::Slow(world.index.port, TOO_SLOW),
    ];
    for fault in faults {
        let posts = read(&world.ledger, &service).await;
        service.wait_until_done().await;
        world.both(fault);
        change(&world.ledger, &service, &posts).await;
        let late = read(&world.ledger, &service).await;
        let readiness =
            service.wait_for("readiness names both", |it| it.names("store") && it.names("cache:api")).await;
        assert_eq!((readiness.status, &*readiness.word), (200, "degraded"), "{fault:?}: {readiness:?}");
        change(&world.ledger, &service, &late[..2]).await;
        world.heal();
        service.wait_until_done().await;
        world.ledger.assert_all_done(&service, &format!("{fault:?}")).await;
    }
}

/// As after a failover: who was the primary still answers on the connections that are open.
#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_primary_that_has_become_a_replica_are_given_up() {
    let world = World::new().await;
    let service = Service::ready(&world.setup).await;
    let replica = Mode::Answer("READONLY You can't write against a read only replica.");
    world.both(replica);
    service.wait_for("readiness names both", |it| it.names("store") && it.names("cache:api")).await;
    let posts = read(&world.ledger, &service).await;
    change(&world.ledger, &service, &posts[1..]).await;
    world.to_index.set_for_new(Mode::To(world.index.port));
    world.to_cache.set_for_new(Mode::To(world.cache.port));
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "READONLY on open connections").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_is_no_trouble() {
    let world = World::new().await;
    let service = Service::ready(&world.setup).await;
    world.to_index.set(Mode::Slow(world.index.port, SLOW));
    world.to_cache.set(Mode::Slow(world.cache.port, SLOW));
    let posts = read(&world.ledger, &service).await;
    change(&world.ledger, &service, &posts[1..]).await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "slow Redis").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_held_up_and_moved_under_load_costs_nothing_that_was_accepted() {
    const ROUNDS: usize = 3;
    const EVENTS: usize = 60;
    let mut world = World::new().await;
    let service = Service::ready(&world.setup).await;
    let load = Load::start(&world.ledger, 4, 7);
    load.go_to(&service.url);
    for _ in 0..ROUNDS {
        world.index.kill();
        service.wait_for("readiness tells", |it| it.word == "degraded" && it.names("store")).await;
        world.ledger.accept(EVENTS).await;
        // Behind the same name, at another address.
        world.index.start_elsewhere().await;
        world.heal();
        service.wait_for("all is well", |it| it.word == "ok").await;
        // The cache holds up the APIs too: they write copies to it.
        world.cache.pause();
        service.wait_for("readiness tells", |it| it.names("cache:api")).await;
        world.cache.resume();
        world.index.pause();
        world.ledger.accept(EVENTS).await;
        service.wait_for("readiness tells", |it| it.names("store")).await;
        world.index.resume();
        service.wait_for("all is well", |it| it.word == "ok").await;
    }
    load.stop().await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "Redis killed, moved and held up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_jobs_do_not_flood_the_log_and_do_not_ask_at_once_again() {
    const JOBS: usize = 2_000;
    const ATTEMPTS: usize = 3;
    let world = World::new().await.set("WORKERS__MAX_ATTEMPTS", &ATTEMPTS);
    let service = Service::ready(&world.setup).await;
    // The store is decache's from here on.
    let posts = read(&world.ledger, &service).await;
    service.wait_until_done().await;
    world.to_index.set(AWAY);
    let lines = service.process.output().lines().count();
    change(&world.ledger, &service, &posts).await;
    let post = world.ledger.new_post();
    let reads = world.ledger.read(&post, JOBS).await;
    assert_eq!(service.post(&events(&reads)).await.status(), 202);
    world.ledger.reads_accepted(reads);
    poll("all reads are dead letters", async || {
        let queue: Value = service.get("/v1/queue").await;
        (queue["dead"] == JOBS).then_some(())
    })
    .await;
    // The last of them are told at the next look.
    poll("they are told", async || service.process.output().contains("dead letters").then_some(())).await;
    let written = service.process.output().lines().count() - lines;
    println!(
        "{JOBS} jobs that failed {ATTEMPTS} times each: {written} lines in the log, {} commands that were refused",
        world.to_index.answered()
    );
    assert!(written < 50, "{}", service.process.output());
    world.heal();
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "2,000 failing jobs").await;
}

/// Posts are read, and the events accepted.
async fn read(ledger: &Ledger, service: &Service) -> Vec<String> {
    let mut posts = Vec::new();
    for _ in 0..POSTS {
        posts.push(ledger.accepted_read(service, READERS).await);
    }
    posts
}

/// Posts are changed, and the events accepted.
async fn change(ledger: &Ledger, service: &Service, posts: &[String]) {
    for post in posts {
        ledger.accepted_update(service, post).await;
    }
}
