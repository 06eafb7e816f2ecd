//! APIs that go on posting, whatever happens to decache, and note what it has answered.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use fastrand::Rng;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{AGAIN, Ledger, events, now, update},
    service::client,
};

const READERS: usize = 8;

/// APIs at work, each on a connection of its own.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    over: CancellationToken,
    url: watch::Sender<String>,
    not_accepted: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn start(ledger: &Arc<Ledger>, connections: u64, seed: u64) -> Self {
        let (over, not_accepted) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (url, urls) = watch::channel(String::new());
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            let api = Api {
                ledger: ledger.clone(),
                client: client(),
                url: urls.clone(),
                rng: Rng::with_seed(seed + connection),
                not_accepted: not_accepted.clone(),
            };
            tasks.spawn(api.run(over.clone()));
        }
        Self { tasks, over, url, not_accepted }
    }

    /// Where decache is from now on.
    pub(crate) fn go_to(&self, url: &str) {
        self.url.send_replace(url.to_owned());
    }

    /// Requests that were refused or cut off, and made again.
    pub(crate) fn not_accepted(&self) -> usize {
        self.not_accepted.load(Ordering::Relaxed)
    }

    /// Waits until all that was begun has been accepted. decache has to be there.
    pub(crate) async fn stop(mut self) {
        self.over.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

struct Api {
    ledger: Arc<Ledger>,
    client: Client,
    url: watch::Receiver<String>,
    rng: Rng,
    not_accepted: Arc<AtomicUsize>,
}

impl Api {
    /// Posts are read by a few, and most of them then change. Each event matters: no other makes up for a lost one.
    async fn run(mut self, over: CancellationToken) {
        while !over.is_cancelled() {
            let post = self.ledger.new_post();
            let reads = self.ledger.read(&post, self.rng.usize(1..=READERS)).await;
            self.deliver(&events(&reads)).await;
            self.ledger.reads_accepted(reads);
            if self.rng.u8(0..3) > 0 {
                let at = now();
                self.deliver(&update(&post, at)).await;
                self.ledger.update_accepted(&post, at);
            }
        }
    }

    async fn deliver(&self, events: &Value) {
        loop {
            let url = format!("{}/v1/events", *self.url.borrow());
            match self.client.post(url).json(events).send().await {
                Ok(response) if response.status() == StatusCode::ACCEPTED => return,
                Ok(response) => assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE),
                Err(_) => {}
            }
            self.not_accepted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(AGAIN).await;
        }
    }
}
