//! The configuration of a decache in a test, and the directory that everything of it stands in.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{process, redis_server::RedisServer};

/// A configuration that is not started yet.
pub(crate) struct Setup {
    directory: TempDir,
    config: Value,
}

/// Where an API caches a user's copy of a post.
pub(crate) fn copy_key(post: &str, user: &str) -> String {
    format!("/posts/{post}?access_token={}", super::token(user))
}

impl Setup {
    /// With the embedded store and no cache. The clocks are exact (`guard: 0`), jobs do not expire, and everything is
    /// logged, so that a token in any log line would be seen.
    pub(crate) fn embedded() -> Self {
        let directory = TempDir::new().unwrap();
        let resource = |path: &str| json!({ "cache_keys": [format!("/{path}/{{entity_id}}?access_token={{access_token}}")], "ttl": 300, "guard": 0 });
        let config = json!({
            "server": { "bind": "127.0.0.1:0" },
            "secret": { "file": directory.path().join("secret") },
            "store": { "kind": "embedded", "path": directory.path().join("data") },
            "journal": { "path": directory.path().join("journal") },
            "workers": { "backoff": { "base": "10ms", "cap": "50ms" } },
            "resources": { "Posts": resource("posts"), "Comments": resource("comments") },
            "job_scheduler": {
                "job_rules": [
                    { "action_type": "Read", "resource_type": "Posts|Comments", "topic": "pp-cache" },
                    { "action_type": "Update|Delete", "resource_type": "Posts|Comments", "topic": "pp-cache" },
                ],
                "enricher": { "topics": { "pp-cache": [
                    { "match": { "action_type": "Read" }, "job_properties": { "superceedable": true, "job_type": "cache", "priority": 1 } },
                    { "match": { "action_type": "Update|Delete" }, "job_properties": { "superceedable": true, "job_type": "invalidate" } },
                ] } },
            },
            "log": { "filter": "debug", "format": "text" },
        });
        Self { directory, config }
    }

    /// With its index in a Redis. It logs as JSON, so that both formats are looked through.
    pub(crate) fn redis(index: &RedisServer) -> Self {
        let store = json!({ "kind": "redis", "url": index.url(), "prefix": "decache:", "timeout": 1 });
        let mut setup = Self::embedded();
        setup.config["store"] = store;
        setup.with("log", json!({ "format": "json" }))
    }

    /// With these settings over those that are there. A list takes the place of the whole list.
    pub(crate) fn with(mut self, section: &str, settings: Value) -> Self {
        self.change(section, settings);
        self
    }

    /// Changes these settings, for the next start.
    pub(crate) fn change(&mut self, section: &str, settings: Value) {
        merge(&mut self.config[section], settings);
    }

    /// With one more cache.
    pub(crate) fn cache(mut self, name: &str, server: &RedisServer, key_prefix: &str) -> Self {
        let cache = json!({ "name": name, "kind": "redis", "url": server.url(), "key_prefix": key_prefix, "timeout": 1 });
        match &mut self.config["caches"] {
            Value::Array(caches) => caches.push(cache),
            none => *none = json!([cache]),
        }
        self
    }

    /// With other properties for the job that a read makes (0) or a write (1).
    pub(crate) fn job(mut self, rule: usize, properties: Value) -> Self {
        let topic = &mut self.config["job_scheduler"]["enricher"]["topics"]["pp-cache"];
        merge(&mut topic[rule]["job_properties"], properties);
        self
    }

    /// The directory that all of it stands in.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The URL of the Redis that the index is in, if it is.
    pub(crate) fn index(&self) -> Option<&str> {
        self.config["store"]["url"].as_str()
    }

    /// Writes a file into the directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// decache with this configuration and these arguments. JSON is YAML.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let file = self.file("decache.yaml", &format!("{:#}\n", self.config));
        let mut command = Command::new(process::decache());
        command.arg("--config").arg(file).args(arguments).current_dir(self.directory());
        command
    }
}

fn merge(base: &mut Value, settings: Value) {
    match (base, settings) {
        (Value::Object(base), Value::Object(settings)) => {
            for (name, value) in settings {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, settings) => *base = settings,
    }
}
