//! Where copies live: the targets of a fan-out (DESIGN 8).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::{metrics::Metrics, queue::Tally};

mod inspect;
pub mod redis;

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
    caches: Vec<Target>,
    metrics: Arc<Metrics>,
}

/// A cache, and whether it is known to be away. Then it is not asked to delete anything, which could take a timeout each
/// time, until it has answered a ping: so it holds up none of the others.
struct Target {
    cache: Box<dyn Cache>,
    away: Mutex<Option<CacheError>>,
}

impl Caches {
    /// These caches.
    pub fn new(caches: Vec<Box<dyn Cache>>, metrics: Arc<Metrics>) -> Self {
        let caches = caches.into_iter().map(|cache| Target { cache, away: Mutex::default() }).collect();
        Self { caches, metrics }
    }

    /// Each cache, in the configured order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Cache> {
        self.caches.iter().map(|target| &*target.cache)
    }

    /// Begins to remove copies. What fails once is not asked again until the next removal begins.
    pub fn removal(&self) -> Removal<'_> {
        Removal { caches: self, failed: vec![None; self.caches.len()] }
    }

    /// Asks each cache whether it answers, for as long as `time`; each by name, with what is wrong with it, if anything is.
    pub async fn ping(&self, time: Duration) -> Vec<(&str, Option<CacheError>)> {
        let pings = self.caches.iter().map(|target| async move {
            let answer = tokio::time::timeout(time, target.cache.ping()).await;
            let trouble = answer.unwrap_or_else(|_| Err(CacheError("no answer to a ping".to_owned()))).err();
            target.tell(trouble.clone());
            (target.cache.name(), trouble)
        });
        futures_util::future::join_all(pings).await
    }
}

impl Target {
    fn tell(&self, trouble: Option<CacheError>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    async fn delete(&self, keys: &[CopyKey]) -> Result<usize, CacheError> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(trouble) = away {
            return Err(trouble);
        }
        self.cache.delete(keys).await.inspect_err(|error| self.tell(Some(error.clone())))
    }
}

/// A number of deletions that are made or tried again together.
pub struct Removal<'a> {
    caches: &'a Caches,
    failed: Vec<Option<CacheError>>,
}

impl Removal<'_> {
    /// Deletes copies from every cache. Counts copies, so each key as often as there are caches.
    pub async fn delete(&mut self, keys: &[CopyKey]) -> Tally {
        let (mut total, count) = (Tally::default(), keys.len() as u64);
        let metrics = &self.caches.metrics;
        for (target, failed) in self.caches.caches.iter().zip(&mut self.failed) {
            let mut tally = Tally { failed: count, ..Tally::default() };
            if failed.is_none() {
                match target.delete(keys).await {
                    Ok(deleted) => {
                        let deleted = deleted as u64;
                        tally = Tally { deleted, absent: count.saturating_sub(deleted), ..Tally::default() };
                    }
                    Err(error) => {
                        metrics.errors.with_label_values(&[target.cache.name()]).inc();
                        *failed = Some(error);
                    }
                }
            }
            metrics.copies(target.cache.name(), &tally);
            total += tally;
        }
        total
    }

    /// The caches that failed and why, in a sentence; `None` where all copies are gone.
    pub fn error(&self) -> Option<String> {
        let failures = self.caches.caches.iter().zip(&self.failed);
        let failures = failures.filter_map(|(target, failed)| Some((target.cache.name(), failed.as_ref()?)));
        let sentences: Vec<String> = failures.map(|(name, error)| format!("cache {name}: {error}")).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Recorded {
        name: &'static str,
        up: bool,
        asked: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Cache for Recorded {
        fn name(&self) -> &str {
            self.name
        }

        fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
            self.asked.lock().unwrap().push(self.name);
            let answer = if self.up { Ok(keys.len()) } else { Err(CacheError("refused".to_owned())) };
            Box::pin(std::future::ready(answer))
        }

        fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn caches(asked: &Arc<Mutex<Vec<&'static str>>>, caches: &[(&'static str, bool)]) -> Caches {
        let cache = |(name, up): &(&'static str, bool)| {
            Box::new(Recorded { name, up: *up, asked: asked.clone() }) as Box<dyn Cache>
        };
        Caches::new(caches.iter().map(cache).collect(), Arc::new(Metrics::new().unwrap()))
    }

    #[tokio::test]
    async fn a_cache_that_fails_holds_up_no_other_and_is_not_asked_again() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let caches = caches(&asked, &[("inner", true), ("down", false), ("outer", true)]);
        let keys = [CopyKey("/posts/42".to_owned())];
        let mut removal = caches.removal();
        let first = removal.delete(&keys).await;
        let second = caches.removal().delete(&keys).await;
        assert_eq!((first.deleted, first.failed, second.deleted, second.failed), (2, 1, 2, 1));
        assert_eq!(*asked.lock().unwrap(), ["inner", "down", "outer", "inner", "outer"]);
        assert_eq!(removal.error().as_deref(), Some("cache down: cache unavailable: refused"));
    }

    #[tokio::test]
    async fn a_cache_that_answers_a_ping_is_asked_again() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let caches = caches(&asked, &[("down", false)]);
        let keys = [CopyKey("/posts/42".to_owned())];
        caches.removal().delete(&keys).await;
        assert!(caches.ping(Duration::from_secs(1)).await[0].1.is_none());
        caches.removal().delete(&keys).await;
        assert_eq!(asked.lock().unwrap().len(), 2);
    }
}
