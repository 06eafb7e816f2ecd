//! Where copies live: the targets of a fan-out (DESIGN 8).

use std::fmt;

use futures_util::future::BoxFuture;

pub mod redis;

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
}

/// Why copies could not be deleted. It may pass; the deletion is to be tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cache unavailable: {0}")]
pub struct CacheError(pub String);
