//! More load than there is room for. `DECACHE_OVERLOAD_REQUESTS` (400) says how many requests too many.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::{
    ledger::now,
    service::Service,
    world::{AWAY, World},
};

const CONNECTIONS: usize = 8;
const EVENTS: usize = 500;
const MIB: usize = 1 << 20;
/// What jobs may be counted with, in this test.
const MAX_BYTES: usize = 16 * MIB;
/// The bound that `config/default.yaml` gives: twice `max_bytes` above what the process takes when it is idle, and the
/// requests that are being read.
const BOUND: usize = 2 * MAX_BYTES;
const REQUESTS: usize = CONNECTIONS * 8 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_memory_stays_bounded_and_afterwards_all_is_done() {
    let too_many: usize =
        std::env::var("DECACHE_OVERLOAD_REQUESTS").map_or(400, |requests| requests.parse().unwrap());
    let world = World::new().await.set("QUEUE__MAX_BYTES", &MAX_BYTES).set("QUEUE__CAPACITY", &100_000);
    // What fails is not to become a dead letter, so that all of it is tracked at the end.
    let world = world.set("WORKERS__MAX_ATTEMPTS", &1000);
    let service = Service::ready(&world.setup).await;
    assert_eq!(service.post_and_wait(&batch(0, 0)).await.status(), 200);
    let idle = service.memory("VmRSS:") * 1024;
    world.both(AWAY);
    let (accepted, refused) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let requests = stream::iter(1..).take_while(|_| {
        let go_on = refused.load(Ordering::Relaxed) < too_many;
        std::future::ready(go_on)
    });
    let (service, accepted, refused) = (&service, &accepted, &refused);
    let post = |n: usize| async move {
        let response = service.post(&batch(n, 100)).await;
        match response.status().as_u16() {
            202 => accepted.fetch_add(1, Ordering::Relaxed),
            503 => {
                let after: u64 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
                assert!(after >= 1);
                let problem: Value = response.json().await.unwrap();
                assert_eq!(problem["type"], "urn:decache:problem:queue-full");
                refused.fetch_add(1, Ordering::Relaxed)
            }
            other => panic!("answered {other}"),
        };
    };
    requests.map(post).buffer_unordered(CONNECTIONS).collect::<()>().await;
    let (highest, counted) =
        (service.memory("VmHWM:") * 1024, service.get("/v1/queue").await["bytes"].clone());
    let accepted = accepted.load(Ordering::Relaxed);
    println!(
        "overload: {accepted} requests of {EVENTS} reads accepted, {} refused; {} MiB idle, {} MiB at the most, jobs \
         counted with {} MiB",
        refused.load(Ordering::Relaxed),
        idle / MIB,
        highest / MIB,
        counted.as_u64().unwrap() as usize / MIB
    );
    assert!(highest < idle + BOUND + REQUESTS, "{highest} bytes");

    world.heal();
    service.wait_until_done().await;
    assert_eq!(service.post_and_wait(&batch(0, 100)).await.status(), 200);
    let holders = service.get("/v1/entities/Posts/1").await["holders"].as_u64().unwrap();
    println!("overload: {holders} of {} accepted reads are tracked", accepted * EVENTS);
    assert_eq!(holders, (accepted * EVENTS) as u64);
}

/// Reads of one post by users that no other batch has, each with so many bytes of payload.
fn batch(n: usize, payload: usize) -> Value {
    let read = |user: usize| {
        json!({
            "action_type": "Read", "resource_type": "Posts", "entity_id": 1, "access_token": format!("tok-{n}-{user}"),
            "occurred_at": now(), "payload": { "text": "x".repeat(payload) },
        })
    };
    (0..EVENTS).map(read).collect()
}
