//! Keeps an unknown server from being used: each new connection says whom it leads to, before it is used for anything.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{self, Metrics, RecycleError};
use deadpool_redis::{
    Manager,
    redis::{ErrorKind, RedisError, aio::MultiplexedConnection},
};
use tokio::sync::Notify;

use super::{
    code,
    sentinels::{Address, Sentinels},
    server::{Info, Server},
};

/// What is known of the server behind a pool. It is closed from when another one answers until that one is accepted.
#[derive(Default)]
pub(crate) struct Gate {
    /// The server that may be used. Until one was accepted it is the last that was met: before the first look nothing counts, and
    /// whoever is to make that look may first have something to ask.
    accepted: Mutex<Option<Server>>,
    was_accepted: AtomicBool,
    closed: AtomicBool,
    /// Counts servers that took the place of one that was used.
    epoch: AtomicU64,
    suspected: Notify,
}

impl Gate {
    pub(crate) fn lets_through(&self, server: &Server) -> bool {
        !self.is_closed() && self.lock().as_ref() == Some(server)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Which of the servers it is that is used, where it says who it is.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let is_known = self.lock().as_ref().is_some_and(Server::is_known);
        is_known.then(|| self.epoch.load(Ordering::Acquire))
    }

    pub(crate) fn accept(&self, server: &Server) {
        let mut accepted = self.lock();
        self.replace(&mut accepted, server);
        self.was_accepted.store(true, Ordering::Release);
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
        if !known || !self.was_accepted.load(Ordering::Acquire) {
            self.replace(&mut accepted, server);
        } else if accepted.as_ref() != Some(server) {
            self.closed.store(true, Ordering::Release);
            self.suspect();
        }
    }

    fn replace(&self, accepted: &mut Option<Server>, server: &Server) {
        if accepted.replace(server.clone()).is_some_and(|before| before != *server) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Server>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that was used so recently is used again without asking whether it is still there, which would cost a round trip.
/// One that has gone since costs its query an attempt.
const UNASKED: Duration = Duration::from_secs(1);

/// A connection, and whom it leads to.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) server: Server,
    /// Where it is, where sentinels have said that.
    at: Option<Address>,
}

/// Makes links.
pub(super) struct Linker {
    pub(super) connections: Manager,
    pub(super) sentinels: Option<Arc<Sentinels>>,
    pub(super) gate: Arc<Gate>,
}

impl managed::Manager for Linker {
    type Type = Link;
    type Error = RedisError;

    async fn create(&self) -> Result<Link, RedisError> {
        let (mut connection, at) = match &self.sentinels {
            None => (self.connections.create().await?, None),
            Some(sentinels) => {
                let (connection, at) = sentinels.connect().await?;
                (connection, Some(at))
            }
        };
        let info = info(&mut connection).await?;
        if at.is_some() && info.is_replica {
            // It is to become the primary, or has ceased to be it.
            return Err((ErrorKind::Io, "the server that the sentinels name is a replica").into());
        }
        self.gate.met(&info.server);
        Ok(Link { connection, server: info.server, at })
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> managed::RecycleResult<RedisError> {
        if !self.gate.is_closed() && !self.gate.lets_through(&link.server) {
            return Err(RecycleError::message("it leads to another server"));
        }
        if let (Some(sentinels), Some(at)) = (&self.sentinels, &link.at)
            && !sentinels.is_named(at)
        {
            return Err(RecycleError::message("the sentinels name another server"));
        }
        if metrics.last_used() < UNASKED {
            return Ok(());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn server(run_id: &str) -> Server {
        Info::parse(&format!("run_id:{run_id}\r\nmaster_replid:data\r\n")).server
    }

    #[test]
    fn another_server_is_not_used_until_it_is_accepted() {
        let (gate, one, other) = (Gate::default(), server("one"), server("other"));
        gate.accept(&one);
        gate.met(&other);
        assert!(gate.is_closed() && !gate.lets_through(&other) && !gate.lets_through(&one));
        gate.accept(&other);
        assert!(gate.lets_through(&other) && !gate.lets_through(&one));
    }

    #[test]
    fn each_server_that_takes_the_place_of_another_begins_an_epoch() {
        let (gate, one, other) = (Gate::default(), server("one"), server("other"));
        assert_eq!(gate.epoch(), None);
        gate.met(&one);
        let first = gate.epoch();
        gate.accept(&one);
        assert!(first.is_some() && gate.epoch() == first);
        gate.met(&other);
        assert_eq!(gate.epoch(), first, "the other one is not used yet");
        gate.accept(&other);
        assert_ne!(gate.epoch(), first);
        gate.accept(&Server::default());
        assert_eq!(gate.epoch(), None, "it does not say who it is");
    }

    #[test]
    fn a_server_that_takes_over_before_any_was_looked_at_can_be_asked_to_be_ours() {
        let (gate, one, other) = (Gate::default(), server("one"), server("other"));
        gate.met(&one);
        assert!(gate.lets_through(&one));
        gate.met(&other);
        assert!(gate.lets_through(&other) && !gate.lets_through(&one));
    }
}
