//! Writes that decache has still to hear of.
//!
//! Without a database, this outbox lives in the process. It outlives a client that hangs up and a decache that is away, but
//! not the process itself: a writer that dies between its commit and the 202 forgets the event, and the copies of that post
//! live until they expire. With one (`database.rs`), each commit writes what it owes along, and it is crossed out here after
//! the 202: who starts next posts what a dead process has left.

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::{
    database::Database,
    events::{Decache, EpochMillis, Event, Verdict},
    posts::{Committed, Post},
};

/// Names an entry of the outbox in the database.
pub(crate) struct Owed(pub(crate) String);

impl Owed {
    pub(crate) fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

/// Takes events and never says no: a commit that has happened cannot be refused.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: UnboundedSender<Entry>,
}

struct Entry {
    event: Event,
    owed: Option<Owed>,
    done: oneshot::Sender<Verdict>,
}

impl Outbox {
    /// An outbox, and the task that empties it and ends after the outbox is dropped.
    pub(crate) fn new(
        decache: Decache,
        database: Option<Database>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, entries) = unbounded_channel();
        (Self { queue }, post_all(entries, decache, database))
    }

    /// Takes an event. Not `async` on purpose: it stands right behind the commit, and between the two there is no point
    /// at which anything could be cancelled. The receiver hears decache's last word, and may be dropped.
    pub(crate) fn push(&self, action_type: &str, committed: Committed) -> oneshot::Receiver<Verdict> {
        let (done, verdict) = oneshot::channel();
        let event = Event::write(action_type, &committed);
        // It fails only after the task has ended, which only follows this outbox; the receiver then says so.
        self.queue.send(Entry { event, owed: committed.owed, done }).ok();
        verdict
    }

    /// Takes what dead processes have left. When their commits returned nobody knows any more: earlier than now.
    pub(crate) fn take_over(&self, left: Vec<(Owed, String, Post)>) {
        for (owed, action_type, post) in left {
            self.push(&action_type, Committed { post, at: EpochMillis::now(), owed: Some(owed) });
        }
    }
}

/// Posts events in the order of their commits, one at a time. The order is for people who read logs: decache goes by
/// `occurred_at`, so a busy API can post them in parallel or as an array.
async fn post_all(mut entries: UnboundedReceiver<Entry>, decache: Decache, database: Option<Database>) {
    while let Some(Entry { event, owed, done }) = entries.recv().await {
        let verdict = decache.post_until_accepted(&event).await;
        if let (Some(database), Some(owed)) = (&database, owed)
            && let Err(error) = database.settled(&owed).await
        {
            // It stays, and is posted once more by whoever starts next: a repeat is harmless.
            tracing::warn!(%error, "an entry of the outbox was not crossed out");
        }
        done.send(verdict).ok();
    }
}
