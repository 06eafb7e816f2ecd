//! decache with keys, an index and a cache in Redis, and somebody in front of a browser.

use std::{fs, process::Command};

use decache::{clock::Clock, config::auth::hash_key};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    browser::Browser,
    process::{Process, decache, poll},
    redis_server::RedisServer,
    redis_view::RedisView,
};

pub(crate) const API: &str = "key-of-the-api-0123456789";
pub(crate) const READER: &str = "key-of-a-reader-0123456789";
pub(crate) const OPERATOR: &str = "key-of-an-operator-0123456789";
/// What runs where it is not escaped, in a text and in an attribute, and what it does then.
pub(crate) const HOSTILE: &str = r#""'><img src=x onerror=window.hacked=1><script>window.hacked=1</script>"#;

/// Everything that a test needs.
pub(crate) struct Stage {
    pub(crate) browser: Browser,
    pub(crate) index: RedisServer,
    pub(crate) cache: RedisServer,
    _service: Process,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    client: Client,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let (index, cache) = (RedisServer::start(), RedisServer::start());
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(&index, &cache);
        fs::write(folder.path().join("decache.yaml"), configuration.to_string()).unwrap();
        let mut command = Command::new(decache());
        command.current_dir(folder.path()).args(["--config", "decache.yaml"]);
        let mut service = Process::start("decache", &mut command);
        let url = service.listening().await;
        let client = Client::builder().no_proxy().build().unwrap();
        let stage =
            Self { browser: Browser::start().await, index, cache, _service: service, url, folder, client };
        poll("it takes events", async || {
            let ready = stage.client.get(format!("{}/readyz", stage.url)).send().await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
        stage
    }

    /// One whose operator has signed in.
    pub(crate) async fn signed_in() -> Self {
        let stage = Self::start().await;
        stage.sign_in(OPERATOR).await;
        stage.browser.sees("an-operator").await;
        stage
    }

    pub(crate) async fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.url)).await;
    }

    pub(crate) async fn sign_in(&self, key: &str) {
        self.open("/").await;
        self.browser.type_into("input[name=key]", key).await;
        self.browser.click("button").await;
    }

    /// Posts an event, and waits until its jobs have ended, where they do.
    pub(crate) async fn post(&self, event: &Value, wait: bool) -> Value {
        let url = format!("{}/v1/events", self.url);
        let mut request = self.client.post(url).bearer_auth(API).json(event);
        if wait {
            request = request.header("prefer", "wait=60");
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["rejected"], json!([]), "{answer}");
        answer
    }

    /// A user reads a post into their copy.
    pub(crate) async fn read(&self, post: &str, user: &str) {
        let key = format!("/posts/{post}?access_token=tok-{user}");
        RedisView::of(&self.cache.url()).set(&key, "a copy").await;
        self.post(&read(post, user), true).await;
    }

    pub(crate) async fn update(&self, post: &str, wait: bool) {
        self.post(&json!({ "action_type": "Update", "resource_type": "Posts", "entity_id": post }), wait)
            .await;
    }

    /// Has reads of these posts become dead letters: the index takes nothing for as long.
    pub(crate) async fn let_die(&self, posts: &[&str]) {
        self.index_takes_nothing(true).await;
        for post in posts {
            self.post(&read(post, "alice"), true).await;
        }
        self.index_takes_nothing(false).await;
    }

    async fn index_takes_nothing(&self, it_does: bool) {
        let sign = if it_does { '-' } else { '+' };
        let rules = ["eval", "evalsha"].map(|command| format!("{sign}{command}"));
        RedisView::of(&self.index.url()).tell(&["ACL", "SETUSER", "default", &rules[0], &rules[1]]).await;
    }
}

pub(crate) fn read(post: &str, user: &str) -> Value {
    json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": post, "access_token": format!("tok-{user}"),
        "user_id": user, "occurred_at": Clock::start().now().0, "id": HOSTILE,
    })
}

fn configuration(index: &RedisServer, cache: &RedisServer) -> Value {
    let key = |name: &str, key: &str, scopes: &[&str]| json!({ "name": name, "hash": hash_key(key).unwrap(), "scopes": scopes });
    let hostile = format!("a-reader {HOSTILE}");
    let topic = format!("reads {HOSTILE}");
    json!({
        "server": { "bind": "127.0.0.1:0" },
        "auth": { "keys": [
            key("api", API, &["ingest"]), key(&hostile, READER, &["read"]), key("an-operator", OPERATOR, &["read", "admin"]),
        ] },
        "secret": { "file": "data/secret" },
        "store": { "kind": "redis", "url": index.url(), "prefix": "decache:" },
        "journal": { "level": "buffered", "path": "data/journal" },
        "workers": { "max_attempts": 2, "backoff": { "base": "10ms", "cap": "100ms" } },
        "resources": { "Posts": { "cache_keys": ["/posts/{entity_id}?access_token={access_token}"], "ttl": 300 } },
        "caches": [{ "name": "api", "kind": "redis", "url": cache.url(), "key_prefix": "" }],
        "job_scheduler": {
            "job_rules": [
                { "action_type": "Read", "resource_type": ".*", "topic": topic },
                { "action_type": "Update", "resource_type": ".*", "topic": "changes" },
            ],
            "enricher": { "topics": {
                topic.as_str(): [{ "match": { "action_type": "Read" }, "job_properties": { "superceedable": true, "job_type": "cache", "priority": 1 } }],
                "changes": [{ "match": { "action_type": "Update" }, "job_properties": { "superceedable": true, "job_type": "invalidate" } }],
            } },
        },
    })
}
