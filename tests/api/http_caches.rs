//! Copies in real proxies: Varnish by URL, by header and by xkey, and nginx (DESIGN 8).

use serde_json::{Value, json};

use crate::{
    proxies::{Proxy, documented_yaml, section},
    support::{Setup, TestApp, read, run, update},
};

const VARNISH: &str = "varnish.internal:6081";
const HELD: [(&str, &str); 3] = [("42", "alice"), ("42", "bob"), ("43", "alice")];

/// decache, with a part of docs/caches.md as its configuration.
async fn beside(proxy: &Proxy, documented: &str, host: &str) -> TestApp {
    let server = (host, &*proxy.address);
    let mut caches = section(documented, "caches", server);
    caches[0]["headers"]["Host"] = "proxied.test".into();
    let resources = json!({ "Posts": section(documented, "resources", server)["Posts"] });
    // No test is about what fills late.
    let exact = json!({ "Posts": { "guard": 0, "recheck": 0 } });
    TestApp::start(
        Setup::embedded().with("resources", resources).with("resources", exact).with("caches", caches),
    )
    .await
}

fn counts(job: &Value) -> [u64; 4] {
    ["matched", "deleted", "absent", "failed"].map(|field| job[field].as_u64().unwrap())
}

fn of_post(id: &str) -> Value {
    json!({ "entities": [{ "resource_type": "Posts", "entity_id": id }] })
}

#[tokio::test]
async fn varnish_loses_each_users_copy_of_what_changed_and_no_other() {
    let proxy = Proxy::varnish().await;
    let app = beside(&proxy, "varnish by URL", VARNISH).await;
    proxy.fill(&app, &HELD).await;
    let done = app.invalidate_and_wait(&of_post("42")).await.success(200);
    assert_eq!(counts(&done), [2, 2, 0, 0]);
    assert!(!proxy.is_miss("43", "alice").await, "that is another post");
    assert!(proxy.is_miss("42", "alice").await && proxy.is_miss("42", "bob").await);
    assert_eq!((app.count("42").await, app.count("43").await), (0, 1));
}

#[tokio::test]
async fn a_logout_removes_one_users_copies_from_varnish() {
    let proxy = Proxy::varnish().await;
    let app = beside(&proxy, "varnish by URL", VARNISH).await;
    proxy.fill(&app, &HELD).await;
    assert_eq!(counts(&app.revoke_and_wait("alice").await), [2, 2, 0, 0]);
    assert!(!proxy.is_miss("42", "bob").await);
    assert!(proxy.is_miss("42", "alice").await && proxy.is_miss("43", "alice").await);
}

#[tokio::test]
async fn varnish_loses_copies_that_are_told_apart_by_a_header() {
    let proxy = Proxy::varnish().await;
    let app = beside(&proxy, "varnish by header", VARNISH).await;
    for user in ["alice", "bob"] {
        assert!(proxy.is_miss_by_header("42", user).await);
        assert!(!proxy.is_miss_by_header("42", user).await);
    }
    app.done(&json!([read("42", "alice")])).await;
    app.done(&update("42")).await;
    assert!(!proxy.is_miss_by_header("42", "bob").await, "nobody has told of this one");
    assert!(proxy.is_miss_by_header("42", "alice").await);
}

#[tokio::test]
async fn one_purge_by_xkey_removes_all_users_copies() {
    let proxy = Proxy::varnish().await;
    let app = beside(&proxy, "varnish by xkey", VARNISH).await;
    proxy.fill(&app, &HELD).await;
    let done = app.invalidate_and_wait(&of_post("42")).await.success(200);
    assert_eq!(counts(&done), [2, 2, 0, 0]);
    assert!(!proxy.is_miss("43", "alice").await);
    assert!(proxy.is_miss("42", "alice").await && proxy.is_miss("42", "bob").await);
    app.done(&read("44", "carol")).await;
    let none = app.invalidate_and_wait(&of_post("44")).await.success(200);
    assert_eq!(counts(&none), [1, 0, 1, 0], "nothing in the proxy has this key");
}

#[tokio::test]
async fn a_varnish_that_was_away_is_purged_when_it_is_back() {
    let mut proxy = Proxy::varnish().await;
    let app = beside(&proxy, "varnish by URL", VARNISH).await;
    proxy.fill(&app, &HELD).await;
    proxy.stop();
    let job = app.post_events(&update("42")).await.success(202);
    let job = job["jobs"][0]["id"].as_str().unwrap();
    app.job_once(job, "tried twice", |job| job["attempts"].as_u64() > Some(2)).await;
    assert_eq!(app.count("42").await, 2);
    app.in_trouble(&["cache:varnish", "invalidations"]).await;
    proxy.restart().await;
    app.job_once(job, "done", |job| job["state"] == "done").await;
    app.in_trouble(&[]).await;
}

#[tokio::test]
async fn nginx_loses_each_users_copy_of_what_changed_and_no_other() {
    let proxy = Proxy::nginx().await;
    let app = beside(&proxy, "nginx", "nginx.internal:8080").await;
    proxy.fill(&app, &HELD).await;
    app.done(&read("42", "carol")).await;
    let done = app.invalidate_and_wait(&of_post("42")).await.success(200);
    assert_eq!(counts(&done), [3, 2, 1, 0], "carol's copy has never been there");
    assert!(!proxy.is_miss("43", "alice").await);
    assert!(proxy.is_miss("42", "alice").await && proxy.is_miss("42", "bob").await);
}

/// Names of servers and files aside, a reader can take each as it stands.
#[test]
fn every_configuration_in_the_documentation_is_one() {
    let blocks = documented_yaml();
    assert!(blocks.len() >= 7, "{}", blocks.len());
    for (name, yaml) in blocks {
        let setup = Setup::embedded();
        let secret = setup.file("fastly", "key-of-decache");
        let yaml = yaml.replace("/run/secrets/fastly", &secret.to_string_lossy());
        let file = setup.file("documented.yaml", &yaml);
        let mut command = std::process::Command::new(crate::process::decache());
        command.current_dir(setup.directory()).arg("check").arg("--config").arg(file);
        let (code, output, errors) = run(command, "");
        assert_eq!(code, Some(0), "{name}: {output}{errors}");
    }
}
