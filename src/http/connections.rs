//! The slots for connections. Where all are taken, the connection whose client has been silent longest makes room for a
//! new one: idle and slow connections, however many, keep nobody out. One whose request is being worked on stays.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use slab::Slab;
use tokio::{
    pin,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

/// Stands for the last move of a connection that is not to make room.
const STAYS: u64 = u64::MAX;

/// Every connection that is open.
pub(super) struct Connections {
    most: u32,
    slots: Arc<Semaphore>,
    open: Mutex<Slab<Arc<Usage>>>,
    shared: Arc<Shared>,
    told: AtomicBool,
}

#[derive(Default)]
struct Shared {
    /// Counts moves of all connections: their order is what "longest" means, so no clock is read.
    moves: AtomicU64,
    /// A connection that stayed may make room again.
    rested: Notify,
}

/// What a connection is doing, as far as it matters for who makes room.
pub(super) struct Usage {
    last_move: AtomicU64,
    evicted: CancellationToken,
    shared: Arc<Shared>,
}

/// A connection's place. Dropping it gives it back.
pub(super) struct Slot {
    usage: Arc<Usage>,
    number: usize,
    connections: Arc<Connections>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connections {
    /// Slots for at most so many at a time.
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            slots: Arc::new(Semaphore::new(most as usize)),
            open: Mutex::default(),
            shared: Arc::default(),
            told: AtomicBool::new(false),
        })
    }

    /// A slot for a connection that has come. Waits where every connection is being worked for.
    pub(super) async fn take(self: &Arc<Self>) -> Slot {
        let permit = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(free) => Some(free),
            Err(_) => self.freed().await,
        };
        let usage = Arc::new(Usage {
            last_move: AtomicU64::new(self.shared.next_move()),
            evicted: CancellationToken::new(),
            shared: self.shared.clone(),
        });
        let number = self.open().insert(usage.clone());
        Slot { usage, number, connections: self.clone(), _permit: permit }
    }

    async fn freed(&self) -> Option<OwnedSemaphorePermit> {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                connections = self.most,
                "all connections are taken: from now on the most silent one makes room for a new one"
            );
        }
        let freed = Arc::clone(&self.slots).acquire_owned();
        pin!(freed);
        while !self.make_room() {
            tokio::select! {
                permit = &mut freed => return permit.ok(),
                () = self.shared.rested.notified() => {}
            }
        }
        // Fails only where the semaphore is closed, and nobody closes it.
        freed.await.ok()
    }

    /// Ends the connection whose client has been silent longest. Returns whether there was one.
    pub(super) fn make_room(&self) -> bool {
        loop {
            let last_move = |usage: &Arc<Usage>| usage.last_move.load(Ordering::Relaxed);
            let silent = self
                .open()
                .iter()
                .map(|(_, usage)| (last_move(usage), usage.clone()))
                .filter(|(at, _)| *at != STAYS)
                .min_by_key(|(at, _)| *at);
            let Some((at, usage)) = silent else { return false };
            // Where it has moved meanwhile, it is not the most silent one any more.
            if usage.last_move.compare_exchange(at, STAYS, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                usage.evicted.cancel();
                return true;
            }
        }
    }

    /// Returns when every slot has been given back.
    pub(super) async fn ended(&self) {
        let _ = self.slots.acquire_many(self.most).await;
    }

    fn open(&self) -> MutexGuard<'_, Slab<Arc<Usage>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open().try_remove(self.number);
    }
}

impl Usage {
    /// Bytes went to the client or came from it.
    pub(super) fn moved(&self) {
        let next = self.shared.next_move();
        let moved = |last| (last != STAYS).then_some(next);
        // Refused where it stays anyhow.
        let _ = self.last_move.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }

    /// The client has done its part: until [`Usage::rest`] it is the service that takes its time.
    pub(super) fn work(&self) {
        self.last_move.store(STAYS, Ordering::Relaxed);
    }

    /// It is the client's turn again, to take its answer and to ask anew.
    pub(super) fn rest(&self) {
        self.last_move.store(self.shared.next_move(), Ordering::Relaxed);
        self.shared.rested.notify_one();
    }

    /// Returns when the connection has to make room.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Shared {
    fn next_move(&self) -> u64 {
        self.moves.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(slot: &Slot) -> bool {
        slot.usage.evicted.is_cancelled()
    }

    #[tokio::test]
    async fn the_most_silent_connection_makes_room_and_one_that_is_worked_for_does_not() {
        let connections = Connections::new(3);
        let slots = [connections.take().await, connections.take().await, connections.take().await];
        slots[0].usage.work();
        slots[1].usage.moved();
        assert!(connections.make_room());
        assert_eq!(slots.each_ref().map(is_evicted), [false, false, true]);
        assert!(connections.make_room());
        assert_eq!(slots.each_ref().map(is_evicted), [false, true, true]);
        assert!(!connections.make_room(), "the first is being worked for");
        slots[0].usage.rest();
        assert!(connections.make_room());
    }

    #[tokio::test]
    async fn a_new_connection_gets_the_slot_of_one_that_comes_to_rest() {
        let connections = Connections::new(1);
        let busy = connections.take().await;
        busy.usage.work();
        let (new, ()) = tokio::join!(connections.take(), async {
            tokio::task::yield_now().await;
            busy.usage.rest();
            busy.usage.evicted().await;
            drop(busy);
        });
        assert!(!is_evicted(&new));
        drop(new);
        connections.ended().await;
    }
}
