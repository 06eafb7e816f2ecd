//! Two Redis servers, the example API and decache, and what a user, an API and an operator ask of them.

use std::{collections::BTreeSet, process::Command, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    example,
    process::{self, Process, poll},
    read_event,
    redis_server::RedisServer,
    redis_view::RedisView,
};

/// How long a copy lives that decache has not accepted: longer than a loaded machine takes to answer.
pub(crate) const PROVISIONAL: Duration = Duration::from_secs(100);
/// The clock skew that decache is told to expect. Short, because a test waits for it.
pub(crate) const GUARD: Duration = Duration::from_millis(50);
/// Where decache tells processes which copies have to go.
const CHANNEL: &str = "decache:removed";
/// Whom the API is to the Redis that its cache is in, where it keeps copies in memory too.
pub(crate) const API_USER: &str = "api";
/// A page that does not divide the number of users, so that the last one is not full.
const PAGE: usize = 70;

/// All processes. They end when it is dropped.
pub(crate) struct Stage {
    pub(crate) decache: Process,
    decache_url: String,
    apis: Vec<Api>,
    cache: RedisServer,
    index: RedisServer,
    database: RedisServer,
    client: reqwest::Client,
    _directory: TempDir,
}

/// A process of the API.
struct Api {
    _process: Process,
    url: String,
}

impl Api {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(example::example("playerpro"));
        command.args(["--listen", "127.0.0.1:0", "--provisional-ttl", &PROVISIONAL.as_secs().to_string()]);
        let mut process = Process::start("playerpro", command.args(arguments));
        let url = process.listening().await;
        Self { _process: process, url }
    }
}

/// A user's access token.
pub(crate) fn token(user: &str) -> String {
    format!("tok-{user}")
}

/// Where the API caches a user's copy of a post.
pub(crate) fn copy_key(post: u64, user: &str) -> String {
    format!("/posts/{post}?access_token={}", token(user))
}

impl Stage {
    /// Starts everything and waits until it listens.
    pub(crate) async fn set() -> Self {
        let mut stage = Self::without_api("").await;
        let (redis, decache) = (stage.cache.url(), stage.decache_url.clone());
        stage.apis.push(Api::start(&["--redis", &redis, "--decache", &decache]).await);
        stage
    }

    /// The same with two processes of the API, over one database, which also keep copies in their memory.
    pub(crate) async fn with_memories() -> Self {
        let mut stage = Self::without_api(CHANNEL).await;
        stage.cache().tell(&["ACL", "SETUSER", API_USER, "on", "nopass", "~*", "+@all", "allchannels"]).await;
        let redis = stage.cache.url().replace("redis://", &format!("redis://{API_USER}:any@"));
        let (decache, database) = (stage.decache_url.clone(), stage.database.url());
        for _ in 0..2 {
            let arguments =
                ["--redis", &redis, "--decache", &decache, "--database", &database, "--channel", CHANNEL];
            stage.apis.push(Api::start(&arguments).await);
        }
        stage
    }

    /// decache tells processes on `channel`, where that is one.
    async fn without_api(channel: &str) -> Self {
        let (cache, index) = (RedisServer::start(), RedisServer::start());
        let directory = TempDir::new().expect("a directory");
        let config = directory.path().join("decache.yaml");
        let text = configuration(&directory, &index, &cache, channel);
        std::fs::write(&config, text).expect("the configuration");
        let mut command = Command::new(process::decache());
        let mut decache = Process::start("decache", command.arg("--config").arg(config));
        let decache_url = decache.listening().await;
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (apis, database) = (Vec::new(), RedisServer::start());
        Self { decache, decache_url, apis, cache, index, database, client, _directory: directory }
    }

    /// The API's cache.
    pub(crate) fn cache(&self) -> RedisView {
        RedisView::of(&self.cache.url())
    }

    /// decache's index.
    pub(crate) fn index(&self) -> RedisView {
        RedisView::of(&self.index.url())
    }

    /// A user reads a post. Returns whether it was a `hit` or a `miss`.
    pub(crate) async fn read(&self, post: u64, user: &str) -> String {
        self.read_from(0, post, user).await.0
    }

    /// A user reads a post from a process of the API. Returns where it was found, and the version of the post.
    pub(crate) async fn read_from(&self, api: usize, post: u64, user: &str) -> (String, u64) {
        let url = format!("{}/posts/{post}?access_token={}", self.apis[api].url, token(user));
        let response = self.client.get(url).send().await.expect("the API answers");
        assert_eq!(response.status(), 200);
        let cached = response.headers()["x-cache"].to_str().expect("a word").to_owned();
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["read_by"], user, "somebody else's response");
        (cached, body["post"]["version"].as_u64().expect("a version"))
    }

    /// Has every one of these users read a post from every process until each answer is like this.
    pub(crate) async fn all_read(
        &self,
        post: u64,
        users: &BTreeSet<String>,
        is: impl Fn(&(String, u64)) -> bool,
    ) {
        for (api, user) in (0..self.apis.len()).flat_map(|api| users.iter().map(move |user| (api, user))) {
            poll(&format!("{user} reads post {post} from process {api}"), async || {
                Some(self.read_from(api, post, user).await).filter(&is)
            })
            .await;
        }
    }

    /// A user changes a post. Returns after decache has accepted the event.
    pub(crate) async fn put(&self, post: u64, user: &str) {
        let request = self.client.put(self.post_url(post, user)).json(&json!({ "body": "changed" }));
        let response = request.send().await.expect("the API answers");
        assert_eq!(response.status(), 200);
    }

    /// A user removes a post. Returns after decache has accepted the event.
    pub(crate) async fn delete(&self, post: u64, user: &str) {
        let response = self.client.delete(self.post_url(post, user)).send().await.expect("the API answers");
        assert_eq!(response.status(), 204);
    }

    /// A user is logged out: decache is asked for the holder of the token, and then to remove all that the holder has.
    /// Returns after that has been done.
    pub(crate) async fn revoke(&self, user: &str) -> Value {
        let url = format!("{}/v1/holders/lookup", self.decache_url);
        let response = self.client.post(url).json(&json!({ "access_token": token(user) })).send().await;
        let found: Value = response.expect("decache answers").json().await.expect("JSON");
        let url = format!("{}/v1/holders/{}", self.decache_url, found["holder"].as_str().expect("a holder"));
        let response =
            self.client.delete(url).header("prefer", "wait=60").send().await.expect("decache answers");
        assert_eq!(response.status(), 200);
        response.json().await.expect("JSON")
    }

    /// Posts a read to decache past the API.
    pub(crate) async fn post_read(&self, post: u64, user: &str, began: u64) {
        let url = format!("{}/v1/events", self.decache_url);
        let request = self.client.post(url).json(&read_event(post, user, began));
        let response = request.send().await.expect("decache answers");
        assert_eq!(response.status(), 202, "{:?}", response.text().await);
    }

    /// Waits until the cache has no copy of the post.
    pub(crate) async fn wait_until_gone(&self, post: u64) {
        let prefix = format!("/posts/{post}?");
        let cache = self.cache();
        poll(&format!("no copy of post {post} is left"), async || {
            let keys = cache.keys().await;
            (!keys.iter().any(|key| key.starts_with(&prefix))).then_some(())
        })
        .await;
    }

    /// Waits until exactly these users are shown as the post's holders.
    pub(crate) async fn wait_for_holders(&self, post: u64, users: &BTreeSet<String>) {
        let what = format!("post {post} is held by {} users", users.len());
        poll(&what, async || (self.holders(post).await == *users).then_some(())).await;
    }

    /// The `user_id`s of a post's holders, from all pages.
    async fn holders(&self, post: u64) -> BTreeSet<String> {
        let base = format!("{}/v1/entities/Posts/{post}/holders?limit={PAGE}", self.decache_url);
        let mut users = BTreeSet::new();
        let mut url = base.clone();
        loop {
            let response = self.client.get(&url).send().await.expect("decache answers");
            assert_eq!(response.status(), 200);
            let page: Value = response.json().await.expect("JSON");
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= PAGE, "a page of {}", items.len());
            for item in items {
                let user = item["user_id"].as_str().expect("a user id").to_owned();
                assert!(users.insert(user), "a holder on two pages: {item}");
            }
            match page["next"].as_str() {
                Some(cursor) => url = format!("{base}&cursor={cursor}"),
                None => return users,
            }
        }
    }

    /// decache's metrics.
    pub(crate) async fn metrics(&self) -> String {
        let response = self.client.get(format!("{}/metrics", self.decache_url)).send().await;
        response.expect("decache answers").text().await.expect("text")
    }

    fn post_url(&self, post: u64, user: &str) -> String {
        format!("{}/posts/{post}?access_token={}", self.apis[0].url, token(user))
    }
}

/// decache with its index in one Redis and the API's copies in another. Logs everything, so that a token in any log
/// line would be seen.
fn configuration(directory: &TempDir, index: &RedisServer, cache: &RedisServer, channel: &str) -> String {
    let processes = match channel {
        "" => String::new(),
        channel => {
            format!(r#"- {{ name: processes, kind: pubsub, url: "{}", channel: "{channel}" }}"#, cache.url())
        }
    };
    let secret = directory.path().join("secret");
    let guard = GUARD.as_millis();
    format!(
        r#"
server: {{ bind: "127.0.0.1:0" }}
secret: {{ file: "{}" }}
store: {{ kind: redis, url: "{}", prefix: "decache:" }}
journal: {{ level: none }}
resources:
  Posts:
    cache_keys: ["/posts/{{entity_id}}?access_token={{access_token}}"]
    ttl: 300
    guard: {guard}ms
caches:
  - {{ name: api, kind: redis, url: "{}", key_prefix: "" }}
  {processes}
job_scheduler:
  job_rules:
    - {{ action_type: "^(Read)$", resource_type: "Posts", topic: "pp-cache" }}
    - {{ action_type: "^(Update|Delete)$", resource_type: "Posts", topic: "pp-cache" }}
  enricher:
    topics:
      pp-cache:
        - match: {{ action_type: "Read", resource_type: "Posts" }}
          job_properties: {{ superceedable: True, job_type: 'cache', priority: 1, due: 0, expires: 60 }}
        - match: {{ action_type: "Update|Delete", resource_type: "Posts" }}
          job_properties: {{ superceedable: True, job_type: 'invalidate', priority: 0 }}
"#,
        secret.display(),
        index.url(),
        cache.url(),
    )
}
