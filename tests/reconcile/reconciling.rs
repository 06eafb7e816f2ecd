//! `decache reconcile`, as a process beside real servers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    process::poll,
    world::{ADMIN, Service, World, read, updates},
};

fn counts(report: &Value) -> [u64; 4] {
    ["matched", "tracked", "recorded", "evicted"].map(|field| report["caches"][0][field].as_u64().unwrap())
}

fn relationships(report: &Value) -> [u64; 3] {
    ["walked", "without_copy", "dropped"].map(|field| report["relationships"][field].as_u64().unwrap())
}

#[tokio::test]
async fn on_the_day_of_introduction_2_000_copies_become_known_and_an_update_removes_each() {
    let world = World::redis();
    world.fill(2_000).await;
    let service = world.serve().await;
    let report = world.report(&[]).await;
    assert_eq!((counts(&report), relationships(&report)), ([2_000, 0, 2_000, 0], [2_000, 0, 0]));
    assert_eq!(world.copies().await, 2_000, "none was evicted");
    assert_eq!(counts(&world.report(&[]).await), [2_000, 2_000, 0, 0], "now they are known");
    service.done(&updates(1..=1_999)).await;
    assert_eq!(
        world.view().keys().await,
        BTreeSet::from(["api:/posts/2000?access_token=tok-2000".to_owned()])
    );
}

#[tokio::test]
async fn a_copy_of_before_an_update_is_evicted_and_not_recorded() {
    let world = World::redis();
    world.fill(3).await;
    let service = world.serve().await;
    service.done(&updates([2].into_iter())).await;
    assert_eq!(counts(&world.report(&[]).await), [3, 0, 2, 1]);
    let left = [1, 3].map(|post| format!("api:/posts/{post}?access_token=tok-{post}"));
    assert_eq!(world.view().keys().await, BTreeSet::from(left));
}

#[tokio::test]
async fn a_hit_on_a_copy_of_before_an_update_does_not_make_it_known() {
    let world = World::redis();
    world.fill(3).await;
    let service = world.serve().await;
    service.done(&updates([2].into_iter())).await;
    service.done(&json!([read("2", "2")])).await;
    assert_eq!(service.holders("2").await, 1);
    assert_eq!(counts(&world.report(&[]).await), [3, 1, 2, 1]);
    let left = [1, 3].map(|post| format!("api:/posts/{post}?access_token=tok-{post}"));
    assert_eq!(world.view().keys().await, BTreeSet::from(left));
}

#[tokio::test]
async fn after_the_index_was_flushed_copies_of_before_are_evicted() {
    let world = World::redis();
    world.fill(500).await;
    let service = world.serve().await;
    world.report(&[]).await;
    let index = crate::redis_view::RedisView::of(&world.index.as_ref().unwrap().url());
    let secret = index.keys().await.into_iter().find(|key| key.ends_with("secret")).unwrap();
    // A service that runs would see to it by itself.
    drop(service);
    index.tell(&["FLUSHALL"]).await;
    assert_eq!(counts(&world.report(&["--untracked", "evict"]).await), [500, 0, 0, 500]);
    assert_eq!(world.copies().await, 0);
    assert!(index.keys().await.contains(&secret), "the store is tied to the secret again");
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let world = World::redis();
    world.fill(100).await;
    let service = world.serve().await;
    service.done(&json!([read("gone", "alice")])).await;
    let index = crate::redis_view::RedisView::of(&world.index.as_ref().unwrap().url());
    let before = index.everything().await;
    for (untracked, expected) in [("record", [100, 0, 100, 0]), ("evict", [100, 0, 0, 100])] {
        let report = world.report(&["--dry-run", "--untracked", untracked]).await;
        assert_eq!((counts(&report), relationships(&report)), (expected, [1, 1, 0]));
    }
    assert_eq!(world.copies().await, 100);
    assert_eq!(index.everything().await, before);
}

#[tokio::test]
async fn relationships_without_a_copy_are_dropped_and_the_others_stay() {
    let world = World::redis();
    let service = world.serve().await;
    for user in ["alice", "bob"] {
        world.view().set(&format!("api:/posts/42?access_token=tok-{user}"), "x").await;
        service.done(&json!([read("42", user)])).await;
    }
    world.view().tell(&["DEL", "api:/posts/42?access_token=tok-bob"]).await;
    // Of a template that cannot be reversed, and there.
    let feed = json!([{ "action_type": "Read", "resource_type": "Posts", "entity_id": "7", "access_token": "tok-carol" }]);
    world.view().set("api:/posts/7?access_token=tok-carol", "x").await;
    service.done(&feed).await;
    assert_eq!(relationships(&world.report(&[]).await), [3, 1, 1]);
    assert_eq!((service.holders("42").await, service.holders("7").await), (1, 1));
}

#[tokio::test]
async fn keys_that_only_resemble_a_template_survive_and_hashed_ones_are_told_of() {
    let world = World::redis();
    let service = world.serve().await;
    let others = [
        "api:/posts/1",
        "api:/posts/1?access_token=",
        "api:/feeds/1/alice",
        "/posts/1?access_token=tok-a",
        "x",
    ];
    let hashed = format!("api:/feeds/1/{}", "0a".repeat(32));
    for key in others.iter().chain([&&*hashed]) {
        world.view().set(key, "x").await;
    }
    let report = world.report(&[]).await;
    assert_eq!((counts(&report), &report["caches"][0]["unreadable"]), ([1, 0, 0, 0], &json!(1)));
    assert_eq!(report["irreversible"], json!(["/feeds/{entity_id}/{access_token:sha256}"]));
    let (code, out, _) = world.reconcile(&["--untracked", "evict"], &[]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("warning: template /feeds/{entity_id}/{access_token:sha256}"), "{out}");
    assert!(out.contains("1 copies: 0 tracked, 0 recorded, 1 evicted; 0 ambiguous, 1 unreadable"), "{out}");
    assert_eq!(world.view().keys().await, others.iter().map(|key| (*key).to_owned()).collect());
    drop(service);
}

#[tokio::test]
async fn a_copy_without_an_end_stays_tracked() {
    let world = World::redis();
    let service = world.serve().await;
    world.view().tell(&["SET", "api:/posts/42?access_token=tok-alice", "x"]).await;
    let report = world.report(&[]).await;
    assert_eq!((counts(&report), &report["caches"][0]["endless"]), ([1, 0, 1, 0], &json!(1)));
    assert_eq!(counts(&world.report(&[]).await), [1, 1, 0, 0]);
    service.done(&updates([42].into_iter())).await;
    assert_eq!(world.copies().await, 0);
}

#[tokio::test]
async fn a_relationship_that_ends_before_its_copy_is_extended() {
    let world = World::redis();
    let service = world.serve().await;
    let mut short = read("42", "alice");
    short["expires_in"] = json!(60);
    world.view().set("api:/posts/42?access_token=tok-alice", "x").await;
    service.done(&json!([short])).await;
    assert_eq!(counts(&world.report(&[]).await), [1, 0, 1, 0]);
    assert_eq!(counts(&world.report(&[]).await), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_variant_that_looks_like_a_longer_id_goes_with_its_entity() {
    let world = World::redis();
    let service = world.serve().await;
    world.view().set("api:/posts/42/comments?access_token=tok-alice", "x").await;
    let report = world.report(&[]).await;
    assert_eq!((counts(&report), &report["caches"][0]["ambiguous"]), ([1, 0, 1, 0], &json!(1)));
    service.done(&updates([42].into_iter())).await;
    assert_eq!(world.copies().await, 0);
}

#[tokio::test]
async fn reads_and_updates_that_go_on_meanwhile_leave_no_copy_untracked_and_lose_none() {
    let world = World::redis();
    world.fill(1_000).await;
    let service = world.serve().await;
    let reads = async {
        for post in (1..=1_000).step_by(50) {
            let post = post.to_string();
            world.view().set(&format!("api:/posts/{post}?access_token=tok-late"), "x").await;
            service.done(&json!([read(&post, "late")])).await;
        }
    };
    let changes = async {
        for post in (50..=1_000).step_by(50) {
            service.done(&updates([post].into_iter())).await;
        }
    };
    let (report, (), ()) = tokio::join!(world.report(&[]), reads, changes);
    assert_eq!(report["relationships"]["dropped"], 0, "no copy was away for its relationship to be dropped");
    let keys = world.view().keys().await;
    let changed: Vec<String> =
        (50..=1_000).step_by(50).map(|post| format!("api:/posts/{post}?access_token=tok-{post}")).collect();
    assert!(
        changed.iter().all(|key| !keys.contains(key)),
        "each update removed its copy, whoever came first"
    );
    assert_eq!(keys.len(), 1_000 - changed.len() + 20, "and no other went");
    // Whatever it did not meet was read meanwhile: every copy is tracked.
    service.done(&updates(1..=1_000)).await;
    assert_eq!(world.copies().await, 0);
}

#[tokio::test]
async fn a_service_that_holds_the_embedded_store_does_it_itself() {
    let hash = {
        use sha2::{Digest, Sha256};
        hex::encode(Sha256::digest(ADMIN))
    };
    let keys = json!({ "keys": [{ "name": "ops", "hash": hash, "scopes": ["admin", "ingest", "read"] }] });
    let world = World::embedded().with("auth", keys);
    world.fill(2_000).await;
    let service = world.serve().await;
    let (code, _, error) = world.reconcile(&[], &[service.bind()]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("the running service answers 401"), "{error}");
    let key = world.file("key", &format!("{ADMIN}\n"));
    let arguments = ["--json", "--key-file", key.to_str().unwrap()];
    let (code, out, error) = world.reconcile(&arguments, &[service.bind()]).await;
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(counts(&serde_json::from_str(&out).unwrap()), [2_000, 0, 2_000, 0]);
    let (code, out, _) = world.reconcile(&["--json"], &[service.bind(), ("DECACHE_KEY", ADMIN)]).await;
    assert_eq!((code, counts(&serde_json::from_str(&out).unwrap())), (Some(0), [2_000, 2_000, 0, 0]));
    assert_eq!(service.get("/v1/reconciliations/current").await["state"], "done");
    service.done(&updates(1..=2_000)).await;
    assert_eq!(world.copies().await, 0);
}

#[tokio::test]
async fn without_a_service_it_opens_the_embedded_store_itself() {
    let world = World::embedded();
    world.fill(50).await;
    assert_eq!(counts(&world.report(&[]).await), [50, 0, 50, 0]);
    let service = world.serve().await;
    service.done(&updates(1..=50)).await;
    assert_eq!(world.copies().await, 0);
}

#[tokio::test]
async fn what_keeps_it_from_its_end_is_told_and_its_exit_code_is_not_0() {
    let mut world = World::redis();
    world.cache.stop();
    let (code, out, error) = world.reconcile(&[], &[]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("cache api: "), "{error}");
    world.index.as_mut().unwrap().stop();
    let (code, _, error) = world.reconcile(&[], &[]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("store unavailable"), "{error}");
}

#[tokio::test]
async fn without_caches_no_relationship_is_dropped() {
    let world = World::redis().with("caches", json!([]));
    let service = world.serve().await;
    service.done(&json!([read("42", "alice")])).await;
    let report = world.report(&[]).await;
    assert_eq!(report["relationships"]["skipped"], "no caches are configured");
    assert_eq!(service.holders("42").await, 1);
}

/// By the process itself, or through the service where only that has the store.
async fn report_of(world: &World, service: &Service) -> Value {
    let (code, out, error) = world.reconcile(&["--json"], &[service.bind()]).await;
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test]
async fn a_relationship_whose_copy_may_be_filled_yet_is_left_to_the_next_time() {
    for world in [World::redis(), World::embedded()] {
        let fills = |recheck: &str| {
            let key = "/posts/{entity_id}?access_token={access_token}";
            json!({ "Posts": { "cache_keys": [key], "ttl": 300, "guard": 0, "recheck": recheck } })
        };
        let world = world.with("resources", fills("5m"));
        let service = world.serve().await;
        service.done(&read("42", "alice")).await;
        let report = report_of(&world, &service).await;
        assert_eq!((relationships(&report), &report["relationships"]["too_young"]), ([1, 0, 0], &json!(1)));
        drop(service);
        let world = world.with("resources", fills("10ms"));
        let service = world.serve().await;
        // The read may be replayed, which makes it young once more.
        let dropped = async || {
            let report = report_of(&world, &service).await;
            (report["relationships"]["too_young"] == 0).then(|| relationships(&report))
        };
        assert_eq!(poll("it is old enough", dropped).await, [1, 1, 1]);
    }
}
