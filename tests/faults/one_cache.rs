//! One cache of three fails for ever.

use deadpool_redis::redis::cmd;

use crate::{
    ledger::{now, update},
    proxy::{Mode, Proxy},
    redis_process::Redis,
    service::Service,
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
    // The API's copies are in every cache: `api` has them already.
    for port in [broken.port, outer.port] {
        let mut inner = world.cache.connect().await;
        let keys: Vec<String> = cmd("KEYS").arg("/posts/*").query_async(&mut inner).await.unwrap();
        let mut migrate = cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(port).arg("").arg(0).arg(60_000).arg("COPY").arg("KEYS").arg(keys);
        migrate.query_async::<()>(&mut inner).await.unwrap();
    }
    assert_eq!((copies(&world.cache).await, copies(&outer).await), (POSTS * READERS, POSTS * READERS));

    to_broken.set(BROKEN);
    for post in &posts {
        assert_eq!(service.post(&update(post, now())).await.status(), 202);
    }
    crate::process::poll("the other two are empty", async || {
        let left = copies(&world.cache).await + copies(&outer).await;
        (left == 0).then_some(())
    })
    .await;
    let readiness = service
        .wait_for("readiness names it", |it| it.names("cache:broken") && it.names("invalidations"))
        .await;
    assert_eq!(readiness.word, "degraded");
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

    to_broken.set(Mode::To(broken.port));
    service.wait_until_done().await;
    assert_eq!(copies(&broken).await, 0);
}

async fn copies(redis: &Redis) -> usize {
    redis.ask::<Vec<String>>(&["KEYS", "/posts/*"]).await.len()
}
