//! Writes that decache has still to hear of.
//!
//! This outbox lives in the process. It outlives a client that hangs up and a decache that is away, but not the process
//! itself: a writer that dies between its commit and the 202 forgets the event, and the copies of that post live until
//! they expire. A writer that may die there needs a durable outbox: a table that the same transaction writes, and that a
//! task like [`post_all`] reads, posts and clears. The rest of the contract stays as it is.

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::events::{Decache, Event, Verdict};

/// Takes events and never says no: a commit that has happened cannot be refused.
pub(crate) struct Outbox {
    queue: UnboundedSender<Entry>,
}

struct Entry {
    event: Event,
    done: oneshot::Sender<Verdict>,
}

impl Outbox {
    /// An outbox, and the task that empties it and ends after the outbox is dropped.
    pub(crate) fn new(decache: Decache) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, entries) = unbounded_channel();
        (Self { queue }, post_all(entries, decache))
    }

    /// Takes an event. Not `async` on purpose: it stands right behind the commit, and between the two there is no point
    /// at which a client that hangs up could cancel the handler. The receiver hears decache's last word, and may be
    /// dropped.
    pub(crate) fn push(&self, event: Event) -> oneshot::Receiver<Verdict> {
        let (done, verdict) = oneshot::channel();
        // It fails only after the task has ended, which only follows this outbox; the receiver then says so.
        self.queue.send(Entry { event, done }).ok();
        verdict
    }
}

/// Posts events in the order of their commits, one at a time. The order is for people who read logs: decache goes by
/// `occurred_at`, so a busy API can post them in parallel or as an array.
async fn post_all(mut entries: UnboundedReceiver<Entry>, decache: Decache) {
    while let Some(Entry { event, done }) = entries.recv().await {
        let verdict = decache.post_until_accepted(&event).await;
        done.send(verdict).ok();
    }
}
