//! Copies in a Redis: removed with UNLINK, many keys a command, several commands a round trip; found with SCAN.

use std::time::Duration;

use deadpool_redis::redis;
use futures_util::future::BoxFuture;

use super::{Cache, CacheError, CopyKey, Inspect, Life, ScanCursor, Scanned};
use crate::{
    redis_pool::{PoolError, RedisPool},
    template::Glob,
};

/// Keys that one command removes; the Redis serves other clients between two commands.
const KEYS_PER_COMMAND: usize = 128;

/// What a ping removes: no copy has this key, for those of a resource hold a token.
const NO_COPY: &str = "decache:ping";

/// A Redis with the API's cached responses.
pub struct RedisCache {
    name: String,
    pool: RedisPool,
    key_prefix: String,
    store_prefix: String,
}

impl RedisCache {
    /// The cache behind `pool`, where every key begins with `key_prefix`.
    pub fn new(name: String, pool: RedisPool, key_prefix: String) -> Self {
        Self { name, pool, key_prefix, store_prefix: String::new() }
    }

    /// The same cache, which may be in the Redis of a store whose keys begin with `store_prefix`: these are no copies,
    /// whatever they look like. An empty one is no prefix.
    pub fn beside_store(self, store_prefix: &str) -> Self {
        Self { store_prefix: store_prefix.to_owned(), ..self }
    }

    async fn unlink(&self, keys: &[CopyKey]) -> Result<usize, CacheError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut pipeline = redis::pipe();
        for chunk in keys.chunks(KEYS_PER_COMMAND) {
            let command = pipeline.cmd("UNLINK");
            for key in chunk {
                command.arg(format!("{}{}", self.key_prefix, key.0));
            }
        }
        Ok(self.pool.query::<Vec<usize>>(&pipeline).await?.into_iter().sum())
    }

    async fn scan_page(
        &self,
        from: ScanCursor,
        pattern: &Glob,
        effort: usize,
    ) -> Result<Scanned, CacheError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("SCAN").arg(from.0).arg("MATCH").arg(pattern.under(&self.key_prefix));
        pipeline.arg("COUNT").arg(effort);
        let ((next, found),): ((u64, Vec<Vec<u8>>),) = self.pool.query(&pipeline).await?;
        let keys = found.into_iter().filter_map(|key| self.copy_key(key)).collect();
        Ok(Scanned { keys, next: (next != 0).then_some(ScanCursor(next)) })
    }

    /// The key of a copy; `None` for the store's keys and for what is no text, as no copy's key is.
    fn copy_key(&self, key: Vec<u8>) -> Option<CopyKey> {
        let key = String::from_utf8(key).ok()?;
        let is_stores = !self.store_prefix.is_empty() && key.starts_with(&self.store_prefix);
        key.strip_prefix(&self.key_prefix).filter(|_| !is_stores).map(|key| CopyKey(key.to_owned()))
    }

    async fn ttls(&self, keys: &[CopyKey]) -> Result<Vec<Life>, CacheError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("PTTL").arg(format!("{}{}", self.key_prefix, key.0));
        }
        let millis: Vec<i64> = self.pool.query(&pipeline).await?;
        Ok(millis.into_iter().map(life).collect())
    }
}

/// What PTTL means: -2 no such key, -1 no end.
fn life(millis: i64) -> Life {
    match u64::try_from(millis) {
        Ok(millis) => Life::For(Duration::from_millis(millis)),
        Err(_) if millis == -1 => Life::Endless,
        Err(_) => Life::Gone,
    }
}

impl Inspect for RedisCache {
    fn scan<'a>(
        &'a self,
        from: ScanCursor,
        pattern: &'a Glob,
        effort: usize,
    ) -> BoxFuture<'a, Result<Scanned, CacheError>> {
        Box::pin(self.scan_page(from, pattern, effort))
    }

    fn lives<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<Vec<Life>, CacheError>> {
        Box::pin(self.ttls(keys))
    }
}

impl Cache for RedisCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(self.unlink(keys))
    }

    /// Asks for what is needed of it. A replica, or a user without the right to it, would answer PING as if all were well.
    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(async { self.unlink(&[CopyKey(NO_COPY.to_owned())]).await.map(drop) })
    }

    fn inspect(&self) -> Option<&dyn Inspect> {
        Some(self)
    }
}

impl From<PoolError> for CacheError {
    fn from(error: PoolError) -> Self {
        Self(error.to_string())
    }
}
