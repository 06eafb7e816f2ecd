//! A cache in a real Redis, decache's binary beside it, and an API that plays its part.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    process::{self, Process, poll},
    redis_server::RedisServer,
    redis_view::RedisView,
};

pub(crate) const ADMIN: &str = "an-admin-key-of-forty-characters-or-more!";

/// Everything but a running decache.
pub(crate) struct World {
    directory: TempDir,
    config: Value,
    pub(crate) index: Option<RedisServer>,
    pub(crate) cache: RedisServer,
}

impl World {
    /// With the index in a Redis of its own.
    pub(crate) fn redis() -> Self {
        let index = RedisServer::start();
        let mut world = Self::embedded();
        world.config["store"] = json!({ "kind": "redis", "url": index.url() });
        world.index = Some(index);
        world
    }

    /// With the embedded store.
    pub(crate) fn embedded() -> Self {
        let (directory, cache) = (tempfile::tempdir().unwrap(), RedisServer::start());
        let path = |name: &str| directory.path().join(name);
        let resource = |key: &str| json!({ "cache_keys": [key], "ttl": 300, "guard": 0 });
        let config = json!({
            "server": { "bind": "127.0.0.1:0" },
            "secret": { "file": path("secret") },
            "store": { "kind": "embedded", "path": path("data") },
            "journal": { "path": path("journal") },
            "resources": {
                "Posts": resource("/posts/{entity_id}?access_token={access_token}"),
                "Feeds": resource("/feeds/{entity_id}/{access_token:sha256}"),
            },
            "caches": [{ "name": "api", "kind": "redis", "url": cache.url(), "key_prefix": "api:" }],
            "log": { "filter": "debug" },
        });
        Self { directory, config, index: None, cache }
    }

    /// With a section of the configuration.
    pub(crate) fn with(mut self, section: &str, settings: Value) -> Self {
        self.config[section] = settings;
        self
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let config = self.file("decache.yaml", &format!("{:#}\n", self.config));
        let mut command = Command::new(process::decache());
        command.arg("--config").arg(config).args(arguments).current_dir(self.directory.path());
        command
    }

    /// A running service.
    pub(crate) async fn serve(&self) -> Service {
        let mut process = Process::start("decache", &mut self.command(&[]));
        let url = process.listening().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let service = Service { process, url, client };
        let ready = async || {
            let answer = service.client.get(format!("{}/readyz", service.url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        };
        poll("decache is ready", ready).await;
        service
    }

    /// `decache reconcile` with these arguments, to its end: exit code, standard output, standard error.
    pub(crate) async fn reconcile(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (Option<i32>, String, String) {
        let mut command = self.command(&[&["reconcile"], arguments].concat());
        command.stdin(Stdio::null()).envs(environment.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, error) = (text(output.stdout), text(output.stderr));
        assert!(!out.contains("tok-") && !error.contains("tok-"), "{out}{error}");
        (output.status.code(), out, error)
    }

    /// The report of one that succeeds.
    pub(crate) async fn report(&self, arguments: &[&str]) -> Value {
        let (code, out, error) = self.reconcile(&[arguments, &["--json"]].concat(), &[]).await;
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str(&out).unwrap()
    }

    pub(crate) fn view(&self) -> RedisView {
        RedisView::of(&self.cache.url())
    }

    /// Copies of so many posts, one each, as an API wrote them before there was a decache.
    pub(crate) async fn fill(&self, posts: usize) {
        let fill = "for i = 1, ARGV[1] do redis.call('SET', 'api:/posts/' .. i .. '?access_token=tok-' .. i, 'x', 'EX', 300) end";
        self.view().tell(&["EVAL", fill, "0", &posts.to_string()]).await;
    }

    pub(crate) async fn copies(&self) -> usize {
        self.view().keys().await.len()
    }
}

/// A running decache.
pub(crate) struct Service {
    pub(crate) process: Process,
    url: String,
    client: reqwest::Client,
}

impl Service {
    /// What `decache reconcile` is told so that it finds the service, whose port is any free one.
    pub(crate) fn bind(&self) -> (&'static str, &str) {
        ("DECACHE__SERVER__BIND", self.url.trim_start_matches("http://"))
    }

    /// Posts events and waits until they are done.
    pub(crate) async fn done(&self, events: &Value) {
        let request = self.client.post(format!("{}/v1/events", self.url)).header("prefer", "wait=60");
        let request = request.header("content-type", "application/json").bearer_auth(ADMIN);
        let answer = request.body(events.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["jobs"].as_array().unwrap().iter().all(|job| job["outcome"] == "done"), "{answer}");
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url)).bearer_auth(ADMIN).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// How many relationships a post has.
    pub(crate) async fn holders(&self, post: &str) -> u64 {
        let path = format!("/v1/entities?resource_type=Posts&entity_id={post}");
        self.get(&path).await["holders"].as_u64().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(
                !self.process.output().contains("tok-"),
                "a token in the log:\n{}",
                self.process.output()
            );
        }
    }
}

/// Some posts change, now.
pub(crate) fn updates(posts: impl Iterator<Item = usize>) -> Value {
    posts
        .map(|post| json!({ "action_type": "Update", "resource_type": "Posts", "entity_id": post }))
        .collect()
}

/// A user reads a post, now.
pub(crate) fn read(post: &str, user: &str) -> Value {
    json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": post,
        "access_token": format!("tok-{user}"), "occurred_at": now(),
    })
}

#[expect(clippy::disallowed_methods, reason = "an API's clock, which is not decache's")]
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
