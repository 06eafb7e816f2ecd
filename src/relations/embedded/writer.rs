//! One thread that writes. Whatever waits when it begins shares one commit, and so one wait for the disk.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    file::StoreFile,
    tables::{Result, Tables},
    time::StoreTime,
};
use crate::relations::StoreError;

/// Hands work to the thread. Dropping it waits for what was handed over.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
    failing: Arc<AtomicBool>,
}

/// A piece of a transaction, and who waits for its commit.
trait Work: Send {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<()>;
    fn settle(self: Box<Self>, committed: std::result::Result<(), StoreError>);
}

struct Waiting<F, T> {
    work: F,
    answer: Option<T>,
    to: oneshot::Sender<std::result::Result<T, StoreError>>,
}

impl<F, T> Work for Waiting<F, T>
where
    F: Fn(&mut Tables<'_>) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<()> {
        self.answer = Some((self.work)(tables)?);
        Ok(())
    }

    fn settle(self: Box<Self>, committed: std::result::Result<(), StoreError>) {
        let Self { answer, to, .. } = *self;
        // Nobody waits any more where a request was cut off; its work is done all the same.
        to.send(committed.and_then(|()| answer.ok_or_else(gone))).ok();
    }
}

impl Writer {
    pub(super) fn start(file: Arc<StoreFile>, time: Arc<StoreTime>) -> io::Result<Self> {
        let (queue, work) = mpsc::channel();
        let failing = Arc::new(AtomicBool::new(false));
        let told = failing.clone();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_all(&file, &time, &work, &told))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), failing })
    }

    /// Whether the last transaction failed: what can be read cannot be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Does `work` in a transaction, with whatever else waits, and answers when it is on stable storage. Where one
    /// piece of a transaction fails, all of it is undone and all who wait are told.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let (to, answer) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // Where the thread is gone, so is the other end of `answer`.
            queue.send(Box::new(Waiting { work, answer: None, to })).ok();
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn write_all(
    file: &StoreFile,
    time: &StoreTime,
    queue: &mpsc::Receiver<Box<dyn Work>>,
    failing: &AtomicBool,
) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter());
        let committed = catch_unwind(AssertUnwindSafe(|| commit(file, time, &mut batch)))
            .unwrap_or_else(|_| Err(StoreError::Unavailable("writing panicked".to_owned())));
        failing.store(committed.is_err(), Ordering::Relaxed);
        for work in batch {
            work.settle(committed.clone());
        }
    }
}

fn commit(
    file: &StoreFile,
    time: &StoreTime,
    batch: &mut [Box<dyn Work>],
) -> std::result::Result<(), StoreError> {
    file.write(time, |tables| batch.iter_mut().try_for_each(|work| work.run(tables)))
}

fn gone() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
