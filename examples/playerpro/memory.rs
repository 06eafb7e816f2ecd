//! Copies in this process's memory, in front of those in Redis, and the channel on which decache says which of them have to go.
//!
//! What docs/caches.md asks of a cache that listens on a channel is four things:
//! 1. It begins with nothing when it subscribes, and keeps nothing while it is not subscribed, or while the channel has been
//!    silent for too long: `begin`, `end`, `get`.
//! 2. It keeps a copy no longer than the one that it was made from: `keep` is told how long that is.
//! 3. It does not keep what was being fetched while a message named its key: `Ticket`.
//! 4. It fills from a cache that decache empties before it publishes: `Copies::get` puts here what it finds in Redis, and
//!    nothing else.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{Client, RedisError, aio::PubSub};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::copies::TIMEOUT;

/// decache says something about once a second. After this long without a word nobody knows what has been missed.
const SILENCE: Duration = Duration::from_secs(5);
/// How long until the next try to subscribe.
const PAUSE: Duration = Duration::from_millis(500);
/// Removals are counted by this many groups of keys, not by key: there is no end to keys.
const GROUPS: usize = 1024;

/// The copies of one process.
pub(crate) struct Memory {
    most: usize,
    groups: RandomState,
    kept: Mutex<Kept>,
}

struct Kept {
    /// When the channel last said something; `None` while nobody listens.
    heard: Option<Instant>,
    copies: HashMap<String, (Value, Instant)>,
    /// How often each group of keys has lost some.
    removals: [u64; GROUPS],
}

/// Taken before a copy is fetched: what had been removed by then.
pub(crate) struct Ticket {
    group: usize,
    removals: u64,
}

impl Memory {
    /// A memory for so many copies, without any, and the task that listens for it and never ends. Nothing is kept before
    /// it has subscribed.
    pub(crate) fn listening(
        most: usize,
        redis: &str,
        channel: String,
    ) -> anyhow::Result<(Arc<Self>, impl Future<Output = ()> + Send + 'static)> {
        let client = Client::open(redis)?;
        let memory = Arc::new(Self::new(most));
        Ok((Arc::clone(&memory), async move { memory.listen(&client, &channel).await }))
    }

    fn new(most: usize) -> Self {
        let kept = Kept { heard: None, copies: HashMap::new(), removals: [0; GROUPS] };
        Self { most, groups: RandomState::new(), kept: Mutex::new(kept) }
    }

    /// The copy under this key. A process that was held up has yet to hear what it missed, so it asks the time, too.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        let (now, mut kept) = (Instant::now(), self.kept());
        if now.duration_since(kept.heard?) >= SILENCE {
            return None;
        }
        let (response, until) = kept.copies.get(key)?;
        if *until > now {
            return Some(response.clone());
        }
        kept.copies.remove(key);
        None
    }

    /// To be taken before the copy under this key is fetched.
    pub(crate) fn ticket(&self, key: &str) -> Ticket {
        let group = self.group(key);
        Ticket { group, removals: self.kept().removals[group] }
    }

    /// Keeps what was fetched and has yet to live for `left`, unless its key may have been removed meanwhile.
    pub(crate) fn keep(&self, ticket: &Ticket, key: String, response: Value, left: Duration) {
        let until = Instant::now() + left;
        let mut kept = self.kept();
        if kept.heard.is_none() || kept.removals[ticket.group] != ticket.removals {
            return;
        }
        // Whichever comes first: it can be fetched again.
        if kept.copies.len() >= self.most
            && !kept.copies.contains_key(&key)
            && let Some(one) = kept.copies.keys().next().cloned()
        {
            kept.copies.remove(&one);
        }
        kept.copies.insert(key, (response, until));
    }

    async fn listen(&self, client: &Client, channel: &str) {
        loop {
            let why = match timeout(TIMEOUT, subscribe(client, channel)).await {
                Ok(Ok(subscription)) => {
                    self.begin();
                    let why = self.follow(subscription).await;
                    self.end();
                    why
                }
                Ok(Err(error)) => error.category().to_owned(),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::warn!(%why, "nothing is kept in memory: the channel of removals is not heard");
            sleep(PAUSE).await;
        }
    }

    /// Does what the channel says for as long as it speaks. Returns why it does no longer.
    async fn follow(&self, mut subscription: PubSub) -> String {
        let mut messages = subscription.on_message();
        loop {
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => self.hear(message.get_payload_bytes()),
                Ok(None) => return "the connection is gone".to_owned(),
                Err(_) => return format!("it has been silent for {} s", SILENCE.as_secs()),
            }
        }
    }

    /// A message is a list of keys, or `null` for all. One that nobody understands may mean anything, and so means all.
    fn hear(&self, message: &[u8]) {
        let keys: Option<Vec<String>> = serde_json::from_slice(message).unwrap_or_default();
        let mut kept = self.kept();
        match keys {
            Some(keys) => {
                for key in keys {
                    kept.removals[self.group(&key)] += 1;
                    kept.copies.remove(&key);
                }
            }
            None => kept.remove_all(),
        }
        kept.heard = Some(Instant::now());
    }

    fn begin(&self) {
        let mut kept = self.kept();
        kept.remove_all();
        kept.heard = Some(Instant::now());
    }

    fn end(&self) {
        let mut kept = self.kept();
        kept.remove_all();
        kept.heard = None;
    }

    fn group(&self, key: &str) -> usize {
        usize::try_from(self.groups.hash_one(key) % GROUPS as u64).unwrap_or_default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove_all(&mut self) {
        self.copies.clear();
        self.removals.iter_mut().for_each(|count| *count += 1);
    }
}

async fn subscribe(client: &Client, channel: &str) -> Result<PubSub, RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    Ok(subscription)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_WHILE: Duration = Duration::from_secs(60);

    fn memory(most: usize) -> Memory {
        let memory = Memory::new(most);
        memory.begin();
        memory
    }

    fn fetch(memory: &Memory, key: &str, left: Duration) {
        memory.keep(&memory.ticket(key), key.to_owned(), Value::from(key), left);
    }

    #[tokio::test(start_paused = true)]
    async fn it_drops_what_a_message_names_and_nothing_else() {
        let memory = memory(9);
        for key in ["a", "b"] {
            fetch(&memory, key, A_WHILE);
        }
        memory.hear(b"[]");
        memory.hear(br#"["a", "x"]"#);
        assert_eq!((memory.get("a"), memory.get("b")), (None, Some(Value::from("b"))));
        for everything in ["null", "nonsense", r#"[1]"#] {
            fetch(&memory, "a", A_WHILE);
            memory.hear(everything.as_bytes());
            assert_eq!(memory.get("a"), None, "{everything}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_message_names_while_it_is_fetched_is_not_kept() {
        let memory = memory(9);
        for message in [r#"["a"]"#, "null"] {
            let ticket = memory.ticket("a");
            memory.hear(message.as_bytes());
            memory.keep(&ticket, "a".to_owned(), Value::from("old"), A_WHILE);
            assert_eq!(memory.get("a"), None, "{message}");
        }
        let ticket = memory.ticket("a");
        memory.end();
        memory.begin();
        memory.keep(&ticket, "a".to_owned(), Value::from("old"), A_WHILE);
        assert_eq!(memory.get("a"), None, "fetched before the subscription");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_without_a_channel_that_speaks() {
        let memory = Memory::new(9);
        fetch(&memory, "a", A_WHILE);
        memory.begin();
        assert_eq!(memory.get("a"), None, "fetched before there was a subscription");
        fetch(&memory, "a", A_WHILE);
        sleep(SILENCE).await;
        assert_eq!(memory.get("a"), None, "the channel is silent");
        memory.hear(b"[]");
        assert!(
            memory.get("a").is_some(),
            "nothing was missed: what is sent comes in order or the connection ends"
        );
        memory.end();
        memory.begin();
        assert_eq!(memory.get("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_ends_with_the_one_that_it_was_made_from_and_there_are_only_so_many() {
        let memory = memory(2);
        fetch(&memory, "a", Duration::from_secs(1));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(memory.get("a"), None);
        for key in ["a", "b", "c", "d"] {
            fetch(&memory, key, A_WHILE);
        }
        assert_eq!(memory.kept().copies.len(), 2);
        assert!(memory.get("d").is_some());
    }
}
