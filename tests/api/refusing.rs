//! What decache does not start with: it says what is wrong and where, and exits with 1.

use std::net::TcpListener;

use serde_json::json;

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, read, run},
};

const OTHER_SECRET: &str = "the store was filled under another secret";

/// A configuration and how what is said of it begins, behind the file's name.
const MISTAKES: [(&str, &str); 13] = [
    ("server:\n  bnd: x\n", ":2: server.bnd: is not a known field: did you mean \"bind\"?"),
    ("queue: {}\nlog: {}\nqueue: {}\n", ":3: queue: stands here a second time"),
    ("server:\n  bind: [1\nqueue: {}\n", ":3: not valid YAML"),
    ("server:\n  bind: localhost\n", ":2: server.bind: expected an IP address and a port"),
    (
        "workers:\n  max_attempts: 0\n",
        ":2: workers.max_attempts: expected a number of attempts from 1 to 1000",
    ),
    (
        "job_scheduler:\n  job_rules:\n    - { action_type: a, resource_type: Posts, topic: t }\n    enricher:\n    topics:\n      t: []\n",
        ":4: job_scheduler: \"enricher:\" is indented as if it were one of the rule items",
    ),
    (
        "job_scheduler:\n  job_rules:\n    - { action_type: '^(Read', resource_type: Posts, topic: t }\n  enricher: { topics: { t: [{ job_properties: { job_type: cache } }] } }\n",
        ":3: job_scheduler.job_rules[0].action_type: ",
    ),
    (
        "job_scheduler:\n  job_rules:\n    - { action_type: '(\\w{500}){500}', resource_type: Posts, topic: t }\n  enricher: { topics: { t: [{ job_properties: { job_type: cache } }] } }\n",
        ":3: job_scheduler.job_rules[0].action_type: ",
    ),
    (
        "job_scheduler:\n  job_rules:\n    - { action_type: Read, resource_type: Posts, topic: nobodys }\n  enricher: { topics: {} }\n",
        ":3: job_scheduler.job_rules[0].topic: ",
    ),
    (
        "job_scheduler:\n  job_rules: []\n  enricher:\n    topics:\n      t:\n        - job_properties: { job_type: purge }\n",
        ":6: job_scheduler.enricher.topics.t[0].job_properties.job_type: expected a job type, cache, invalidate or revoke",
    ),
    (
        "job_scheduler:\n  job_rules: []\n  enricher:\n    topics:\n      t:\n        - job_properties: { job_type: invalidate, expires: 5 }\n",
        ":6: job_scheduler.enricher.topics.t[0].job_properties.expires: ",
    ),
    (
        "resources:\n  Posts:\n    cache_keys: ['/posts/{id}']\n    ttl: 300\n",
        ":3: resources.Posts.cache_keys[0]: ",
    ),
    ("caches:\n  - { name: cdn, kind: http }\n", ":2: caches[0].url: is missing"),
];

#[test]
fn a_configuration_with_a_mistake_in_it_is_refused_with_its_place() {
    let setup = Setup::embedded();
    for (text, expected) in MISTAKES {
        let file = setup.file("mistake.yaml", text).display().to_string();
        for command in ["serve", "check"] {
            let mut decache = std::process::Command::new(crate::process::decache());
            decache.args([command, "--config", &file]).current_dir(setup.directory());
            let (code, output, error) = run(decache, "");
            assert_eq!((code, output.as_str()), (Some(1), ""), "{text}");
            assert!(error.contains(&format!("{file}{expected}")), "{command} {expected:?}: {error}");
        }
    }
    assert!(!setup.directory().join("data").exists(), "nothing is made before all of it is checked");
}

#[test]
fn a_file_that_is_missing_and_a_variable_that_is_wrong_are_named() {
    let setup = Setup::embedded();
    let (code, _, error) = run(setup.command(&["check", "--config", "missing.yaml"]), "");
    assert_eq!(code, Some(1));
    assert!(error.contains("missing.yaml: cannot read the configuration"), "{error}");
    let mut command = setup.command(&["check"]);
    command.env("DECACHE__QUEUE__CAPACITY", "many");
    let (code, _, error) = run(command, "");
    assert_eq!(code, Some(1));
    assert!(error.contains("DECACHE__QUEUE__CAPACITY: queue.capacity: expected a number of jobs"), "{error}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = Setup::embedded().with("server", json!({ "bind": address }));
    let (code, output, error) = run(setup.command(&[]), "");
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains(&format!("cannot listen on {address}: Address already in use")), "{error}");
}

#[tokio::test]
async fn an_embedded_store_of_another_secret_or_another_process_is_refused() {
    // A journal would be refused before it.
    refused_of_another_secret_or_process(Setup::embedded().with("journal", json!({ "level": "none" }))).await;
}

#[tokio::test]
async fn a_journal_of_another_secret_or_another_process_is_refused() {
    refused_of_another_secret_or_process(Setup::embedded()).await;
}

async fn refused_of_another_secret_or_process(setup: Setup) {
    let mut app = TestApp::start(setup).await;
    app.done(&read(42, "alice")).await;
    let (code, _, error) = run(app.setup.command(&[]), "");
    assert_eq!(code, Some(1));
    assert!(error.contains("in use by another process"), "{error}");
    app.process.terminate().await;
    let secret = app.setup.directory().join("secret");
    let ours = std::fs::read(&secret).unwrap();
    std::fs::remove_file(&secret).unwrap();
    let (code, output, error) = run(app.setup.command(&[]), "");
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains("under another secret"), "{error}");
    std::fs::write(&secret, ours).unwrap();
    app.start_again().await;
    assert_eq!(app.count("42").await, 1, "nothing has happened to it");
}

#[tokio::test]
async fn a_redis_of_another_secret_is_refused_at_start() {
    let index = RedisServer::start();
    let app = TestApp::start(Setup::redis(&index)).await;
    app.done(&read(42, "alice")).await;
    let (code, output, error) = run(Setup::redis(&index).command(&[]), "");
    assert_eq!(code, Some(1));
    assert!(!output.contains("listening on"), "{output}");
    assert!(error.contains(OTHER_SECRET), "{error}");
    app.done(&read(43, "alice")).await;
}

#[tokio::test]
async fn a_redis_of_another_secret_that_comes_later_is_refused_then() {
    let index = RedisServer::start();
    let redis = RedisView::of(&index.url());
    TestApp::start(Setup::redis(&index)).await.done(&read(42, "alice")).await;
    let before = redis.keys().await;
    redis.tell(&["ACL", "SETUSER", "default", "-@all", "+ping", "+acl"]).await;
    let mut other = TestApp::start(Setup::redis(&index).with("server", json!({ "grace": 3600 }))).await;
    other.post_events(&read(43, "bob")).await.success(202);
    redis.tell(&["ACL", "SETUSER", "default", "+@all"]).await;
    let status = other.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(other.process.output().contains(OTHER_SECRET));
    assert_eq!(redis.keys().await, before, "it has written nothing there");
}
