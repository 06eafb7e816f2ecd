//! Users who read and write, as fast as they are answered.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use fastrand::Rng;
use reqwest::Client;
use tokio::{sync::watch, task::JoinSet};

use crate::stage::POSTS;

const CONNECTIONS: u64 = 12;
const USERS: u64 = 40;

/// All users at work.
pub(crate) struct Users {
    tasks: JoinSet<Accepted>,
    answered: watch::Receiver<u64>,
}

/// What the API has said, in the end.
#[derive(Default)]
pub(crate) struct Accepted {
    /// Copies that decache has accepted, by post and user.
    pub(crate) copies: HashSet<(u64, u64)>,
    pub(crate) hits: usize,
    pub(crate) misses: usize,
    pub(crate) writes: usize,
    /// Requests that were cut off or refused.
    pub(crate) failed: usize,
}

impl Users {
    /// Users who make so many requests in all.
    pub(crate) fn start(urls: &[String; 2], requests: u64, seed: u64) -> Self {
        let left = Arc::new(AtomicU64::new(requests));
        let (counter, answered) = watch::channel(0);
        let (counter, mut tasks) = (Arc::new(counter), JoinSet::new());
        for number in 0..CONNECTIONS {
            let rng = Rng::with_seed(seed.wrapping_add(number));
            let client = Client::builder().no_proxy().build().unwrap();
            let user = User { urls: urls.clone(), client, rng, accepted: Accepted::default() };
            tasks.spawn(user.run(left.clone(), counter.clone()));
        }
        Self { tasks, answered }
    }

    /// Waits until so many requests are over in all, or there are no more.
    pub(crate) async fn over(&self, requests: u64) {
        let _ = self.answered.clone().wait_for(|answered| *answered >= requests).await;
    }

    /// How many requests are over.
    pub(crate) fn so_far(&self) -> u64 {
        *self.answered.borrow()
    }

    /// Waits for the last request. Returns what became of all.
    pub(crate) async fn done(mut self) -> Accepted {
        let mut all = Accepted::default();
        while let Some(ended) = self.tasks.join_next().await {
            let accepted = ended.unwrap();
            all.copies.extend(accepted.copies);
            all.hits += accepted.hits;
            all.misses += accepted.misses;
            all.writes += accepted.writes;
            all.failed += accepted.failed;
        }
        all
    }
}

struct User {
    urls: [String; 2],
    client: Client,
    rng: Rng,
    accepted: Accepted,
}

impl User {
    async fn run(mut self, left: Arc<AtomicU64>, counter: Arc<watch::Sender<u64>>) -> Accepted {
        let take = |left: u64| left.checked_sub(1);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            if self.request().await.is_none() {
                self.accepted.failed += 1;
            }
            counter.send_modify(|answered| *answered += 1);
        }
        self.accepted
    }

    /// Posts of the first half are written now and then; the others only ever read.
    async fn request(&mut self) -> Option<()> {
        let (post, user) = (self.rng.u64(1..=POSTS), self.rng.u64(..USERS));
        let api = self.rng.usize(0..2);
        let url = format!("{}/posts/{post}?access_token=tok-user-{user}", self.urls[api]);
        let is_written = post <= POSTS / 2;
        match self.rng.u8(..100) {
            0..15 if is_written => {
                let body = serde_json::json!({ "body": format!("{:x}", self.rng.u64(..)) });
                let response = self.client.put(url).json(&body).send().await.ok()?;
                self.accepted.writes += usize::from(response.status() == 200);
            }
            15..18 if is_written => {
                let response = self.client.delete(url).send().await.ok()?;
                self.accepted.writes += usize::from(response.status() == 204);
            }
            _ => self.read(url, post, user).await?,
        }
        Some(())
    }

    async fn read(&mut self, url: String, post: u64, user: u64) -> Option<()> {
        let response = self.client.get(url).send().await.ok()?;
        if response.status() != 200 {
            return (response.status() == 404).then_some(());
        }
        match response.headers()["x-cache"].to_str().unwrap() {
            "hit" => self.accepted.hits += 1,
            _ => self.accepted.misses += 1,
        }
        if response.headers().get("x-decache").is_some_and(|word| word == "accepted") {
            self.accepted.copies.insert((post, user));
        }
        Some(())
    }
}
