//! Connections to one Redis, shared by what talks to it.

use std::time::Duration;

use deadpool_redis::{
    Manager, Pool, PoolError as GetError, Runtime,
    redis::{self, AsyncConnectionConfig, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind},
};

/// A bounded set of connections, made when they are needed and checked when they are taken.
#[derive(Clone)]
pub struct RedisPool {
    pool: Pool,
}

/// Why a Redis could not be asked. None of it holds a key, an argument or a URL: those may hold secrets.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolError {
    /// Not reached, or it went away, or it took too long.
    #[error("{0}")]
    Unavailable(String),
    /// It answered with an error of this code.
    #[error("{0}")]
    Refused(String),
    /// It does not know a script (any more).
    #[error("NOSCRIPT")]
    NoScript,
}

/// The URL names no Redis. It is not repeated, for it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a Redis URL: write redis://[user:password@]host[:port][/database]")]
pub struct BadUrl;

impl RedisPool {
    /// At most `size` connections to the Redis at `url`; each wait (for a place, a connection, an answer) is bounded
    /// by `timeout`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`BadUrl`] where `url` is not one.
    pub fn new(url: &str, size: usize, timeout: Duration) -> Result<Self, BadUrl> {
        let timeout = Some(timeout);
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
        let manager = Manager::new_with_config(url, config).map_err(|_| BadUrl)?;
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(timeout)
            .create_timeout(timeout)
            .recycle_timeout(timeout)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| BadUrl)?;
        Ok(Self { pool })
    }

    /// Sends a pipeline in one round trip.
    ///
    /// # Errors
    /// The first error of any of its commands; those behind it may have been carried out all the same.
    pub async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, PoolError> {
        let mut connection = self.pool.get().await?;
        Ok(pipeline.query_async(&mut connection).await?)
    }

    /// Asks whether the Redis answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), PoolError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").ignore();
        self.query(&pipeline).await
    }

    /// Connections there are, and those that are idle.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }
}

impl From<GetError> for PoolError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Backend(error) => error.into(),
            GetError::Timeout(_) => Self::Unavailable("timed out waiting for a connection".to_owned()),
            _ => Self::Unavailable("no connection to be had".to_owned()),
        }
    }
}

impl From<RedisError> for PoolError {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            // An I/O error speaks of the connection alone. What a server answers may repeat arguments.
            ErrorKind::Io => Self::Unavailable(error.to_string()),
            _ => match code(&error) {
                Some(code) => Self::Refused(code),
                None => Self::Unavailable(error.category().to_owned()),
            },
        }
    }
}

/// The first word of what a server has answered, `OOM` for one. A pipeline has an answer for each command that failed.
fn code(error: &RedisError) -> Option<String> {
    let first_of_pipeline = || Some(error.clone().into_server_errors()?.first()?.1.code().to_owned());
    error.code().map(str::to_owned).or_else(first_of_pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_being_repeated() {
        let error = RedisPool::new("http://user:hunter2@host", 1, Duration::from_secs(1)).err();
        assert_eq!(error, Some(BadUrl));
        assert!(!BadUrl.to_string().contains("hunter2"));
    }

    #[test]
    fn what_a_server_says_of_arguments_is_not_repeated() {
        let said = redis::make_extension_error(
            "ERR".to_owned(),
            Some(
                "unknown command 'UNLINK', with args beginning with: '/posts/42?access_token=tok-a'"
                    .to_owned(),
            ),
        );
        assert!(!PoolError::from(said).to_string().contains("tok-a"));
    }
}
