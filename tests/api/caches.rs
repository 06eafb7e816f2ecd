//! Several caches at once, and what happens while one of them is away (DESIGN 7, rules 6 to 8).

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, update},
};

/// Two caches; the second has a prefix. Both hold alice's and bob's copies of post 42 and alice's of 43.
struct Two {
    app: TestApp,
    servers: [RedisServer; 2],
}

impl Two {
    async fn filled() -> Self {
        let servers = [RedisServer::start(), RedisServer::start()];
        let setup = Setup::embedded().cache("inner", &servers[0], "").cache("outer", &servers[1], "api:v2:");
        let two = Self { app: TestApp::start(setup).await, servers };
        for (post, user) in [("42", "alice"), ("42", "bob"), ("43", "alice")] {
            two.inner().set(&copy_key(post, user), "the post").await;
            two.outer().set(&format!("api:v2:{}", copy_key(post, user)), "the post").await;
        }
        // The same key without the prefix is somebody else's.
        two.outer().set("/posts/42?access_token=alice", "not decache's business").await;
        two.app.done(&json!([read(42, "alice"), read(42, "bob"), read(43, "alice")])).await;
        two
    }

    fn inner(&self) -> RedisView {
        RedisView::of(&self.servers[0].url())
    }

    fn outer(&self) -> RedisView {
        RedisView::of(&self.servers[1].url())
    }
}

fn of_post_42() -> Value {
    json!({ "entities": [{ "resource_type": "Posts", "entity_id": 42 }] })
}

fn id_of(answer: &Value) -> String {
    answer["jobs"][0]["id"].as_str().unwrap().to_owned()
}

fn keys(posts_and_users: &[(&str, &str)], prefix: &str) -> std::collections::BTreeSet<String> {
    posts_and_users.iter().map(|(post, user)| format!("{prefix}{}", copy_key(post, user))).collect()
}

fn left_outside() -> std::collections::BTreeSet<String> {
    let mut left = keys(&[("43", "alice")], "api:v2:");
    left.insert("/posts/42?access_token=alice".to_owned());
    left
}

#[tokio::test]
async fn a_post_that_changes_is_removed_from_every_cache() {
    let two = Two::filled().await;
    two.outer().tell(&["DEL", &format!("api:v2:{}", copy_key("42", "bob"))]).await;
    let answer = two.app.invalidate_and_wait(&of_post_42()).await.success(200);
    let tally = ["matched", "deleted", "absent", "failed"].map(|field| answer[field].as_u64().unwrap());
    assert_eq!(tally, [2, 3, 1, 0]);
    assert_eq!(two.inner().keys().await, keys(&[("43", "alice")], ""));
    assert_eq!(two.outer().keys().await, left_outside());
    assert_eq!(two.app.metric(r#"decache_copies_total{cache="inner",outcome="deleted"}"#).await, 2.0);
    assert_eq!(two.app.metric(r#"decache_copies_total{cache="outer",outcome="absent"}"#).await, 1.0);
}

#[tokio::test]
async fn while_a_cache_is_away_the_other_is_emptied_and_the_rest_is_done_when_it_is_back() {
    let mut two = Two::filled().await;
    two.servers[1].stop();
    let job = id_of(&two.app.invalidate(&of_post_42()).await.success(202));
    let waiting = two.app.job_once(&job, "tried twice", |job| job["attempts"].as_u64() > Some(2)).await;
    assert!(
        waiting["last_error"].as_str().unwrap().starts_with("cache outer: cache unavailable"),
        "{waiting}"
    );
    assert!(waiting["finished_at"].is_null());
    assert_eq!(two.inner().keys().await, keys(&[("43", "alice")], ""));
    assert_eq!(two.app.count("42").await, 2, "who holds copies that may still be there is not forgotten");
    let reasons = two.app.in_trouble(&["cache:outer", "invalidations"]).await;
    assert!(reasons.to_string().contains("1 waits to be tried again"), "{reasons}");
    assert_eq!(two.app.readiness().await["status"], "degraded");
    two.app.done(&read(44, "carol")).await;

    two.servers[1].restart();
    let done = two.app.job_once(&job, "done", |job| job["state"] == "done").await;
    assert_eq!((&done["tally"]["matched"], &done["tally"]["failed"]), (&json!(2), &json!(0)));
    assert_eq!(two.app.count("42").await, 0);
    two.app.in_trouble(&[]).await;
    assert_eq!(two.app.readiness().await["status"], "ok");
}

#[tokio::test]
async fn a_cache_that_refuses_keeps_the_job_going_until_its_copies_are_gone() {
    let two = Two::filled().await;
    two.outer().tell(&["ACL", "SETUSER", "default", "-unlink"]).await;
    let job = id_of(&two.app.post_events(&update(42)).await.success(202));
    let failed = |job: &Value| job["tally"]["failed"] == 2;
    let waiting = two.app.job_once(&job, "two copies could not be deleted", failed).await;
    let error = waiting["last_error"].as_str().unwrap();
    assert_eq!(error, "cache outer: cache unavailable: NOPERM", "the server's sentence holds keys");
    assert!(two.outer().keys().await.is_superset(&keys(&[("42", "alice"), ("42", "bob")], "api:v2:")));
    assert!(two.app.metric(r#"decache_copies_total{cache="outer",outcome="failed"}"#).await >= 2.0);
    two.app.in_trouble(&["cache:outer", "invalidations"]).await;
    two.outer().tell(&["ACL", "SETUSER", "default", "+unlink"]).await;
    two.app.job_once(&job, "done", |job| job["state"] == "done").await;
    assert_eq!(two.outer().keys().await, left_outside());
}

#[tokio::test]
async fn who_reads_while_an_invalidation_is_retried_is_tracked_or_evicted() {
    let two = Two::filled().await;
    two.outer().tell(&["ACL", "SETUSER", "default", "-unlink"]).await;
    let job = id_of(&two.app.post_events(&update(42)).await.success(202));
    two.app.job_once(&job, "tried", |job| job["attempts"].as_u64() > Some(1)).await;
    two.outer().set(&format!("api:v2:{}", copy_key("42", "dave")), "the new post").await;
    two.app.done(&read(42, "dave")).await;
    two.outer().tell(&["ACL", "SETUSER", "default", "+unlink"]).await;
    two.app.job_once(&job, "done", |job| job["state"] == "done").await;
    let holders = two.app.holders("Posts", "42").await.success(200);
    let tracked: Vec<_> = holders["items"].as_array().unwrap().iter().map(|it| &it["user_id"]).collect();
    let copies = two.outer().keys().await;
    match tracked.as_slice() {
        [] => assert_eq!(copies, left_outside()),
        [only] => assert_eq!(**only, "dave"),
        more => panic!("{more:?}"),
    }
}

/// A cache that takes connections and never answers.
#[tokio::test]
async fn a_cache_that_hangs_holds_up_no_other_post() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", hanging.local_addr().unwrap());
    let cache = json!([{ "name": "hanging", "kind": "redis", "url": url, "timeout": 60 }]);
    let app = TestApp::start(Setup::embedded().with("caches", cache)).await;
    app.done(&read(42, "alice")).await;
    let job = id_of(&app.post_events(&update(42)).await.success(202));
    app.job_once(&job, "running", |job| job["state"] == "running").await;
    app.done(&read(43, "bob")).await;
    let running = app.jobs("?state=running").await.success(200);
    assert_eq!((&running["items"][0]["id"], app.queue().await["running"].clone()), (&json!(job), json!(1)));
}
