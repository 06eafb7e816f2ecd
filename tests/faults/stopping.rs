//! SIGTERM under load.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    load::Load,
    process::poll,
    proxy::Mode,
    service::{Service, client},
    world::World,
};

const CONNECTIONS: u64 = 6;
const ROUNDS: usize = 5;
const EVENTS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_it_is_stopped_and_it_ends_well() {
    let world = World::new().await;
    let load = Load::start(&world.ledger, CONNECTIONS, 1);
    for _ in 0..ROUNDS {
        let mut service = Service::ready(&world.setup).await;
        load.go_to(&service.url);
        world.ledger.accept(EVENTS).await;
        let status = service.terminate().await;
        assert!(status.success(), "{status}");
        let output = service.process.output();
        assert!(output.contains("stopped") && !output.contains("the grace period is over"), "{output}");
    }
    let service = Service::ready(&world.setup).await;
    load.go_to(&service.url);
    load.stop().await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "SIGTERM under load").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_answered_when_it_is_stopped() {
    const REQUESTS: usize = 8;
    let world = World::new().await.set("STORE__TIMEOUT", "30s");
    let mut service = Service::ready(&world.setup).await;
    world.index.pause();
    let (client, url) = (client(), format!("{}/v1/invalidations", service.url));
    let ask = |post: usize| {
        let body = serde_json::json!({ "entities": [{ "resource_type": "Posts", "entity_id": post }] });
        client.post(&url).header("prefer", "wait=60").json(&body).send()
    };
    let asked = join_all((0..REQUESTS).map(ask));
    let stopped = async {
        poll("all of them wait", async || {
            let queue = service.get("/v1/queue").await;
            (queue["running"] == REQUESTS).then_some(())
        })
        .await;
        service.process.ask_to_stop();
        poll("it is stopping", async || service.process.output().contains("stopping").then_some(())).await;
        world.index.resume();
        service.process.ended().await
    };
    let (answers, status) = tokio::join!(asked, stopped);
    let mut done = 0;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["jobs"][0]["outcome"], "done", "{body}");
        done += 1;
    }
    println!("SIGTERM: {done} of {REQUESTS} requests in flight were answered");
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_it_at_once_and_what_waited_is_done_after_the_next_start() {
    let world = World::new().await.set("SERVER__GRACE", "1h").set("STORE__TIMEOUT", "1h");
    let mut service = Service::ready(&world.setup).await;
    let post = world.ledger.accepted_read(&service, 3).await;
    service.wait_until_done().await;
    world.to_index.set(Mode::Slow(world.index.port, Duration::from_secs(3600)));
    world.ledger.accepted_update(&service, &post).await;
    // The first attempt may meet a connection that is gone, and fail at once; the next one hangs.
    let mut looks = 0;
    poll("the update hangs", async || {
        looks = if service.get("/v1/queue").await["running"] == 1 { looks + 1 } else { 0 };
        (looks == 50).then_some(())
    })
    .await;
    service.process.ask_to_stop();
    poll("it is stopping", async || service.process.output().contains("stopping").then_some(())).await;
    assert!(!service.process.has_ended());
    service.process.ask_to_stop();
    let status = service.process.ended().await;
    assert!(!status.success(), "{status}");
    assert!(service.process.output().contains("by a second signal"), "{}", service.process.output());
    world.heal();
    let service = Service::ready(&world.setup).await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "two SIGTERMs").await;
}
