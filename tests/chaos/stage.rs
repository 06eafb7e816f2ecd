//! All processes: the index, the cache and the database, each a Redis; two APIs; two decaches on one index, each with a
//! journal of its own.

use std::{path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    example,
    process::{self, Process, poll},
    redis::{Redis, free_port},
};

/// How long a copy lives that decache has not accepted, in seconds.
pub(crate) const PROVISIONAL: u64 = 8;
/// Posts; users write the first half of them.
pub(crate) const POSTS: u64 = 60;

pub(crate) struct Stage {
    pub(crate) index: Redis,
    pub(crate) cache: Redis,
    pub(crate) database: Redis,
    decaches: [Server; 2],
    apis: [Server; 2],
    pub(crate) client: reqwest::Client,
    _folder: TempDir,
}

/// A program that listens on the same port each time it is started.
struct Server {
    name: &'static str,
    url: String,
    process: Process,
    command: Command,
}

impl Server {
    async fn start(name: &'static str, port: u16, mut command: Command) -> Self {
        let mut process = Process::start(name, &mut command);
        process.listening().await;
        Self { name, url: format!("http://127.0.0.1:{port}"), process, command }
    }

    async fn restart(&mut self) {
        self.process = Process::start(self.name, &mut self.command);
        self.process.listening().await;
    }
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let folder = TempDir::new().unwrap();
        let (index, cache, database) = (Redis::start().await, Redis::start().await, Redis::start().await);
        let decache = async |number: u8| {
            let port = free_port();
            let command = decache(folder.path(), number, port, &index, &cache);
            Server::start("decache", port, command).await
        };
        let decaches = [decache(0).await, decache(1).await];
        let example = example::example("playerpro");
        let api = async |decache: &Server| {
            let port = free_port();
            let mut command = Command::new(&example);
            command.args(["--listen", &format!("127.0.0.1:{port}"), "--decache", &decache.url]);
            command.args(["--redis", &cache.url(), "--database", &database.url()]);
            command.args(["--posts", &POSTS.to_string(), "--provisional-ttl", &PROVISIONAL.to_string()]);
            Server::start("playerpro", port, command).await
        };
        let apis = [api(&decaches[0]).await, api(&decaches[1]).await];
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { index, cache, database, decaches, apis, client, _folder: folder }
    }

    pub(crate) fn api_urls(&self) -> [String; 2] {
        [self.apis[0].url.clone(), self.apis[1].url.clone()]
    }

    /// Ends a decache by SIGKILL, and starts it again.
    pub(crate) async fn kill_decache(&mut self, number: usize) {
        self.decaches[number].process.kill();
        self.decaches[number].restart().await;
    }

    /// Stops a decache as an orchestrator does, and starts it again.
    pub(crate) async fn stop_decache(&mut self, number: usize) {
        self.decaches[number].process.terminate().await;
        self.decaches[number].restart().await;
    }

    /// Ends an API by SIGKILL, and starts it again.
    pub(crate) async fn kill_api(&mut self, number: usize) {
        self.apis[number].process.kill();
        self.apis[number].restart().await;
    }

    /// Stops the APIs, which post what they still owe, and waits until there is nothing left to do.
    pub(crate) async fn come_to_rest(&mut self) {
        for api in &mut self.apis {
            api.process.terminate().await;
        }
        for Server { url, .. } in &self.decaches {
            poll("decache has done all of it", async || {
                let queue = self.get(&format!("{url}/v1/queue")).await?;
                let ready = self.get(&format!("{url}/readyz")).await?;
                (queue["queued"] == 0 && queue["running"] == 0 && ready["status"] == "ok").then_some(())
            })
            .await;
        }
    }

    /// What decache answers; of two that answer the same, the first.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        self.get(&format!("{}{path}", self.decaches[0].url)).await.unwrap()
    }

    async fn get(&self, url: &str) -> Option<Value> {
        self.client.get(url).send().await.ok()?.json().await.ok()
    }
}

fn decache(folder: &Path, number: u8, port: u16, index: &Redis, cache: &Redis) -> Command {
    let (secret, config) = (folder.join("secret"), folder.join(format!("decache-{number}.yaml")));
    let journal = folder.join(format!("journal-{number}"));
    let text = format!(
        r#"
server: {{ bind: "127.0.0.1:{port}" }}
secret: {{ file: "{}" }}
store: {{ kind: redis, url: "{}", timeout: 500ms }}
journal: {{ path: "{}" }}
workers: {{ max_attempts: 1000, backoff: {{ base: 20ms, cap: 500ms }} }}
resources:
  Posts: {{ cache_keys: ["/posts/{{entity_id}}?access_token={{access_token}}"], ttl: 300, guard: 20ms }}
caches:
  - {{ name: api, kind: redis, url: "{}", timeout: 500ms }}
job_scheduler:
  job_rules:
    - {{ action_type: "^(Read)$", resource_type: "Posts", topic: "pp-cache" }}
    - {{ action_type: "^(Update|Delete)$", resource_type: "Posts", topic: "pp-cache" }}
  enricher:
    topics:
      pp-cache:
        - match: {{ action_type: "Read", resource_type: "Posts" }}
          job_properties: {{ superceedable: True, job_type: 'cache', priority: 1 }}
        - match: {{ action_type: "Update|Delete", resource_type: "Posts" }}
          job_properties: {{ superceedable: True, job_type: 'invalidate', priority: 0 }}
"#,
        secret.display(),
        index.url(),
        journal.display(),
        cache.url(),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(process::decache());
    command.arg("--config").arg(config);
    command
}
