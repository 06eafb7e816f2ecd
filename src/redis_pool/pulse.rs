//! A beat: a process raises the time at a key of its own, again and again. After a failover, the beat that is found says how
//! far back the server is: what was confirmed before that time is there, what came after may be lost. A beat that was given up
//! may arrive after later ones: it must not lower what these have written, for that is how a failover is known.

use std::time::Duration;

use deadpool_redis::redis::{self, Pipeline, Value};
use futures_util::future::BoxFuture;

use super::{Info, PoolError, RedisPool, Server};
use crate::clock::Timestamp;

/// How long a beat stays of a process that has ended.
const OUTLIVES: Duration = Duration::from_secs(30 * 24 * 3600);

/// The one member of a beat's sorted set; its score is the time.
const AT: &str = "at";

/// Beats on one server, and what a look at it finds.
#[derive(Clone)]
pub struct Pulse {
    pool: RedisPool,
    key: String,
    marker: Option<String>,
}

/// What a look found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// What the server says of itself.
    pub info: Info,
    /// The last beat that it has of this process.
    pub beat: Option<Timestamp>,
    /// The time by its clock; `None` where it does not say.
    pub time: Option<Timestamp>,
    /// Whether it is a cache that holds nothing.
    pub is_empty: bool,
    /// What stands under the marker's key.
    pub marker: Option<String>,
}

/// A server that is looked after.
pub trait Watched: Send + Sync {
    /// Looks at whichever server answers now.
    ///
    /// # Errors
    /// As [`RedisPool::look`].
    fn look(&self) -> BoxFuture<'_, Result<Found, PoolError>>;

    /// Writes a beat to the server that was accepted: where a later one stands there, only if it is to be `replaced`.
    ///
    /// # Errors
    /// As [`RedisPool::query`].
    fn beat(&self, at: Timestamp, replaced: bool) -> BoxFuture<'_, Result<(), PoolError>>;

    /// From here on this server is asked, and no other.
    fn accept(&self, server: &Server);

    /// Waits until there is cause to look at the server.
    fn suspected(&self) -> BoxFuture<'_, ()>;
}

impl Pulse {
    /// A process's own `key` on the server behind `pool`, and the store's marker, where it is one.
    pub fn new(pool: RedisPool, key: String, marker: Option<String>) -> Self {
        Self { pool, key, marker }
    }

    async fn found(&self) -> Result<Found, PoolError> {
        type Answers = (Option<f64>, (u64, u64), Option<String>);
        let is_store = self.marker.is_some();
        match self.pool.look::<Answers>(&self.questions()).await {
            Ok((info, (beat, (seconds, micros), last))) => Ok(Found {
                info,
                beat: beat.and_then(millis),
                time: Some(Timestamp(seconds * 1000 + micros / 1000)),
                is_empty: !is_store && last.as_deref() == Some("0"),
                marker: last.filter(|_| is_store),
            }),
            // A cache may let us do no more than delete. A store's marker has to be seen.
            Err(PoolError::Refused(_)) if !is_store => {
                let mut ping = redis::pipe();
                ping.cmd("PING");
                let (info, _) = self.pool.look::<Vec<Value>>(&ping).await?;
                Ok(Found { info, ..Found::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Of a store the marker is asked for, of a cache how many keys it has.
    fn questions(&self) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZSCORE").arg(&self.key).arg(AT).cmd("TIME");
        match &self.marker {
            Some(marker) => pipeline.cmd("GET").arg(marker),
            None => pipeline.cmd("DBSIZE"),
        };
        pipeline
    }
}

impl Watched for Pulse {
    fn look(&self) -> BoxFuture<'_, Result<Found, PoolError>> {
        Box::pin(self.found())
    }

    fn beat(&self, at: Timestamp, replaced: bool) -> BoxFuture<'_, Result<(), PoolError>> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            let raise = pipeline.cmd("ZADD").arg(&self.key);
            if !replaced {
                raise.arg("GT");
            }
            raise.arg(at.0).arg(AT).ignore();
            pipeline.cmd("EXPIRE").arg(&self.key).arg(OUTLIVES.as_secs()).ignore();
            self.pool.query(&pipeline).await
        })
    }

    fn accept(&self, server: &Server) {
        self.pool.accept(server);
    }

    fn suspected(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.suspected())
    }
}

/// A score as the time that was written; milliseconds are whole in it until the year 287396.
fn millis(score: f64) -> Option<Timestamp> {
    score.to_string().parse().ok().map(Timestamp)
}
