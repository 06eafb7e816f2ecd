//! Copies in a Redis: removed with UNLINK, many keys a command, several commands a round trip.

use deadpool_redis::redis;
use futures_util::future::BoxFuture;

use super::{Cache, CacheError, CopyKey};
use crate::redis_pool::{PoolError, RedisPool};

/// Keys that one command removes; the Redis serves other clients between two commands.
const KEYS_PER_COMMAND: usize = 128;

/// What a ping removes: no copy has this key, for those of a resource hold a token.
const NO_COPY: &str = "decache:ping";

/// A Redis with the API's cached responses.
pub struct RedisCache {
    name: String,
    pool: RedisPool,
    key_prefix: String,
}

impl RedisCache {
    /// The cache behind `pool`, where every key begins with `key_prefix`.
    pub fn new(name: String, pool: RedisPool, key_prefix: String) -> Self {
        Self { name, pool, key_prefix }
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
}

impl From<PoolError> for CacheError {
    fn from(error: PoolError) -> Self {
        Self(error.to_string())
    }
}
