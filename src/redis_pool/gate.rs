//! Keeps an unknown server from being used: each new connection says whom it leads to, before it is used for anything.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use deadpool::managed::{self, Metrics, RecycleError};
use deadpool_redis::{
    Manager,
    redis::{RedisError, aio::MultiplexedConnection},
};
use tokio::sync::Notify;

use super::{
    code,
    server::{Info, Server},
};

/// What is known of the server behind a pool. It is closed from when another one answers until that one is accepted.
#[derive(Default)]
pub(crate) struct Gate {
    /// The server that may be used; the first that is ever met.
    accepted: Mutex<Option<Server>>,
    closed: AtomicBool,
    suspected: Notify,
}

impl Gate {
    pub(crate) fn lets_through(&self, server: &Server) -> bool {
        !self.is_closed() && self.lock().as_ref() == Some(server)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn accept(&self, server: &Server) {
        let mut accepted = self.lock();
        *accepted = Some(server.clone());
        self.closed.store(false, Ordering::Release);
    }

    /// Something is odd: whoever looks after the server is to look at once.
    pub(crate) fn suspect(&self) {
        self.suspected.notify_one();
    }

    pub(crate) async fn suspected(&self) {
        self.suspected.notified().await;
    }

    pub(crate) fn met(&self, server: &Server) {
        let mut accepted = self.lock();
        let known = accepted.as_ref().is_some_and(Server::is_known);
        if !known {
            *accepted = Some(server.clone());
        } else if accepted.as_ref() != Some(server) {
            self.closed.store(true, Ordering::Release);
            self.suspect();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Server>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, and whom it leads to.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) server: Server,
}

/// Makes links.
pub(super) struct Linker {
    pub(super) connections: Manager,
    pub(super) gate: Arc<Gate>,
}

impl managed::Manager for Linker {
    type Type = Link;
    type Error = RedisError;

    async fn create(&self) -> Result<Link, RedisError> {
        let mut connection = self.connections.create().await?;
        let info = info(&mut connection).await?;
        self.gate.met(&info.server);
        Ok(Link { connection, server: info.server })
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> managed::RecycleResult<RedisError> {
        if !self.gate.is_closed() && !self.gate.lets_through(&link.server) {
            return Err(RecycleError::message("it leads to another server"));
        }
        self.connections.recycle(&mut link.connection, metrics).await
    }
}

/// Asks a server which it is. One that refuses to say is unknown; what else it answers is its condition.
pub(super) async fn info(connection: &mut MultiplexedConnection) -> Result<Info, RedisError> {
    let asked: Result<String, RedisError> = deadpool_redis::redis::cmd("INFO").query_async(connection).await;
    match asked {
        Ok(text) => Ok(Info::parse(&text)),
        Err(error) if code(&error).is_some_and(|code| code == "NOPERM" || code == "ERR") => {
            Ok(Info { may_lose_the_last: true, ..Info::default() })
        }
        Err(error) => Err(error),
    }
}
