//! One entity with very many holders: its fan-out is killed in the middle, and holds up nobody.
//! `DECACHE_FAN_OUT_HOLDERS` (100000) says how many.

use deadpool_redis::redis::{self, cmd};
use serde_json::{Value, json};

use crate::{
    ledger::{events, now, update},
    process::poll,
    service::Service,
    world::World,
};

const REQUEST: usize = 10_000;
const LATE: usize = 200;
/// Memory that a fan-out may take, in KiB, however many holders there are.
const MEMORY: usize = 32 << 10;

/// Without a guard: who reads after the write is fresh.
const EXACT: &str =
    r#"{ Posts: { cache_keys: ["/posts/{entity_id}?access_token={access_token}"], ttl: 300, guard: 0 } }"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_that_is_killed_in_the_middle_goes_on_and_forgets_nobody() {
    let holders: usize =
        std::env::var("DECACHE_FAN_OUT_HOLDERS").map_or(100_000, |holders| holders.parse().unwrap());
    // Nothing is to be listed that only waits for a failover.
    let world = World::new().await.set("RESOURCES", EXACT).set("JOURNAL__REPLICATION_WINDOW", &0);
    let mut service = Service::ready(&world.setup).await;
    let post = world.ledger.new_post();
    let reads = world.ledger.read(&post, holders).await;
    for reads in reads.chunks(REQUEST) {
        assert_eq!(service.post_and_wait(&events(reads)).await.status(), 200);
    }
    let idle = service.memory("VmRSS:");
    assert_eq!(service.post(&update(&post, now())).await.status(), 202);
    fewer_than(&world, holders - holders / 20).await;

    // Others are served meanwhile.
    let other = world.ledger.new_post();
    let others = world.ledger.read(&other, 10).await;
    assert_eq!(service.post_and_wait(&events(&others)).await.status(), 200);
    assert_eq!(service.post_and_wait(&update(&other, now())).await.status(), 200);
    let highest = service.memory("VmHWM:");
    service.process.kill();
    let left = keys(&world).await;
    assert!(left > holders / 10, "the fan-out was over before it was killed: {left} copies left");

    let service = Service::ready(&world.setup).await;
    fewer_than(&world, left / 2).await;
    // Who comes back to the post meanwhile is not lost: their copy goes with the others, or is known.
    let late: Value = (0..LATE).map(|user| late_read(&post, user)).collect();
    write_late(&world, &post).await;
    assert_eq!(service.post(&late).await.status(), 202);
    service.wait_until_done().await;
    let known = service.get(&format!("/v1/entities/Posts/{post}/holders?limit=1000")).await;
    let known: Vec<&str> =
        known["items"].as_array().unwrap().iter().map(|item| item["user_id"].as_str().unwrap()).collect();
    let kept = late_copies(&world, &post).await;
    println!(
        "fan-out: {holders} holders, {left} copies left when it was killed, {} of {LATE} late ones kept, {} KiB above {idle}",
        kept.len(),
        highest.saturating_sub(idle),
    );
    assert_eq!(copies(&world).await, kept.len(), "copies from before the write are left");
    assert!(kept.iter().all(|user| known.contains(&&**user)), "{kept:?} live, and {known:?} are known");
    assert!(highest < idle + MEMORY, "{highest} KiB, {idle} KiB when idle");
}

/// Waits until so many copies are left in the cache.
pub(crate) async fn fewer_than(world: &World, count: usize) {
    poll("copies are removed", async || (keys(world).await < count).then_some(())).await;
}

/// All keys of the cache: copies, and a few of decache's.
pub(crate) async fn keys(world: &World) -> usize {
    let mut cache = world.cache.connect().await;
    cmd("DBSIZE").query_async(&mut cache).await.unwrap()
}

/// Copies, where these are not so many that the cache would be busy with naming them.
pub(crate) async fn copies(world: &World) -> usize {
    let mut cache = world.cache.connect().await;
    let keys: Vec<redis::Value> = cmd("KEYS").arg("/posts/*").query_async(&mut cache).await.unwrap();
    keys.len()
}

fn late_user(user: usize) -> String {
    format!("late-{user}")
}

fn late_key(post: &str, user: usize) -> String {
    format!("/posts/{post}?access_token=tok-{}", late_user(user))
}

fn late_read(post: &str, user: usize) -> Value {
    let user = late_user(user);
    json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": post, "access_token": format!("tok-{user}"),
        "user_id": user, "occurred_at": now(),
    })
}

async fn write_late(world: &World, post: &str) {
    let mut cache = world.cache.connect().await;
    for user in 0..LATE {
        cmd("SET").arg(late_key(post, user)).arg("a copy").exec_async(&mut cache).await.unwrap();
    }
}

/// The late users whose copies live.
async fn late_copies(world: &World, post: &str) -> Vec<String> {
    let mut cache = world.cache.connect().await;
    let mut living = Vec::new();
    for user in 0..LATE {
        let lives: bool = cmd("EXISTS").arg(late_key(post, user)).query_async(&mut cache).await.unwrap();
        living.extend(lives.then(|| late_user(user)));
    }
    living
}
