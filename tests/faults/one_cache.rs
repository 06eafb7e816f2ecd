//! One cache of three fails for ever.

use deadpool_redis::redis::cmd;

use crate::{
    ledger::{now, update},
    proxy::{Mode, Proxy},
    redis_process::Redis,
    service::{Readiness, Service},
    world::World,
};

const READERS: usize = 200;
const POSTS: usize = 5;
/// A replica: it answers PING, and refuses what is needed.
const BROKEN: Mode = Mode::Answer("READONLY You can't write against a read only replica.");

#[tokio::test(flavor = "multi_thread")]
async fn the_other_two_are_emptied_at_once_and_the_one_is_named_and_emptied_when_it_is_back() {
    let mut world = World::new().await;
    let (broken, outer) = (Redis::start().await, Redis::start().await);
    let to_broken = Proxy::start(Mode::To(broken.port)).await;
    world.setup = world.setup.cache("broken", to_broken.url()).cache("outer", outer.url());
    let service = Service::ready(&world.setup).await;
    let mut posts = Vec::new();
    for _ in 0..POSTS {
        posts.push(world.ledger.accepted_read(&service, READERS).await);
    }
    service.wait_until_done().await;
    fill_like(&world.cache, [&broken, &outer]).await;
    assert_eq!((copies(&world.cache).await, copies(&outer).await), (POSTS * READERS, POSTS * READERS));

    to_broken.set(BROKEN);
    for post in &posts {
        assert_eq!(service.post(&update(post, now())).await.status(), 202);
    }
    wait_until_empty([&world.cache, &outer]).await;
    let readiness = service
        .wait_for("readiness names it", |it| it.names("cache:broken") && it.names("invalidations"))
        .await;
    assert_eq!(readiness.word, "degraded");
    service
        .wait_for("it says what waits", |it| {
            it.reasons.iter().any(|it| it.contains("5 jobs wait for it since"))
        })
        .await;
    assert!(!readiness.names("cache:api") && !readiness.names("cache:outer"), "{readiness:?}");
    let errors = service.metric(r#"decache_errors_total{component="broken"}"#).await;
    let suspended = service.metric("decache_invalidations_suspended").await;
    let owed = copies(&broken).await;
    println!(
        "one of three: {owed} copies left in it, none in the others; {errors} errors counted for it, {suspended} \
         invalidations suspended"
    );
    assert_eq!((owed, suspended), (POSTS * READERS, POSTS as f64));
    assert!(errors > 0.0);
    assert_eq!(service.metric(r#"decache_cache_owed_jobs{cache="broken"}"#).await, POSTS as f64);

    // What comes into the others meanwhile is not deleted for it, however often it is tried again.
    let fresh = world.ledger.read(&posts[0], READERS).await;
    world.ledger.reads_accepted(fresh);
    let attempts = async || {
        let jobs = service.get("/v1/jobs?state=queued").await;
        jobs["items"].as_array().unwrap().iter().filter_map(|job| job["attempts"].as_u64()).min()
    };
    let before = attempts().await;
    crate::process::poll("all are tried again", async || {
        (attempts().await > before.map(|attempts| attempts + 2)).then_some(())
    })
    .await;
    assert_eq!(copies(&world.cache).await, READERS);

    to_broken.set(Mode::To(broken.port));
    service.wait_until_done().await;
    assert_eq!(copies(&broken).await, 0);
}

/// More invalidations than it may be owed.
const OWED: usize = 20;
const TOO_MANY: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_owed_too_much_is_suspect_until_it_is_back_and_all_its_old_copies_are_gone() {
    let mut world = World::new().await.set("CACHES__1__OWED", &OWED);
    let (broken, outer) = (Redis::start().await, Redis::start().await);
    let to_broken = Proxy::start(Mode::To(broken.port)).await;
    world.setup = world.setup.cache("broken", to_broken.url()).cache("outer", outer.url());
    let mut service = Service::ready(&world.setup).await;
    let mut posts = Vec::new();
    for _ in 0..TOO_MANY {
        posts.push(world.ledger.accepted_read(&service, 10).await);
    }
    service.wait_until_done().await;
    fill_like(&world.cache, [&broken, &outer]).await;
    let stale = copies(&broken).await;
    tell(&broken, &["SET", "session:1", "of somebody else"]).await;

    to_broken.set(BROKEN);
    for post in &posts {
        world.ledger.accepted_update(&service, post).await;
    }
    wait_until_empty([&world.cache, &outer]).await;
    let suspect = |it: &Readiness| {
        it.reasons.iter().any(|it| it.starts_with("cache:broken: ") && it.contains("suspect"))
    };
    service.wait_for("readiness names it as suspect", suspect).await;
    service.wait_until_empty().await;
    let readiness = service.wait_for("nothing waits for it any more", |it| !it.names("invalidations")).await;
    assert_eq!((&*readiness.word, suspect(&readiness)), ("degraded", true), "{readiness:?}");
    assert_eq!(service.metric(r#"decache_cache_suspect{cache="broken"}"#).await, 1.0);
    assert_eq!(service.metric(r#"decache_cache_suspect{cache="outer"}"#).await, 0.0);
    assert_eq!(service.metric(r#"decache_cache_owed_jobs{cache="broken"}"#).await, 0.0);

    // Another process knows it from the note. The cache is back, and for a while does not tell what it holds.
    service.process.kill();
    let service = Service::ready(&world.setup).await;
    service.wait_for("it is suspect after a restart, too", suspect).await;
    tell(&broken, &["ACL", "SETUSER", "default", "-scan"]).await;
    to_broken.set(Mode::To(broken.port));
    crate::process::poll("it could not be emptied", async || {
        service.process.output().contains("the suspect cache could not be emptied").then_some(())
    })
    .await;
    assert!(suspect(&service.readiness().await));
    assert_eq!(copies(&broken).await, stale);
    tell(&broken, &["ACL", "SETUSER", "default", "+scan"]).await;
    service.wait_until_done().await;
    assert_eq!(copies(&broken).await, 0);
    assert_eq!(broken.ask::<u8>(&["EXISTS", "session:1"]).await, 1, "what is nobody's copy is still there");
    println!(
        "a suspect cache: {stale} stale copies gone after {TOO_MANY} invalidations past a bound of {OWED}"
    );

    // From now on it is a cache like the others.
    let post = world.ledger.accepted_read(&service, 10).await;
    service.wait_until_done().await;
    fill_like(&world.cache, [&broken, &outer]).await;
    assert_eq!(copies(&broken).await, 10);
    world.ledger.accepted_update(&service, &post).await;
    wait_until_empty([&world.cache, &outer]).await;
    service.wait_until_done().await;
    assert_eq!(copies(&broken).await, 0);
    world.ledger.assert_all_done(&service, "a suspect cache").await;
}

/// The API's copies are in every cache: the inner one has them already.
async fn fill_like(inner: &Redis, others: [&Redis; 2]) {
    for other in others {
        let mut inner = inner.connect().await;
        let keys: Vec<String> = cmd("KEYS").arg("/posts/*").query_async(&mut inner).await.unwrap();
        let mut migrate = cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(other.port).arg("").arg(0).arg(60_000).arg("COPY").arg("KEYS").arg(keys);
        migrate.query_async::<()>(&mut inner).await.unwrap();
    }
}

async fn wait_until_empty(caches: [&Redis; 2]) {
    crate::process::poll("the other two are empty", async || {
        let left = copies(caches[0]).await + copies(caches[1]).await;
        (left == 0).then_some(())
    })
    .await;
}

async fn tell(redis: &Redis, command: &[&str]) {
    let mut tell = cmd(command[0]);
    tell.arg(&command[1..]);
    tell.query_async::<()>(&mut redis.connect().await).await.unwrap();
}

async fn copies(redis: &Redis) -> usize {
    redis.ask::<Vec<String>>(&["KEYS", "/posts/*"]).await.len()
}
