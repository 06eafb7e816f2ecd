//! How decache is configured for a test: folders of its own, a store, caches.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::decache;

/// Settings of one decache, which outlive its process.
pub(crate) struct Setup {
    folder: tempfile::TempDir,
    store: Store,
    caches: Vec<(&'static str, String)>,
    settings: Vec<(&'static str, String)>,
}

/// Where the index is.
pub(crate) enum Store {
    Embedded,
    Redis(String),
}

impl Setup {
    /// One with a cache at `url`, called `api`.
    pub(crate) fn new(store: Store, url: String) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store, caches: vec![("api", url)], settings: Vec::new() }
    }

    /// Adds a cache behind those that there are.
    pub(crate) fn cache(mut self, name: &'static str, url: String) -> Self {
        self.caches.push((name, url));
        self
    }

    /// Sets what has another value in these tests, or none, by the name of its environment variable behind `DECACHE__`.
    pub(crate) fn set(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }

    /// The folder of everything that decache stores.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.data().join("journal")
    }

    /// The journal's files, oldest first.
    pub(crate) fn journal_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.journal()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "journal"));
        files.sort();
        files
    }

    /// What starts decache.
    pub(crate) fn command(&self) -> Command {
        let config = self.folder.path().join("decache.yaml");
        std::fs::write(&config, self.configuration()).unwrap();
        let mut command = Command::new(decache());
        command.arg("--config").arg(config);
        for (name, value) in &self.settings {
            command.env(format!("DECACHE__{name}"), value);
        }
        command
    }

    fn configuration(&self) -> String {
        let caches: Vec<String> = self
            .caches
            .iter()
            .map(|(name, url)| {
                format!("  - {{ name: {name}, kind: redis, url: \"{url}\", timeout: 500ms }}\n")
            })
            .collect();
        let store = match &self.store {
            Store::Embedded => format!("{{ kind: embedded, path: {} }}", self.data().display()),
            Store::Redis(url) => format!("{{ kind: redis, url: \"{url}\", timeout: 500ms }}"),
        };
        format!(
            r#"
server: {{ bind: "127.0.0.1:0" }}
secret: {{ file: "{}" }}
store: {store}
journal: {{ path: "{}" }}
workers: {{ backoff: {{ base: 20ms, cap: 500ms }} }}
resources:
  Posts: {{ cache_keys: ["/posts/{{entity_id}}?access_token={{access_token}}"], ttl: 300 }}
caches:
{}
{RULES}"#,
            secret(self.folder.path()),
            self.journal().display(),
            caches.concat(),
        )
    }
}

fn secret(folder: &Path) -> String {
    folder.join("secret").display().to_string()
}

const RULES: &str = r#"
log: { filter: "info,decache::http=warn" }
job_scheduler:
  job_rules:
    - { action_type: "^(Read)$", resource_type: "Posts", topic: "pp-cache" }
    - { action_type: "^(Update|Delete)$", resource_type: "Posts", topic: "pp-cache" }
  enricher:
    topics:
      pp-cache:
        - match: { action_type: "Read", resource_type: "Posts" }
          job_properties: { superceedable: True, job_type: 'cache', priority: 1 }
        - match: { action_type: "Update|Delete", resource_type: "Posts" }
          job_properties: { superceedable: True, job_type: 'invalidate', priority: 0 }
"#;
