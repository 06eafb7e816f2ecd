//! What decache has answered 202 for, and whether it came to be.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use deadpool_redis::redis::{self, Client, Pipeline, RedisResult, aio::MultiplexedConnection};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::service::Service;

/// Copies that are written together: the client waits half a second for an answer.
const AT_ONCE: usize = 1_000;
/// Only a failing test ever waits this long.
const DEADLINE: Duration = Duration::from_secs(60);
/// What an API waits before it tries again.
pub(crate) const AGAIN: Duration = Duration::from_millis(5);

/// Posts and their copies in the cache, as an API would have them, and which of their events decache has accepted.
pub(crate) struct Ledger {
    cache: String,
    posts: AtomicU64,
    entries: Mutex<Entries>,
    accepted: watch::Sender<usize>,
}

#[derive(Default)]
struct Entries {
    reads: Vec<Read>,
    /// When the last change of a post was.
    updates: HashMap<String, u64>,
    updates_accepted: usize,
}

/// A read that has filled a copy.
#[derive(Clone)]
pub(crate) struct Read {
    post: String,
    user: String,
    began: u64,
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) accepted_reads: usize,
    pub(crate) accepted_updates: usize,
    /// Reads whose copy went with a later change.
    pub(crate) removed: usize,
    /// Reads whose copy lives, and is known.
    pub(crate) tracked: usize,
    /// Reads whose copy went, for safety's sake.
    pub(crate) evicted: usize,
    /// Each a copy that should have gone, or that nobody knows of.
    pub(crate) faults: Vec<String>,
}

impl Ledger {
    /// For copies in the Redis at `cache`, which is reached directly.
    pub(crate) fn new(cache: String) -> Self {
        let (accepted, _) = watch::channel(0);
        Self { cache, posts: AtomicU64::new(0), entries: Mutex::default(), accepted }
    }

    /// The name of a post that nobody has read.
    pub(crate) fn new_post(&self) -> String {
        format!("post-{}", self.posts.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until so many more events are accepted.
    pub(crate) async fn accept(&self, more: usize) {
        let mut accepted = self.accepted.subscribe();
        let until = *accepted.borrow() + more;
        let enough = accepted.wait_for(|accepted| *accepted >= until);
        tokio::time::timeout(DEADLINE, enough).await.expect("events are accepted").unwrap();
    }

    /// So many users read a post: their copies are in the cache when this returns.
    pub(crate) async fn read(&self, post: &str, users: usize) -> Vec<Read> {
        let began = now();
        let read = |n| Read { post: post.to_owned(), user: format!("user-{n}"), began };
        let reads: Vec<Read> = (0..users).map(read).collect();
        // An API waits for its cache, too.
        let written = async {
            for reads in reads.chunks(AT_ONCE) {
                let mut pipeline = redis::pipe();
                for read in reads {
                    pipeline.cmd("SET").arg(read.key()).arg("a copy").arg("EX").arg(300).ignore();
                }
                while self.write(&pipeline).await.is_err() {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::time::timeout(DEADLINE, written).await.expect("the copies are written");
        reads
    }

    async fn write(&self, copies: &Pipeline) -> RedisResult<()> {
        let client = Client::open(self.cache.as_str()).unwrap();
        copies.query_async(&mut client.get_multiplexed_async_connection().await?).await
    }

    /// The events of these reads were answered 202.
    pub(crate) fn reads_accepted(&self, reads: Vec<Read>) {
        self.accepted.send_modify(|accepted| *accepted += reads.len());
        self.entries.lock().unwrap().reads.extend(reads);
    }

    /// The change of a post at this time was answered 202.
    pub(crate) fn update_accepted(&self, post: &str, at: u64) {
        let mut entries = self.entries.lock().unwrap();
        let last = entries.updates.entry(post.to_owned()).or_default();
        *last = at.max(*last);
        entries.updates_accepted += 1;
        drop(entries);
        self.accepted.send_modify(|accepted| *accepted += 1);
    }

    /// Has users read a new post, and the events accepted. Returns the post.
    pub(crate) async fn accepted_read(&self, service: &Service, users: usize) -> String {
        let post = self.new_post();
        let reads = self.read(&post, users).await;
        let response = service.post(&events(&reads)).await;
        assert_eq!(response.status(), 202, "{}", response.text().await.unwrap());
        self.reads_accepted(reads);
        post
    }

    /// Has a post changed, and the event accepted.
    pub(crate) async fn accepted_update(&self, service: &Service, post: &str) {
        let at = now();
        let response = service.post(&update(post, at)).await;
        assert_eq!(response.status(), 202, "{}", response.text().await.unwrap());
        self.update_accepted(post, at);
    }

    /// Holds every accepted event against what there is now.
    pub(crate) async fn effects(&self, service: &Service) -> Effects {
        let (mut posts, updates, accepted_updates) = {
            let entries = self.entries.lock().unwrap();
            let mut posts: BTreeMap<String, Vec<Read>> = BTreeMap::new();
            for read in &entries.reads {
                posts.entry(read.post.clone()).or_default().push(read.clone());
            }
            (posts, entries.updates.clone(), entries.updates_accepted)
        };
        let mut effects = Effects { accepted_updates, ..Effects::default() };
        let mut cache = self.connect().await;
        while let Some((post, reads)) = posts.pop_first() {
            let keys: Vec<String> = reads.iter().map(Read::key).collect();
            let copies: Vec<Option<String>> =
                redis::cmd("MGET").arg(keys).query_async(&mut cache).await.unwrap();
            let updated = updates.get(&post).copied();
            let known = match updated {
                Some(_) => HashSet::new(),
                None => holders(service, &post).await,
            };
            for (read, copy) in reads.iter().zip(copies) {
                effects.count(read, copy.is_some(), updated, &known);
            }
        }
        effects
    }

    /// As [`Ledger::effects`], where all has to have come to be; says what was counted.
    pub(crate) async fn assert_all_done(&self, service: &Service, test: &str) -> Effects {
        let effects = self.effects(service).await;
        effects.print(test);
        assert!(effects.faults.is_empty(), "{} faults: {:?}", effects.faults.len(), effects.faults);
        effects
    }

    async fn connect(&self) -> MultiplexedConnection {
        Client::open(self.cache.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }
}

impl Read {
    /// The same read, as if it had begun then.
    pub(crate) fn begun_at(self, began: u64) -> Self {
        Self { began, ..self }
    }

    fn key(&self) -> String {
        format!("/posts/{}?access_token={}", self.post, self.token())
    }

    fn token(&self) -> String {
        format!("tok-{}-{}", self.post, self.user)
    }
}

impl Effects {
    fn count(&mut self, read: &Read, has_copy: bool, updated: Option<u64>, known: &HashSet<String>) {
        self.accepted_reads += 1;
        let is_older = updated.is_some_and(|updated| read.began <= updated);
        match (is_older, has_copy) {
            (true, false) => self.removed += 1,
            (false, false) => self.evicted += 1,
            (false, true) if known.contains(&read.user) => self.tracked += 1,
            (true, true) => self.faults.push(format!("{} was read before a change and lives", read.post)),
            (false, true) => self.faults.push(format!("{} of {} is not tracked", read.post, read.user)),
        }
    }

    pub(crate) fn print(&self, test: &str) {
        println!(
            "{test}: accepted {} reads and {} updates; copies removed by a later update {}, tracked {}, evicted {}; \
             faults {}",
            self.accepted_reads,
            self.accepted_updates,
            self.removed,
            self.tracked,
            self.evicted,
            self.faults.len()
        );
    }
}

/// The events of reads.
pub(crate) fn events(reads: &[Read]) -> Value {
    let event = |read: &Read| {
        json!({
            "action_type": "Read", "resource_type": "Posts", "entity_id": read.post,
            "access_token": read.token(), "user_id": read.user, "occurred_at": read.began,
        })
    };
    reads.iter().map(event).collect()
}

/// The event of a change.
pub(crate) fn update(post: &str, at: u64) -> Value {
    json!({ "action_type": "Update", "resource_type": "Posts", "entity_id": post, "occurred_at": at })
}

async fn holders(service: &Service, post: &str) -> HashSet<String> {
    let page = service.get(&format!("/v1/entities/Posts/{post}/holders?limit=1000")).await;
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no holders: {page}"));
    items.iter().map(|item| item["user_id"].as_str().unwrap().to_owned()).collect()
}

/// An API's clock, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "an API's clock, which is not decache's")]
pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
