//! Redis users with no more rights than `docs/redis.md` gives them, read from there: all of decache works under them, and each
//! right is used.

use std::collections::BTreeSet;

use deadpool_redis::redis::Value;
use serde_json::json;

use crate::{
    ledger::{events, now, update},
    process::poll,
    redis_process::Redis,
    service::{Service, client},
    world::World,
};

const PAGE: &str = include_str!("../../docs/redis.md");
/// So many that buckets split, and merge when they go.
const READERS: usize = 400;

/// What an hour is needed for, or a store that is not known to be ours, or a connection that was idle: a record of staleness goes,
/// a ping, and another one.
const RARE: [(&str, &[&str]); 4] = [
    ("del", &["decache:{Posts:1}:stale"]),
    ("setrange", &["decache:ping", "0", ""]),
    ("unwatch", &[]),
    ("ping", &[]),
];

/// The words after `user` of a user's line.
fn rights(user: &str) -> Vec<&'static str> {
    let line = PAGE.lines().find_map(|line| line.strip_prefix(&format!("user {user} ")));
    line.expect("the user's line").split(' ').collect()
}

async fn create(redis: &Redis, user: &str) {
    let rights = rights(user);
    redis.tell(&[&["ACL", "SETUSER", user][..], &rights].concat()).await;
}

fn url(redis: &Redis, user: &str) -> String {
    format!("redis://{user}:a-password@127.0.0.1:{}", redis.port)
}

/// Commands that were carried out, in the form of rules: `script|load`.
async fn used(redis: &Redis) -> BTreeSet<String> {
    let stats: String = redis.ask(&["INFO", "commandstats"]).await;
    let called = stats.lines().filter(|line| line.contains("calls=") && !line.contains(":calls=0,"));
    called.filter_map(|line| Some(line.strip_prefix("cmdstat_")?.split(':').next()?.to_owned())).collect()
}

async fn assert_exact(redis: &Redis, user: &str) {
    let denied: Vec<Value> = redis.ask(&["ACL", "LOG"]).await;
    // The client library says who it is, and minds no refusal.
    let denied: Vec<&Value> =
        denied.iter().filter(|entry| !format!("{entry:?}").contains("'client")).collect();
    assert!(denied.is_empty(), "{user}: {denied:?}");
    let used = used(redis).await;
    let granted = rights(user).into_iter().filter_map(|right| right.strip_prefix('+'));
    let unused: Vec<&str> =
        granted.filter(|it| !used.contains(*it) && RARE.iter().all(|(rare, _)| rare != it)).collect();
    assert!(unused.is_empty(), "{user} is granted and never needs {unused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_decache_works_under_users_with_the_documented_rights_and_uses_each_of_them() {
    let world = World::new().await;
    create(&world.index, "decache-store").await;
    create(&world.cache, "decache-cache").await;
    let caches = json!([{ "name": "api", "kind": "redis", "url": url(&world.cache, "decache-cache") }]);
    let store_url = url(&world.index, "decache-store");
    let world =
        world.set("STORE__URL", &store_url).set("JOURNAL__REPLICATION_WINDOW", "0").set("CACHES", &caches);
    let service = Service::ready(&world.setup).await;

    let post = world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    let kept = world.ledger.accepted_read(&service, 4).await;
    let revoked = world.ledger.new_post();
    let reads = world.ledger.read(&revoked, 4).await;
    assert_eq!(service.post_and_wait(&events(&reads)).await.status(), 200);
    service.revoke_holders(&revoked).await;
    let copies: Vec<String> = world.cache.ask(&["KEYS", &format!("/posts/{revoked}?*")]).await;
    assert!(copies.is_empty(), "{copies:?}");
    let holders = service.get(&format!("/v1/entities/Posts/{kept}/holders")).await;
    let holder = holders["items"][0]["holder"].as_str().unwrap();
    let held = service.get(&format!("/v1/holders/{holder}/entities")).await;
    assert_eq!(held["items"][0]["entity_id"], kept.as_str());
    let at = now();
    assert_eq!(service.post_and_wait(&update(&post, at)).await.status(), 200);
    world.ledger.update_accepted(&post, at);
    // A vault entry that another read extends, which does not say whose it is.
    let mut anonymous = events(&world.ledger.read(&kept, 1).await);
    anonymous[0].as_object_mut().unwrap().remove("user_id");
    anonymous[0]["expires_in"] = 600.into();
    assert_eq!(service.post_and_wait(&anonymous).await.status(), 200);
    reconcile(&service).await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "least rights").await;

    assert_exact(&world.index, "decache-store").await;
    for (command, arguments) in RARE {
        let words = [&["ACL", "DRYRUN", "decache-store", command], arguments].concat();
        assert_eq!(world.index.ask::<String>(&words).await, "OK");
    }
    assert_exact(&world.cache, "decache-cache").await;
}

async fn reconcile(service: &Service) {
    let url = format!("{}/v1/reconciliations", service.url);
    let asked = client().post(url).json(&json!({ "untracked": "evict" })).send().await.unwrap();
    assert_eq!(asked.status(), 202);
    poll("the reconciliation ends", async || {
        let now = service.get("/v1/reconciliations/current").await;
        assert_ne!(now["state"], "failed", "{now}");
        (now["state"] == "done").then_some(())
    })
    .await;
}
