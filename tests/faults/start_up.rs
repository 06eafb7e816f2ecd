//! Starting with a full journal, and with dead letters in it. `DECACHE_START_JOBS` (50000) says how many jobs.

use serde_json::{Value, json};

use crate::{
    ledger::now,
    process::poll,
    proxy::Mode,
    service::Service,
    world::{AWAY, World},
};

const POSTS: usize = 50;
const REQUEST: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_the_journal_is_replayed_and_then_does_all_of_it() {
    let jobs: usize = std::env::var("DECACHE_START_JOBS").map_or(50_000, |jobs| jobs.parse().unwrap());
    // What fails is tried again after the next start, which is what this is about.
    let mut world = World::new().await.set("WORKERS__BACKOFF__BASE", "5m").set("WORKERS__BACKOFF__CAP", "5m");
    world = world.set("QUEUE__MAX_BYTES", "4GiB").set("QUEUE__CAPACITY", &(2 * jobs));
    world.both(AWAY);
    let mut service = Service::ready(&world.setup).await;
    for first in (0..jobs).step_by(REQUEST) {
        let events: Value = (first..jobs.min(first + REQUEST)).map(read).collect();
        assert_eq!(service.post(&events).await.status(), 202);
    }
    service.process.kill();

    world = world.set("WORKERS__BACKOFF__BASE", "20ms");
    world.heal();
    let service = Service::start(&world.setup).await;
    let mut not_ready = 0;
    poll("it is ready", async || {
        let readiness = service.readiness().await;
        if readiness.status == 200 {
            return Some(());
        }
        assert_eq!((readiness.status, &*readiness.word), (503, "unavailable"));
        assert_eq!(readiness.reasons, ["journal: being replayed"]);
        not_ready += 1;
        None
    })
    .await;
    let replayed = service.logged("the journal is replayed", "jobs");
    assert_eq!(replayed, Some(jobs), "it was ready before it had replayed all of its journal");
    let progress = service.process.output().matches("replaying the journal").count();
    assert!(progress > 0);
    service.wait_until_done().await;
    let mut tracked = 0;
    for post in 0..POSTS {
        let entity = service.get(&format!("/v1/entities/Posts/{post}")).await;
        tracked += entity["holders"].as_u64().unwrap();
    }
    let output = service.process.output();
    let replayed = output.lines().find(|line| line.contains("the journal is replayed")).unwrap();
    println!(
        "start: {jobs} jobs accepted, 503 {not_ready} times, {progress} lines of progress, {tracked} done; {replayed}"
    );
    assert_eq!(tracked, jobs as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_still_there_after_a_crash_with_their_reason() {
    const LETTERS: usize = 20;
    let world = World::new().await.set("WORKERS__MAX_ATTEMPTS", &2);
    let mut service = Service::ready(&world.setup).await;
    // The store is decache's from here on, and then it is full.
    assert_eq!(service.post_and_wait(&read(0)).await.status(), 200);
    world.to_index.set(Mode::Answer("OOM command not allowed when used memory > 'maxmemory'."));
    let events: Value = (1..=LETTERS).map(read).collect();
    assert_eq!(service.post(&events).await.status(), 202);
    let before = dead(&service, LETTERS).await;
    // What is answered now stands behind them in the journal.
    assert_eq!(service.post(&read(LETTERS + 1)).await.status(), 202);
    service.process.kill();

    let service = Service::ready(&world.setup).await;
    let after = service.get("/v1/jobs?state=dead&limit=1000").await["items"].as_array().unwrap().clone();
    for letter in &before {
        let found = after.iter().find(|found| found["id"] == letter["id"]).unwrap();
        assert_eq!((&found["last_error"], &found["state"]), (&letter["last_error"], &json!("dead")));
        assert!(found["last_error"].as_str().unwrap().starts_with("store "), "{found}");
        assert_eq!(found["entity_id"], letter["entity_id"]);
    }
    println!("dead letters: {} before the crash, {} of them after it", before.len(), before.len());
}

/// Waits until there are so many dead letters, and returns them.
async fn dead(service: &Service, letters: usize) -> Vec<Value> {
    poll("jobs are dead letters", async || {
        let page = service.get("/v1/jobs?state=dead&limit=1000").await;
        let items = page["items"].as_array().unwrap().clone();
        (items.len() == letters).then_some(items)
    })
    .await
}

fn read(n: usize) -> Value {
    json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": n % POSTS,
        "access_token": format!("tok-{n}"), "user_id": format!("user-{n}"), "occurred_at": now(),
    })
}
