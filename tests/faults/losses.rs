//! The index is lost, or a server fails over without the last that it had confirmed. Each time it is noticed while decache
//! runs, readiness and metrics say so, and afterwards no stale copy lives, and none that is not tracked.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;

use crate::{
    ledger::{Ledger, events, update},
    load::Load,
    process::poll,
    proxy::Mode,
    redis_process::{Beats, Redis},
    service::Service,
    setup::{Setup, Store},
    world::{AWAY, World},
};

const READERS: usize = 4;
/// Longer than any test takes from a promotion to the failover.
const LONG: &str = "50s";
const LOSSES: &str = "decache_index_losses_total";
const INCOMPLETE: &str = "decache_index_incomplete";

fn failovers(component: &str) -> String {
    format!(r#"decache_failovers_total{{component="{component}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_flushed_under_load_is_noticed_and_answered() {
    for answer in ["rebuild", "evict"] {
        let world = World::new().await.set("STORE__ON_LOSS", answer);
        let service = Service::ready(&world.setup).await;
        let load = Load::start(&world.ledger, 4, 11);
        load.go_to(&service.url);
        world.ledger.accept(60).await;
        // What is owed cannot be done while the cache is away: so it can be seen.
        world.to_cache.set(AWAY);
        world.index.tell(&["FLUSHALL"]).await;
        let readiness = service.wait_for("readiness tells", |it| it.names("index")).await;
        assert_eq!((readiness.status, &*readiness.word), (200, "degraded"));
        world.ledger.accept(60).await;
        assert_eq!((service.metric(LOSSES).await, service.metric(INCOMPLETE).await), (1.0, 1.0));
        world.heal();
        world.ledger.accept(60).await;
        load.stop().await;
        done(&world, &service, &format!("FLUSHALL, {answer}")).await;
        assert_eq!((service.metric(LOSSES).await, service.metric(INCOMPLETE).await), (1.0, 0.0));
        assert!(service.metric(r#"decache_evictions_total{reason="index_lost"}"#).await > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_away_keeps_no_other_from_being_rebuilt() {
    let mut world = World::new().await.set("STORE__ON_LOSS", "rebuild");
    let outer = Redis::start().await;
    world.setup = world.setup.cache("outer", outer.url());
    let service = Service::ready(&world.setup).await;
    world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    outer.tell(&["SET", "/posts/post-0?access_token=tok-post-0-user-0", "a copy", "EX", "300"]).await;
    world.to_cache.set(AWAY);
    service.wait_for("readiness tells", |it| it.names("cache:api")).await;
    world.index.tell(&["FLUSHALL"]).await;
    poll("the other cache is rebuilt", async || {
        let copies: Vec<String> = outer.ask(&["KEYS", "/posts/*"]).await;
        copies.is_empty().then_some(())
    })
    .await;
    world.heal();
    done(&world, &service, "a loss with a cache away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_after_a_loss_is_done_after_a_restart() {
    let world = World::new().await;
    let mut service = Service::ready(&world.setup).await;
    world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    world.to_cache.set(AWAY);
    world.index.tell(&["FLUSHALL"]).await;
    service.wait_for("readiness tells", |it| it.names("index")).await;
    service.process.kill();
    let service = Service::ready(&world.setup).await;
    service.wait_for("readiness tells still", |it| it.names("index")).await;
    world.heal();
    assert_eq!(done(&world, &service, "a loss, and a restart").await, (0, READERS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_an_empty_replica_is_a_loss() {
    let world = World::new().await;
    let service = Service::ready(&world.setup).await;
    let load = Load::start(&world.ledger, 4, 12);
    load.go_to(&service.url);
    world.ledger.accept(60).await;
    let empty = Redis::start().await;
    world.to_index.set(Mode::To(empty.port));
    lost(&service).await;
    world.ledger.accept(60).await;
    load.stop().await;
    done(&world, &service, "failover to an empty replica").await;
    assert_eq!(service.metric(LOSSES).await, 1.0);
}

/// The replica stops to follow, and the old primary goes on: what is done from then on is lost with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_replica_that_lacks_the_last_second_costs_nothing() {
    let world = World::new().await.set("JOURNAL__REPLICATION_WINDOW", LONG);
    let service = Service::ready(&world.setup).await;
    let behind = failed_over(&world, &service).await;
    poll("the failover is noticed", async || {
        (service.metric(&failovers("store")).await == 1.0).then_some(())
    })
    .await;
    assert_eq!(done(&world, &service, "failover without the last second").await, (READERS, 0));
    // The invalidation is there again, too: a read from before it does not stay.
    let late = world.ledger.read(&behind.changed, READERS).await;
    let before: Vec<_> = late.into_iter().map(|read| read.begun_at(behind.changed_at - 1)).collect();
    assert_eq!(service.post_and_wait(&events(&before)).await.status(), 200);
    world.ledger.reads_accepted(before);
    done(&world, &service, "a late read after it").await;
    assert_eq!(service.metric(LOSSES).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_has_lost_more_than_is_kept_is_a_loss() {
    let world = World::new().await.set("JOURNAL__REPLICATION_WINDOW", "0");
    let service = Service::ready(&world.setup).await;
    let _behind = failed_over(&world, &service).await;
    lost(&service).await;
    assert_eq!(done(&world, &service, "failover without anything kept").await, (0, READERS));
    assert_eq!(service.metric(LOSSES).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_from_an_old_snapshot_is_a_loss() {
    let mut world = World::with_index(Redis::start_with_snapshots().await).await;
    world = world.set("JOURNAL__REPLICATION_WINDOW", "0");
    let service = Service::ready(&world.setup).await;
    let changed = world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    world.index.tell(&["SAVE"]).await;
    world.ledger.accepted_update(&service, &changed).await;
    let kept = world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    world.index.start_elsewhere().await;
    world.heal();
    lost(&service).await;
    done(&world, &service, "restart from an old snapshot").await;
    world.ledger.accepted_update(&service, &kept).await;
    done(&world, &service, "and a change after it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_evicts_keys_is_told_of_before_and_is_lost_when_it_does() {
    let world = World::new().await;
    let service = Service::ready(&world.setup).await;
    world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    world.index.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "1gb"]).await;
    service.wait_for("readiness warns", |it| it.names("eviction")).await;
    assert_eq!(service.metric(LOSSES).await, 0.0);
    // It has to evict all that it holds, and takes nothing more.
    world.index.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    poll("keys are evicted", async || {
        let info: String = world.index.ask(&["INFO", "stats"]).await;
        (!info.contains("evicted_keys:0\r")).then_some(())
    })
    .await;
    world.index.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "0"]).await;
    lost(&service).await;
    assert_eq!(done(&world, &service, "allkeys-lru").await, (0, READERS));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_while_decache_is_down_is_noticed_at_its_start() {
    for embedded in [false, true] {
        let world = if embedded { World::embedded().await } else { World::new().await };
        let mut service = Service::ready(&world.setup).await;
        world.ledger.accepted_read(&service, READERS).await;
        service.wait_until_done().await;
        assert_eq!(service.metric(LOSSES).await, 0.0, "the first index is no loss");
        service.terminate().await;
        let mut again = Service::ready(&world.setup).await;
        again.wait_until_done().await;
        assert_eq!(again.metric(LOSSES).await, 0.0, "a restart is none either");
        again.terminate().await;
        match embedded {
            true => std::fs::remove_file(world.setup.data().join("relations.redb")).unwrap(),
            false => world.index.tell(&["FLUSHALL"]).await,
        }
        let service = Service::ready(&world.setup).await;
        lost(&service).await;
        assert_eq!(done(&world, &service, "lost while it was down").await, (0, READERS));
    }
}

/// Copies come back that were deleted. The first time they are deleted again, as their relationships are still there; where
/// nothing is kept, the whole cache is emptied.
#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_fails_over_without_the_last_deletions_brings_no_copy_back() {
    for (window, kept) in [("8s", true), ("0", false)] {
        let mut world = World::new().await.set("JOURNAL__REPLICATION_WINDOW", window);
        // The API goes to the cache that decache goes to.
        world.ledger = Arc::new(Ledger::new(world.to_cache.url()));
        let service = Service::ready(&world.setup).await;
        let changed = world.ledger.accepted_read(&service, READERS).await;
        world.ledger.accepted_read(&service, READERS).await;
        service.wait_until_done().await;
        let replica = world.cache.replica().await;
        replica.promote().await;
        world.ledger.accepted_update(&service, &changed).await;
        service.wait_until_done().await;
        assert!(copies(&replica, &changed).await.len() == READERS, "they are there again after the failover");
        world.to_cache.set(Mode::To(replica.port));
        poll("it is noticed", async || (service.metric(&failovers("cache:api")).await == 1.0).then_some(()))
            .await;
        // A sweep is soon done. What lingers is waited for.
        assert!(!kept || service.readiness().await.names("failover:api"));
        let (tracked, evicted) = done(&world, &service, &format!("cache failover, window {window}")).await;
        assert_eq!(copies(&replica, &changed).await, BTreeSet::new());
        assert_eq!((tracked, evicted), if kept { (READERS, 0) } else { (0, READERS) });
        assert_eq!(service.metric(LOSSES).await, 0.0);
    }
}

/// What is revoked is found again by the holders' entries. Until those have ended nothing else looks for copies.
#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_fails_over_without_a_revocations_deletions_brings_no_copy_back() {
    let world = World::new().await.set("JOURNAL__REPLICATION_WINDOW", "8s");
    let service = Service::ready(&world.setup).await;
    let post = world.ledger.new_post();
    let reads = world.ledger.read(&post, READERS).await;
    assert_eq!(service.post_and_wait(&events(&reads)).await.status(), 200);
    service.wait_until_done().await;
    let replica = world.cache.replica().await;
    replica.promote().await;
    assert_eq!(copies(&world.cache, &post).await.len(), READERS);
    service.revoke_holders(&post).await;
    assert_eq!((copies(&world.cache, &post).await.len(), copies(&replica, &post).await.len()), (0, READERS));
    world.to_cache.set(Mode::To(replica.port));
    poll("they are gone again", async || copies(&replica, &post).await.is_empty().then_some(())).await;
    assert!(service.readiness().await.names("failover:api"));
    service.wait_until_done().await;
    assert_eq!(service.metric(LOSSES).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_comes_back_empty_owes_nothing() {
    let mut world = World::new().await;
    world.ledger = Arc::new(Ledger::new(world.to_cache.url()));
    let service = Service::ready(&world.setup).await;
    world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    let empty = Redis::start().await;
    world.to_cache.set(Mode::To(empty.port));
    poll("it is noticed", async || (service.metric(&failovers("cache:api")).await == 1.0).then_some(()))
        .await;
    assert!(!service.readiness().await.names("failover:api"));
    let post = world.ledger.accepted_read(&service, READERS).await;
    assert_eq!(done(&world, &service, "an empty cache").await, (READERS, READERS));
    assert_eq!(copies(&empty, &post).await.len(), READERS);
}

/// A post that was changed, on a server that is gone.
struct Behind {
    changed: String,
    changed_at: u64,
    /// It ends with this.
    _replica: Redis,
}

/// The index fails over to a replica that has no trace of what was done last: a change, and reads of another post.
async fn failed_over(world: &World, service: &Service) -> Behind {
    let changed = world.ledger.accepted_read(service, READERS).await;
    service.wait_until_done().await;
    // So that the replica has a beat from after that.
    let beats = beat(&world.index).await;
    poll("a later beat", async || (beat(&world.index).await > beats).then_some(())).await;
    let replica = world.index.replica().await;
    replica.promote().await;
    let changed_at = crate::ledger::now();
    assert_eq!(service.post_and_wait(&update(&changed, changed_at)).await.status(), 200);
    world.ledger.update_accepted(&changed, changed_at);
    world.ledger.accepted_read(service, READERS).await;
    service.wait_until_empty().await;
    world.to_index.set(Mode::To(replica.port));
    Behind { changed, changed_at, _replica: replica }
}

async fn beat(redis: &Redis) -> Option<u64> {
    let keys: Vec<String> = redis.ask(&["KEYS", "decache:beat:*"]).await;
    redis.ask(&["ZSCORE", keys.first()?, "at"]).await
}

async fn copies(redis: &Redis, post: &str) -> BTreeSet<String> {
    redis.ask(&["KEYS", &format!("/posts/{post}?access_token=*")]).await
}

async fn lost(service: &Service) {
    poll("the loss is noticed", async || (service.metric(LOSSES).await >= 1.0).then_some(())).await;
}

/// Waits until all is well; then everything accepted has come to be. Returns the copies that are tracked, and those that
/// were evicted.
async fn done(world: &World, service: &Service, test: &str) -> (usize, usize) {
    service.wait_until_done().await;
    let effects = world.ledger.assert_all_done(service, test).await;
    (effects.tracked, effects.evicted)
}

/// Whoever has sent it has long given it up, and has sent others since: a server that comes to it only now has lost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_arrives_late_is_no_failover() {
    let world = World::new().await.set("JOURNAL__REPLICATION_WINDOW", "0");
    let service = Service::ready(&world.setup).await;
    let servers = [&world.index, &world.cache];
    let mut beats = join_all(servers.map(Redis::beats)).await;
    let late = join_all(beats.iter_mut().map(Beats::next)).await;
    let post = world.ledger.accepted_read(&service, READERS).await;
    world.ledger.accepted_update(&service, &post).await;
    world.ledger.accepted_read(&service, READERS).await;
    service.wait_until_done().await;
    // It is looked at before each beat.
    for _ in 0..3 {
        for ((server, beats), late) in servers.iter().zip(&mut beats).zip(&late) {
            beats.next().await;
            server.tell(&late.iter().map(String::as_str).collect::<Vec<_>>()).await;
            while beats.next().await != *late {}
            beats.next().await;
        }
    }
    assert_eq!(done(&world, &service, "late beats").await, (READERS, 0));
    let failovers = ["store", "cache:api"].map(failovers);
    assert_eq!((service.metric(&failovers[0]).await, service.metric(&failovers[1]).await), (0.0, 0.0));
    assert_eq!(service.metric(LOSSES).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_on_an_index_learns_of_its_loss() {
    const SECRET: &str = "a secret of two processes, thirty-two bytes or more";
    let world = World::new().await.set("SECRET__VALUE", SECRET);
    let other = Setup::new(Store::Redis(world.to_index.url()), world.to_cache.url());
    let other = other.set("SECRET__VALUE", SECRET);
    let (one, two) = (Service::ready(&world.setup).await, Service::ready(&other).await);
    let load = Load::start(&world.ledger, 4, 13);
    load.go_to(&one.url);
    world.ledger.accept(60).await;
    load.go_to(&two.url);
    world.ledger.accept(60).await;
    world.index.tell(&["FLUSHALL"]).await;
    lost(&one).await;
    lost(&two).await;
    world.ledger.accept(60).await;
    load.stop().await;
    one.wait_until_done().await;
    done(&world, &two, "FLUSHALL, two processes").await;
    assert_eq!((one.metric(LOSSES).await, two.metric(LOSSES).await), (1.0, 1.0));
    // Who comes later learns of it from the index.
    let late = world.ledger.read(&world.ledger.new_post(), READERS).await;
    let third = Setup::new(Store::Redis(world.to_index.url()), world.to_cache.url());
    let third = Service::ready(&third.set("SECRET__VALUE", SECRET)).await;
    let before: Vec<_> = late.into_iter().map(|read| read.begun_at(crate::ledger::now() - 600_000)).collect();
    assert_eq!(third.post_and_wait(&events(&before)).await.status(), 200);
    assert_eq!(third.metric(r#"decache_evictions_total{reason="index_lost"}"#).await, READERS as f64);
}
