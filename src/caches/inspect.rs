//! What a cache holds, for those caches that tell.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{CacheError, CopyKey};
use crate::template::Glob;

/// A cache that tells what it holds. Its keys hold access tokens: they go nowhere but into `CopyKey`.
pub trait Inspect: Send + Sync {
    /// Some of the keys that match, without the cache's prefix, and where to go on. A key that is there all along is told at
    /// least once; some may be told twice. Looks at about `effort` keys, matching or not, so that the cache's other
    /// clients do not wait. Never tells a key of decache's own store.
    fn scan<'a>(
        &'a self,
        from: ScanCursor,
        pattern: &'a Glob,
        effort: usize,
    ) -> BoxFuture<'a, Result<Scanned, CacheError>>;

    /// How long each of these copies has yet to live, in their order.
    fn lives<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<Vec<Life>, CacheError>>;
}

/// Where a scan goes on. Only the cache that gave it knows its meaning; it begins at the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanCursor(pub u64);

impl ScanCursor {
    /// About how much of the scan is done, from 0 to 1: Redis counts the reversed bits of its cursor upwards.
    pub fn share_done(self) -> f64 {
        self.0.reverse_bits() as f64 / 2_f64.powi(64)
    }
}

/// A step of a scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scanned {
    /// The keys, without the cache's prefix.
    pub keys: Vec<CopyKey>,
    /// `None` at the end.
    pub next: Option<ScanCursor>,
}

/// How long a copy has yet to live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It is not there.
    Gone,
    /// Until it is deleted.
    Endless,
    /// So long, from a moment after it was asked.
    For(Duration),
}
