//! Cached responses, one per user and post: in Redis, and in front of it in this process's memory, where there is one.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{
    Connection, Manager, Pool, PoolError, Runtime,
    redis::{AsyncConnectionConfig, RedisError, Script, cmd, pipe},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    events::{EpochMillis, User},
    memory::Memory,
};

/// How long Redis may take: a cache that is slower than this is slower than the database.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// Raises a copy's life from provisional to full, if it is still the copy that this process wrote. What it adds is the
/// difference of the two lives, so that the copy ends `full` after it was *written*, by Redis's own clock: counted
/// from the 202 it would outlive what `expires_in` promised, by as long as decache took to answer.
/// One try per copy: a second one would add the difference again.
const RAISE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]) + tonumber(ARGV[2]))
";

/// How long copies live.
#[derive(Clone, Copy)]
pub(crate) struct Lives {
    /// Once decache has accepted the event of the read.
    pub(crate) full: Duration,
    /// Until then. If this process dies in between, the copy that nobody knows of is gone after this long.
    pub(crate) provisional: Duration,
}

/// A cached response, and what has to be known of it later.
#[derive(Serialize, Deserialize)]
pub(crate) struct Copy {
    /// Tells this copy from any other, even of the same millisecond with the same response.
    id: String,
    /// When the read that made it began, before it looked in the database. Whoever hits this copy has *this* age.
    pub(crate) read_at: EpochMillis,
    /// What the user gets.
    pub(crate) response: Value,
}

impl Copy {
    /// A response that is about to be cached, made by a read that began at `read_at`.
    pub(crate) fn new(read_at: EpochMillis, response: Value) -> Self {
        Self { id: uuid::Uuid::now_v7().to_string(), read_at, response }
    }
}

/// The cache.
pub(crate) struct Copies {
    pool: Pool,
    pub(crate) lives: Lives,
    raise: Script,
    memory: Option<Arc<Memory>>,
}

/// A copy, and where it was found.
pub(crate) enum Found {
    /// What the user gets, from this process's memory.
    InMemory(Value),
    InRedis(Copy),
}

/// A copy that stands in the cache with its provisional life.
pub(crate) struct Provisional {
    key: String,
    value: String,
}

/// Why the cache did not do it. Redis's own words may quote a key, and so a token: only their kind is kept.
#[derive(Debug, thiserror::Error)]
#[error("cache: {0}")]
pub(crate) struct CacheError(String);

impl Copies {
    /// A cache in the Redis at `url`. Nothing is connected yet.
    pub(crate) fn connect(url: &str, lives: Lives, memory: Option<Arc<Memory>>) -> anyhow::Result<Self> {
        let timeouts = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let manager = Manager::new_with_config(url, timeouts)?;
        let pool = Pool::builder(manager).wait_timeout(Some(TIMEOUT)).runtime(Runtime::Tokio1).build()?;
        Ok(Self { pool, lives, raise: Script::new(RAISE), memory })
    }

    /// The user's copy, where there is one. What is found in Redis is kept in memory for as long as it has yet to live.
    pub(crate) async fn get(&self, post: u64, user: &User) -> Result<Option<Found>, CacheError> {
        let key = key(post, user);
        let Some(memory) = &self.memory else {
            return Ok(self.fetch(&key).await?.map(|(copy, _)| Found::InRedis(copy)));
        };
        if let Some(response) = memory.get(&key) {
            return Ok(Some(Found::InMemory(response)));
        }
        let ticket = memory.ticket(&key);
        let Some((copy, left)) = self.fetch(&key).await? else { return Ok(None) };
        memory.keep(&ticket, key, copy.response.clone(), left);
        Ok(Some(Found::InRedis(copy)))
    }

    /// The copy in Redis, and how long it has yet to live. Both at once: the life of a newer copy says nothing of this one.
    async fn fetch(&self, key: &str) -> Result<Option<(Copy, Duration)>, CacheError> {
        let mut redis = self.connection().await?;
        let mut both = pipe();
        both.atomic().cmd("GET").arg(key).cmd("PTTL").arg(key);
        let (value, left): (Option<String>, i64) = both.query_async(&mut redis).await?;
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        Ok(value.and_then(|value| Some((serde_json::from_str(&value).ok()?, left))))
    }

    /// Writes a copy with its provisional life. After an error it may stand there all the same, with that life and no
    /// event: gone before long, like the copy of a process that died.
    pub(crate) async fn write(&self, post: u64, user: &User, copy: &Copy) -> Result<Provisional, CacheError> {
        let written = Provisional {
            key: key(post, user),
            value: serde_json::to_string(copy).map_err(|error| CacheError(error.to_string()))?,
        };
        let mut redis = self.connection().await?;
        let mut set = cmd("SET");
        set.arg(&written.key).arg(&written.value).arg("EX").arg(self.lives.provisional.as_secs());
        set.query_async::<()>(&mut redis).await?;
        Ok(written)
    }

    /// Gives a copy its full life, now that decache knows of it; one that was removed or replaced meanwhile is left
    /// alone. If it fails, the copy just ends early.
    pub(crate) async fn raise(&self, copy: &Provisional) -> Result<(), CacheError> {
        let mut redis = self.connection().await?;
        let more = (self.lives.full - self.lives.provisional).as_millis();
        let mut raise = self.raise.key(&copy.key);
        raise.arg(&copy.value).arg(u64::try_from(more).unwrap_or(u64::MAX));
        raise.invoke_async::<i64>(&mut redis).await?;
        Ok(())
    }

    async fn connection(&self) -> Result<Connection, CacheError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => CacheError("no connection in time".to_owned()),
            other => CacheError(other.to_string()),
        })
    }
}

impl From<RedisError> for CacheError {
    fn from(error: RedisError) -> Self {
        Self(error.category().to_owned())
    }
}

/// Where a user's copy of a post stands. decache is configured with the same words, as a template:
/// `/posts/{entity_id}?access_token={access_token}`.
fn key(post: u64, user: &User) -> String {
    format!("/posts/{post}?access_token={}", user.token)
}
