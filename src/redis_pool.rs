//! Connections to one Redis, shared by what talks to it.

use std::{sync::Arc, time::Duration};

use deadpool::managed::{Object, Pool};
use deadpool_redis::{
    Manager, Runtime,
    redis::{
        Arg, AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionInfo, ErrorKind, FromRedisValue,
        IntoConnectionInfo, Pipeline, RedisError, RedisResult, ServerErrorKind, TlsCertificates,
    },
};

mod gate;
mod pulse;
mod sentinels;
mod server;

#[cfg(test)]
pub(crate) use gate::Gate;
#[cfg(not(test))]
use gate::Gate;
use gate::Linker;
pub use pulse::{Found, Pulse, Watched};
use sentinels::Sentinels;
pub use server::{Info, Server};

use crate::{
    config::{redis_url::RedisUrl, sentinel::SentinelConfig},
    tls::{self, ClientTls},
    trace::{self, Attribute},
};

type GetError = deadpool::managed::PoolError<RedisError>;

/// A bounded set of connections, made when they are needed and checked when they are taken. They lead to one server: where
/// another one answers, nothing is asked of it until it is accepted ([`RedisPool::look`], [`RedisPool::accept`]).
#[derive(Clone)]
pub struct RedisPool {
    pool: Pool<Linker>,
    sentinels: Option<Arc<Sentinels>>,
    gate: Arc<Gate>,
    timeout: Duration,
}

/// Why a Redis could not be asked. None of it holds a key, an argument or a URL: those may hold secrets.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolError {
    /// Not reached, or it went away, or it took too long, or it answers everybody that it cannot now.
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
    /// At most `size` connections to the Redis at `url`. A query, the wait for a connection included, is given up after
    /// `timeout`. Nothing is connected yet.
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
        Self::leading_to(server(url, tls).map_err(|_| BadUrl)?, None, size, timeout)
    }

    /// The same, where sentinels tell where the server is. All but host and port of `url` holds.
    ///
    /// # Errors
    /// [`BadUrl`] where one is none.
    pub fn by_sentinels(
        by: &SentinelConfig,
        url: &str,
        tls: &ClientTls,
        size: usize,
        timeout: Duration,
    ) -> Result<Self, BadUrl> {
        let server_at = |url: &str, tls: &ClientTls| server(url, tls).map_err(|_| BadUrl);
        let server = server_at(url, tls)?;
        let none = ClientTls::default();
        let sentinel = |at: &RedisUrl| server_at(at.expose(), if at.is_encrypted() { tls } else { &none });
        let urls = by.urls.iter().map(sentinel).collect::<Result<_, _>>()?;
        let sentinels = Sentinels::new(urls, &by.master, server.clone(), timeout).map_err(|_| BadUrl)?;
        Self::leading_to(server, Some(Arc::new(sentinels)), size, timeout)
    }

    fn leading_to(
        server: ConnectionInfo,
        sentinels: Option<Arc<Sentinels>>,
        size: usize,
        timeout: Duration,
    ) -> Result<Self, BadUrl> {
        let limit = Some(timeout);
        let config = AsyncConnectionConfig::new().set_connection_timeout(limit).set_response_timeout(limit);
        let manager = Manager::new_with_config(server, config).map_err(|_| BadUrl)?;
        let gate = Arc::new(Gate::default());
        let pool =
            Pool::builder(Linker { connections: manager, sentinels: sentinels.clone(), gate: gate.clone() })
                .max_size(size)
                .wait_timeout(limit)
                .create_timeout(limit)
                .recycle_timeout(limit)
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|_| BadUrl)?;
        Ok(Self { pool, sentinels, gate, timeout })
    }

    /// Sends a pipeline in one round trip.
    ///
    /// # Errors
    /// The first error of any of its commands; those behind it may have been carried out all the same.
    pub async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, PoolError> {
        let query = async {
            if self.gate.is_closed() {
                return Err(another());
            }
            let mut link = self.pool.get().await?;
            if !self.gate.lets_through(&link.server) {
                return Err(another());
            }
            let answer: Result<T, PoolError> =
                pipeline.query_async(&mut link.connection).await.map_err(Into::into);
            if let Err(PoolError::Unavailable(_)) = answer {
                // Not back into the pool, where each of them would cost the next query its time.
                drop(Object::take(link));
            }
            answer
        };
        let span = trace::of_call(|| command_of(pipeline)).map(|span| {
            let commands = i64::try_from(pipeline.len()).unwrap_or(i64::MAX);
            let span = span.with("db.system.name", Attribute::Text("redis".into()));
            span.with("db.operation.batch.size", Attribute::Number(commands))
        });
        // The pool's own limits are for each of its steps, and it may take as many as it has connections.
        let answer = tokio::time::timeout(self.timeout, query).await.unwrap_or_else(|_| Err(timed_out()));
        if let Some(span) = span {
            span.end(answer.is_err());
        }
        answer
    }

    /// Sends a pipeline to whichever server answers now, accepted or not, and asks it who it is.
    ///
    /// # Errors
    /// As [`RedisPool::query`]; `READONLY` where it follows another server.
    pub async fn look<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<(Info, T), PoolError> {
        let look = async {
            if let Some(sentinels) = &self.sentinels {
                // The server may be well while they are away.
                sentinels.ask().await.ok();
            }
            if self.gate.is_closed() {
                // Connections that are open may still lead to the server of before.
                self.pool.retain(|_, _| false);
            }
            let mut link = self.pool.get().await?;
            let answer = async {
                let info = gate::info(&mut link.connection).await?;
                if info.is_replica {
                    return Err(PoolError::Unavailable("READONLY".to_owned()));
                }
                link.server = info.server.clone();
                Ok((info, pipeline.query_async(&mut link.connection).await?))
            };
            let answer = answer.await;
            if let Err(PoolError::Unavailable(_)) = answer {
                drop(Object::take(link));
            }
            answer
        };
        tokio::time::timeout(self.timeout, look).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// From here on this server is asked, and no other.
    pub fn accept(&self, server: &Server) {
        self.gate.accept(server);
    }

    /// Changes with each server that takes the place of one that was used; `None` where it does not say who it is.
    pub fn epoch(&self) -> Option<u64> {
        self.gate.epoch()
    }

    /// What was found gives cause to look at the server at once.
    pub fn suspect(&self) {
        self.gate.suspect();
    }

    /// Waits until there is cause to look at the server.
    pub async fn suspected(&self) {
        self.gate.suspected().await;
    }

    /// Connections there are, and those that are idle.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }
}

/// The first command of a pipeline, without what it is asked with.
fn command_of(pipeline: &Pipeline) -> String {
    let name = pipeline.cmd_iter().next().and_then(|command| command.args_iter().next());
    match name {
        Some(Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => "PIPELINE".to_owned(),
    }
}

fn timed_out() -> PoolError {
    PoolError::Unavailable("timed out".to_owned())
}

fn another() -> PoolError {
    PoolError::Unavailable("another server answers, which is being looked at".to_owned())
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
            GetError::Timeout(_) => timed_out(),
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
                Some(code) if OF_THE_SERVER.contains(&&*code) => Self::Unavailable(code),
                Some(code) => Self::Refused(code),
                None => Self::Unavailable(error.category().to_owned()),
            },
        }
    }
}

/// What a server answers whatever it is asked to write. Some of it stays as long as the connection does: one that leads
/// to a primary that has become a replica, or that was opened under another password, is not to be used again.
const OF_THE_SERVER: [&str; 13] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

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
        let said = deadpool_redis::redis::make_extension_error(
            "ERR".to_owned(),
            Some(
                "unknown command 'UNLINK', with args beginning with: '/posts/42?access_token=tok-a'"
                    .to_owned(),
            ),
        );
        assert!(!PoolError::from(said).to_string().contains("tok-a"));
    }
}
