//! Connections to one Redis, shared by what talks to it.

use std::time::Duration;

use deadpool_redis::{
    Manager, Pool, PoolError as GetError, Runtime,
    redis::{
        self, AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionInfo, ErrorKind, FromRedisValue,
        IntoConnectionInfo, Pipeline, RedisError, RedisResult, ServerErrorKind, TlsCertificates,
    },
};

use crate::tls::{self, ClientTls};

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
#[error(
    "not a Redis URL: write redis://[user:password@]host[:port][/database], or the same with rediss:// for TLS"
)]
pub struct BadUrl;

impl RedisPool {
    /// At most `size` connections to the Redis at `url`; each wait (for a place, a connection, an answer) is bounded
    /// by `timeout`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`BadUrl`] where `url` is not one.
    pub fn new(url: &str, size: usize, timeout: Duration) -> Result<Self, BadUrl> {
        Self::with_tls(url, &ClientTls::default(), size, timeout)
    }

    /// The same, with other authorities than the system's, or with an identity of our own, where `url` asks for TLS.
    ///
    /// # Errors
    /// [`BadUrl`] where `url` is not one, or does not ask for TLS where `tls` is to matter.
    pub fn with_tls(url: &str, tls: &ClientTls, size: usize, timeout: Duration) -> Result<Self, BadUrl> {
        let server = server(url, tls).map_err(|_| BadUrl)?;
        let timeout = Some(timeout);
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
        let manager = Manager::new_with_config(server, config).map_err(|_| BadUrl)?;
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

fn server(url: &str, tls: &ClientTls) -> RedisResult<ConnectionInfo> {
    tls::install_algorithms();
    let server = url.into_connection_info()?;
    if *tls == ClientTls::default() {
        return Ok(server);
    }
    let certificates = TlsCertificates {
        client_tls: tls.identity.as_ref().map(|identity| ClientTlsConfig {
            client_cert: identity.chain().into(),
            client_key: identity.expose_key().into(),
        }),
        root_cert: tls.authorities.as_ref().map(|authorities| authorities.pem().into()),
    };
    Ok(Client::build_with_tls(server, certificates)?.get_connection_info().clone())
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
            _ => match error.code() {
                Some(code) => Self::Refused(code.to_owned()),
                None => Self::Unavailable(error.category().to_owned()),
            },
        }
    }
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
