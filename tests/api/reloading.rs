//! A changed configuration is taken over while the service runs, as a whole or not at all.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, ago, copy_key, read, update, with},
};

const OLD_KEY: &str = "abcdefghijklmnopqrstuvwxyz";
const NEW_KEY: &str = "zyxwvutsrqponmlkjihgfedcba";

fn file(app: &TestApp) -> PathBuf {
    app.setup.directory().join("decache.yaml")
}

/// Writes the configuration as the setup has it now.
fn write(app: &TestApp) {
    drop(app.setup.command(&[]));
}

fn hang_up(app: &TestApp) {
    let pid = rustix::process::Pid::from_raw(app.process.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}

/// Waits until this generation runs; returns its hash.
async fn generation(app: &TestApp, generation: u64) -> String {
    poll(&format!("generation {generation}"), async || {
        let running = app.readiness().await["configuration"].take();
        (running["generation"] == generation).then(|| running["hash"].as_str().unwrap().to_owned())
    })
    .await
}

async fn reload(app: &TestApp, next: u64) -> String {
    write(app);
    hang_up(app);
    generation(app, next).await
}

/// Asks for what `change` leaves to be read, and waits until it is refused.
async fn refused(app: &TestApp, change: impl FnOnce()) {
    let metric = r#"decache_configuration_reloads_total{outcome="refused"}"#;
    let before = app.metric(metric).await;
    change();
    hang_up(app);
    poll("a refusal", async || (app.metric(metric).await > before).then_some(())).await;
}

fn ttl(posts: u64) -> Value {
    json!({ "Posts": { "ttl": posts } })
}

fn keys(key: &str) -> Value {
    let hash = decache::config::auth::hash_key(key).unwrap();
    json!({ "keys": [{ "name": "client", "hash": hash, "scopes": ["ingest", "read", "admin"] }] })
}

fn albums() -> (Value, Value) {
    let resource = json!({ "Albums": { "cache_keys": ["/albums/{entity_id}?access_token={access_token}"], "ttl": 300, "guard": 0 } });
    (resource, json!([{ "action_type": "Read", "resource_type": "Posts|Albums", "topic": "pp-cache" }]))
}

#[tokio::test]
async fn a_changed_file_is_noticed_and_its_rules_and_resources_hold() {
    let mut app = TestApp::embedded().await;
    let first = generation(&app, 1).await;
    let of_album = with(read(7, "alice"), "resource_type", "Albums");
    app.post_events(&of_album).await;
    assert_eq!(app.metric(r#"decache_events_total{outcome="ignored"}"#).await, 1.0);
    let (resources, rules) = albums();
    app.setup.change("resources", resources);
    app.setup.change("job_scheduler", json!({ "job_rules": rules }));
    write(&app);
    let second = generation(&app, 2).await;
    assert_ne!(first, second);
    app.done(&of_album).await;
    let ignored = app.post_events(&update(7)).await.success(202);
    assert_eq!(ignored["ignored"], 1, "the rule for updates is gone");
    assert_eq!(app.metric("decache_configuration_generation").await, 2.0);
    assert_eq!(app.metric(&format!("decache_configuration_info{{hash=\"{second}\"}}")).await, 1.0);
    app.said("resources.Albums").await;
    app.said("job_scheduler.job_rules[1]").await;
}

#[tokio::test]
async fn a_key_that_is_exchanged_lets_nobody_in_any_more_and_is_named_by_its_field_alone() {
    let mut app = TestApp::start(Setup::embedded().with("auth", keys(OLD_KEY))).await;
    app.use_key(Some(OLD_KEY));
    assert_eq!(app.jobs("").await.status, 200);
    app.setup.change("auth", keys(NEW_KEY));
    reload(&app, 2).await;
    assert_eq!(app.jobs("").await.status, 401);
    app.use_key(Some(NEW_KEY));
    assert_eq!(app.jobs("").await.status, 200);
    app.said("auth.keys[0].hash").await;
    let hash = decache::config::auth::hash_key(NEW_KEY).unwrap();
    assert!(!app.process.output().contains(&hash));
    app.setup.change("auth", json!({ "keys": [] }));
    refused(&app, || write(&app)).await;
    app.use_key(None);
    assert_eq!(app.jobs("").await.status, 401, "a reload does not open the service to everybody");
    app.use_key(Some(NEW_KEY));
}

#[tokio::test]
async fn a_broken_an_empty_a_half_written_and_a_vanished_file_change_nothing() {
    let mut app = TestApp::embedded().await;
    let hash = generation(&app, 1).await;
    let whole = fs::read_to_string(file(&app)).unwrap();
    let bad_rule = whole.replace("Update|Delete", "Update|(Delete");
    let cases = [
        Some("rules: ["),
        Some(""),
        Some("# nothing\n"),
        Some(&whole[..whole.len() / 2]),
        Some(&bad_rule),
        None,
    ];
    for case in cases {
        let change = || match case {
            Some(text) => fs::write(file(&app), text).unwrap(),
            None => fs::remove_file(file(&app)).unwrap(),
        };
        refused(&app, change).await;
        let reasons = app.in_trouble(&["configuration"]).await;
        assert!(reasons[0]["detail"].as_str().unwrap().contains("generation 1 runs on"), "{reasons}");
        assert_eq!(app.metric("decache_configuration_refused").await, 1.0);
        app.done(&json!([read(42, "alice"), update(42)])).await;
    }
    app.said("not valid YAML").await;
    // Nobody has to tell that it is back.
    fs::write(file(&app), &whole).unwrap();
    app.in_trouble(&[]).await;
    assert_eq!(app.metric("decache_configuration_refused").await, 0.0);
    assert_eq!(generation(&app, 1).await, hash);
    app.setup.change("resources", ttl(200));
    assert_ne!(reload(&app, 2).await, hash);
}

#[tokio::test]
async fn what_only_a_start_reads_is_named_and_the_rest_holds() {
    let mut app = TestApp::embedded().await;
    let hash = generation(&app, 1).await;
    app.setup.change("queue", json!({ "capacity": 5 }));
    write(&app);
    hang_up(&app);
    let reasons = app.in_trouble(&["configuration"]).await;
    assert_eq!(reasons[0]["detail"], "a restart is needed: changed in queue");
    assert_eq!(generation(&app, 1).await, hash, "the hash is that of what runs");
    app.setup.change("resources", ttl(200));
    reload(&app, 2).await;
    poll("that is counted", async || {
        (app.metric("decache_configuration_restart_needed").await == 1.0).then_some(())
    })
    .await;
    app.said("queue.capacity").await;
    app.restart().await;
    app.in_trouble(&[]).await;
}

#[tokio::test]
async fn a_folder_that_is_swapped_behind_a_link_is_noticed() {
    let setup = Setup::embedded();
    let at = |name: &str| setup.directory().join(name);
    fs::create_dir(at("..1")).unwrap();
    symlink("..1", at("..data")).unwrap();
    symlink("..data/decache.yaml", at("decache.yaml")).unwrap();
    let app = TestApp::start(setup).await;
    let at = |name: &str| app.setup.directory().join(name);
    let before = fs::read_to_string(at("..1/decache.yaml")).unwrap();
    let mut config: Value = serde_json::from_str(&before).unwrap();
    config["resources"]["Posts"]["ttl"] = json!(200);
    fs::create_dir(at("..2")).unwrap();
    fs::write(at("..2/decache.yaml"), config.to_string()).unwrap();
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    generation(&app, 2).await;
    app.said("resources.Posts.ttl").await;
}

#[tokio::test]
async fn a_job_that_waits_keeps_what_the_rules_made_of_its_event() {
    let mut app = TestApp::start(Setup::embedded().job(1, json!({ "due": 3, "priority": 2 }))).await;
    let queued = app.post_events(&update(42)).await.success(202);
    let id = queued["jobs"][0]["id"].as_str().unwrap().to_owned();
    let before = app.job(&id).await.success(200);
    let topic = &json!({ "enricher": { "topics": { "pp-cache": [
        { "match": { "action_type": "Read" }, "job_properties": { "job_type": "cache" } },
        { "match": { "action_type": "Update" }, "job_properties": { "job_type": "invalidate", "due": 3600, "priority": 5 } },
    ] } } });
    app.setup.change("job_scheduler", topic.clone());
    reload(&app, 2).await;
    let after = app.job(&id).await.success(200);
    for field in ["job_type", "topic", "priority", "resource_type"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    app.job_once(&id, "done when it was due", |job| job["state"] == "done").await;
    let queued = app.post_events(&update(43)).await.success(202);
    let job = app.job(queued["jobs"][0]["id"].as_str().unwrap()).await.success(200);
    assert_eq!((&job["state"], &job["priority"]), (&json!("queued"), &json!(5)));
}

fn feeds_of(entity_id: &str) -> Value {
    json!({ "job_rules": [{
        "match": { "job_type": "invalidate", "resource_type": "Posts" },
        "job": { "job_type": "invalidate", "resource_type": "Feeds", "entity_id": entity_id },
    }] })
}

#[tokio::test]
async fn a_job_is_followed_by_what_the_rules_that_made_it_say() {
    let feeds =
        json!({ "Feeds": { "cache_keys": ["/feeds/{entity_id}?access_token={access_token}"], "ttl": 300 } });
    let setup =
        Setup::embedded().with("resources", feeds).with("job_manager", feeds_of("{payload.author_id}"));
    let mut app = TestApp::start(setup.job(1, json!({ "due": 3 }))).await;
    let of_author = |author: &str| with(update(42), "payload", json!({ "author_id": author }));
    app.post_events(&of_author("7")).await.success(202);
    app.setup.change("job_manager", feeds_of("all"));
    reload(&app, 2).await;
    app.post_events(&of_author("7")).await.success(202);
    let followed = poll("both are followed", async || {
        let jobs = app.jobs("?state=done").await.success(200);
        let feeds = jobs["items"].as_array().unwrap().iter().filter(|job| job["resource_type"] == "Feeds");
        let ids: Vec<_> = feeds.map(|job| job["entity_id"].as_str().unwrap().to_owned()).collect();
        (ids.len() == 2).then_some(ids)
    })
    .await;
    assert!(followed.contains(&"7".to_owned()) && followed.contains(&"all".to_owned()), "{followed:?}");
}

#[tokio::test]
async fn caches_and_templates_come_and_go_and_no_copy_is_forgotten() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let cache =
        |n: usize| json!({ "name": format!("c{n}"), "kind": "redis", "url": servers[n].url(), "timeout": 1 });
    let setup = Setup::embedded().with("caches", json!([cache(0)]));
    let mut app = TestApp::start(setup).await;
    let views = [RedisView::of(&servers[0].url()), RedisView::of(&servers[1].url())];
    let new_key = copy_key("42", "alice").replace("/posts/", "/v2/posts/");
    let copies = async |view: &RedisView| {
        view.set(&copy_key("42", "alice"), "the post").await;
        view.set(&new_key, "the post").await;
    };
    copies(&views[0]).await;
    copies(&views[1]).await;
    app.done(&read(42, "alice")).await;

    app.setup.change("caches", json!([cache(0), cache(1)]));
    app.setup.change(
        "resources",
        json!({ "Posts": { "cache_keys": ["/v2/posts/{entity_id}?access_token={access_token}"] } }),
    );
    reload(&app, 2).await;
    app.done(&update(42)).await;
    for view in &views {
        assert!(view.keys().await.is_empty(), "the old template is purged, too");
    }

    app.done(&read(42, "alice")).await;
    for view in &views {
        view.set(&new_key, "the post").await;
    }
    app.setup.change("caches", json!([cache(1)]));
    reload(&app, 3).await;
    app.done(&update(42)).await;
    assert_eq!((views[0].keys().await.len(), views[1].keys().await.len()), (1, 0));
    assert_eq!(app.metric(r#"decache_cache_owed_jobs{cache="c0"}"#).await, 0.0);
    assert!(!app.get("/metrics").await.text.contains(r#"decache_cache_suspect{cache="c0"}"#));

    app.setup.change("caches", json!([cache(0), cache(1)]));
    reload(&app, 4).await;
    poll("what was stale in it is gone", async || views[0].keys().await.is_empty().then_some(())).await;
    app.in_trouble(&[]).await;
}

#[tokio::test]
async fn a_cache_that_is_configured_again_is_emptied_of_copies_under_a_template_that_has_gone_meanwhile() {
    let server = RedisServer::start();
    let caches = json!([{ "name": "c0", "kind": "redis", "url": server.url(), "timeout": 1 }]);
    let mut app = TestApp::start(Setup::embedded().with("caches", caches.clone())).await;
    let view = RedisView::of(&server.url());
    view.set(&copy_key("42", "alice"), "the post").await;
    app.done(&read(42, "alice")).await;

    app.setup.change("caches", json!([]));
    reload(&app, 2).await;
    app.done(&update(42)).await;
    app.setup.change(
        "resources",
        json!({ "Posts": { "cache_keys": ["/v2/posts/{entity_id}?access_token={access_token}"] } }),
    );
    app.setup.change("caches", caches);
    reload(&app, 3).await;
    poll("the stale copy is gone", async || view.keys().await.is_empty().then_some(())).await;
    app.in_trouble(&[]).await;
}

/// Marks that were made before the reload do not live long enough for reads that are judged after it.
#[tokio::test]
async fn once_a_reload_has_raised_the_horizon_no_read_of_before_is_trusted() {
    let horizon = |horizon: &str| json!({ "Posts": { "horizon": horizon } });
    let mut app = TestApp::start(Setup::embedded().with("resources", horizon("30m"))).await;
    let evicted = async |app: &TestApp, user: &str, at: u64| {
        let reason = r#"decache_evictions_total{reason="index_lost"}"#;
        let before = app.metric(reason).await;
        app.done(&with(read(43, user), "occurred_at", at)).await;
        app.metric(reason).await > before
    };
    assert!(!evicted(&app, "alice", ago(10)).await, "nothing was raised");
    app.setup.change("resources", horizon("20m"));
    reload(&app, 2).await;
    assert!(!evicted(&app, "alice", ago(10)).await, "the marks that are there live longer than they have to");
    app.setup.change("resources", horizon("1h"));
    reload(&app, 3).await;
    assert!(evicted(&app, "bob", ago(10)).await);
    assert!(!evicted(&app, "carol", ago(0)).await);
    app.restart().await;
    assert!(evicted(&app, "bob", ago(10)).await, "that is known over a restart");
}
