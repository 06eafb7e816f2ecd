//! Where copies live: the targets of a fan-out (DESIGN 8).

use std::{fmt, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use crate::{metrics::Metrics, notebook::Notebook, queue::Tally};

mod copy_list;
pub mod http;
mod inspect;
pub mod pubsub;
pub mod redis;
mod succession;
mod suspects;
mod target;

pub use succession::Successor;
use suspects::Suspects;
pub use target::Regard;
use target::Target;

/// The names of caches that something waits for.
pub type WaitsFor = Box<[Arc<str>]>;

pub use copy_list::{CopyList, CopyOf};
pub use inspect::{Inspect, Life, ScanCursor, Scanned};

/// A copy's key in every cache, before a cache's own prefix. It holds an access token, so it does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CopyKey(pub String);

impl fmt::Debug for CopyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopyKey(..)")
    }
}

/// One place where copies live.
pub trait Cache: Send + Sync {
    /// Its name in the configuration, in metrics and answers.
    fn name(&self) -> &str;

    /// Deletes these copies, where they are there. Returns how many were. May be repeated.
    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>>;

    /// The same, for a cache that goes by more than their keys.
    fn remove<'a>(&'a self, copies: &'a CopyList) -> BoxFuture<'a, Result<usize, CacheError>> {
        self.delete(copies.keys())
    }

    /// Deletes everything that it holds; `None` where it cannot.
    fn purge_all(&self) -> Option<BoxFuture<'_, Result<(), CacheError>>> {
        None
    }

    /// Asks whether the cache answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>>;

    /// The cache as one that tells what it holds; `None` where it cannot.
    fn inspect(&self) -> Option<&dyn Inspect> {
        None
    }
}

/// Why copies could not be deleted. It may pass; the deletion is to be tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cache unavailable: {0}")]
pub struct CacheError(pub String);

/// All places where copies live, in the configured order: inner ones first.
pub struct Caches {
    targets: Vec<Arc<Target>>,
    suspects: Arc<Suspects>,
    metrics: Arc<Metrics>,
}

/// Why copies are still there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// The caches that failed and why.
    pub sentence: String,
    /// These caches.
    pub waits_for: WaitsFor,
}

/// What has become of caches that something waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// One of them answers, as far as is known: it is worth trying again.
    Answers,
    /// None of them answers.
    Away(Failure),
    /// They have all been left out meanwhile: nothing waits for them any more.
    LeftOut,
}

impl Caches {
    /// These caches, none of which is suspect.
    pub fn new(caches: Vec<Box<dyn Cache>>, metrics: Arc<Metrics>) -> Self {
        let targets = caches.into_iter().map(|cache| Arc::new(Target::new(cache))).collect();
        Self { targets, suspects: Arc::default(), metrics }
    }

    /// The caches that the notes call suspect still are; what changes is noted. Where the note cannot be read, all are
    /// suspect, and this says why.
    pub fn remembering(mut self, notes: Notebook) -> (Self, Option<io::Error>) {
        let (suspects, trouble) = Suspects::read(notes, self.names().map(ToString::to_string));
        for target in self.targets.iter().filter(|target| suspects.has(target.name())) {
            target.regard(Regard::Suspect);
        }
        self.suspects = Arc::new(suspects);
        (self, trouble)
    }

    /// Suspect caches that are not among these.
    pub fn unknown_suspects(&self) -> Vec<String> {
        let known = |name: &String| self.target(name).is_some();
        self.suspects.names().into_iter().filter(|name| !known(name)).collect()
    }

    /// Their names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.targets.iter().map(|target| target.name())
    }

    /// How far a cache is relied on.
    pub fn regarded(&self, name: &str) -> Option<Regard> {
        self.target(name).map(Target::regarded)
    }

    /// Asks a cache whether it answers, for as long as `time`.
    pub async fn answers(&self, name: &str, time: Duration) -> bool {
        match self.target(name) {
            Some(target) => target.ping(time).await.is_none(),
            None => false,
        }
    }

    /// Declares a cache suspect: from now on removals leave it out. Blocks: it is noted first, so that nothing is
    /// forgotten with the process.
    ///
    /// # Errors
    /// It could not be noted, and is waited for as before.
    pub fn suspect(&self, name: &str) -> io::Result<()> {
        self.suspects.note(name, true)?;
        self.regard(name, Regard::Suspect);
        Ok(())
    }

    /// A suspect cache answers again: removals ask it again, and what is in it by now is to be removed.
    pub fn let_return(&self, name: &str) {
        self.regard(name, Regard::Returning);
    }

    /// What is in a returning cache could not be removed: removals leave it out again.
    pub fn leave_out_again(&self, name: &str) {
        self.regard(name, Regard::Suspect);
    }

    /// Everything that was in a returning cache is gone. Blocks.
    ///
    /// # Errors
    /// It could not be noted: it is suspect at the next start, which costs copies and no more.
    pub fn trust(&self, name: &str) -> io::Result<()> {
        self.regard(name, Regard::Trusted);
        self.suspects.note(name, false)
    }

    /// Whether it is worth trying again what waits for these caches.
    pub fn awaited<'a>(&self, names: impl IntoIterator<Item = &'a Arc<str>>) -> Awaited {
        let mut away = Vec::new();
        for name in names {
            match self.target(name) {
                None => return Awaited::Answers,
                Some(target) if target.is_left_out() => {}
                Some(target) => match target.away() {
                    None => return Awaited::Answers,
                    Some(error) => away.push((target, error)),
                },
            }
        }
        Failure::of(&away).map_or(Awaited::LeftOut, Awaited::Away)
    }

    /// Each cache, in the configured order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Cache> {
        self.targets.iter().map(|target| target.cache())
    }

    /// Begins to remove copies. What fails once is not asked again until the next removal begins.
    pub fn removal(&self) -> Removal<'_> {
        Removal { caches: self, failed: vec![None; self.targets.len()] }
    }

    /// Asks each cache whether it answers, for as long as `time`; each by name, with what is wrong with it, if anything is.
    pub async fn ping(&self, time: Duration) -> Vec<(&str, Option<CacheError>)> {
        let pings = self.targets.iter().map(async |target| (&**target.name(), target.ping(time).await));
        futures_util::future::join_all(pings).await
    }

    fn regard(&self, name: &str, regard: Regard) {
        if let Some(target) = self.target(name) {
            target.regard(regard);
        }
    }

    fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().map(|target| &**target).find(|target| &**target.name() == name)
    }
}

impl Failure {
    fn of(failed: &[(&Target, CacheError)]) -> Option<Self> {
        let sentences: Vec<String> =
            failed.iter().map(|(target, error)| format!("cache {}: {error}", target.name())).collect();
        let waits_for = failed.iter().map(|(target, _)| target.name().clone()).collect();
        (!failed.is_empty()).then(|| Self { sentence: sentences.join("; "), waits_for })
    }
}

/// A number of deletions that are made or tried again together.
pub struct Removal<'a> {
    caches: &'a Caches,
    failed: Vec<Option<CacheError>>,
}

impl Removal<'_> {
    /// Deletes copies from every cache that is not left out. Counts copies, so each key as often as there are caches.
    pub async fn delete(&mut self, copies: &CopyList) -> Tally {
        let (mut total, count) = (Tally::default(), copies.keys().len() as u64);
        let metrics = &self.caches.metrics;
        for (target, failed) in self.caches.targets.iter().zip(&mut self.failed) {
            if target.is_left_out() {
                continue;
            }
            let mut tally = Tally { failed: count, ..Tally::default() };
            if failed.is_none() {
                match target.delete(copies).await {
                    Ok(deleted) => {
                        let deleted = deleted as u64;
                        tally = Tally { deleted, absent: count.saturating_sub(deleted), ..Tally::default() };
                    }
                    Err(error) => {
                        metrics.errors.with_label_values(&[target.name()]).inc();
                        *failed = Some(error);
                    }
                }
            }
            metrics.copies(target.name(), &tally);
            total += tally;
        }
        total
    }

    /// The caches that failed and why; `None` where all copies are gone.
    pub fn failure(&self) -> Option<Failure> {
        let failed = self.caches.targets.iter().zip(&self.failed);
        let failed = failed.filter_map(|(target, failed)| Some((&**target, failed.clone()?)));
        Failure::of(&failed.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests;
