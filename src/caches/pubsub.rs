//! Copies in the memory of processes that listen on a Redis channel.
//!
//! A message is a JSON array of keys, as the API uses them, or `null`: everything. A removal is done when Redis has taken the
//! message. Who does not listen at that moment misses it: whoever subscribes, or subscribes again, begins with nothing.

use deadpool_redis::redis;
use futures_util::future::BoxFuture;

use super::{Cache, CacheError, CopyKey};
use crate::redis_pool::RedisPool;

/// Keys in one message: a subscriber is done with it in a moment, and Redis with its copies of it for all of them.
const KEYS_PER_MESSAGE: usize = 128;

/// What a message says that means everything.
const EVERYTHING: &str = "null";

/// What a message says that only shows that the connection lives.
const NOTHING: &str = "[]";

/// A channel that in-process caches listen on.
pub struct PubsubCache {
    name: String,
    pool: RedisPool,
    channel: String,
    key_prefix: String,
}

impl PubsubCache {
    /// The caches that listen on `channel` of the Redis behind `pool`, where every key begins with `key_prefix`.
    pub fn new(name: String, pool: RedisPool, channel: String, key_prefix: String) -> Self {
        Self { name, pool, channel, key_prefix }
    }

    /// Publishes keys. Returns how many of them somebody has heard of.
    async fn publish(&self, keys: &[CopyKey]) -> Result<usize, CacheError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut pipeline = redis::pipe();
        for chunk in keys.chunks(KEYS_PER_MESSAGE) {
            let keys: Vec<String> =
                chunk.iter().map(|CopyKey(key)| format!("{}{key}", self.key_prefix)).collect();
            let message =
                serde_json::to_string(&keys).map_err(|_| CacheError("no message can be made".to_owned()))?;
            pipeline.cmd("PUBLISH").arg(&self.channel).arg(message);
        }
        let heard: Vec<u64> = self.pool.query(&pipeline).await?;
        Ok(keys
            .chunks(KEYS_PER_MESSAGE)
            .zip(heard)
            .filter(|(_, by)| *by > 0)
            .map(|(keys, _)| keys.len())
            .sum())
    }

    async fn publish_everything(&self) -> Result<(), CacheError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PUBLISH").arg(&self.channel).arg(EVERYTHING).ignore();
        Ok(self.pool.query::<()>(&pipeline).await?)
    }

    /// Publishes an empty list, which takes the right to publish on the channel, and settles which server is meant: what is
    /// published leaves nothing behind, so any that is no replica will do.
    async fn look(&self) -> Result<(), CacheError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PUBLISH").arg(&self.channel).arg(NOTHING).ignore();
        let (info, ()) = self.pool.look(&pipeline).await?;
        self.pool.accept(&info.server);
        Ok(())
    }
}

impl Cache for PubsubCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(self.publish(keys))
    }

    fn purge_all(&self) -> Option<BoxFuture<'_, Result<(), CacheError>>> {
        Some(Box::pin(self.publish_everything()))
    }

    /// Publishes an empty list: what a subscriber can go by to know that its connection lives.
    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(self.look())
    }
}
