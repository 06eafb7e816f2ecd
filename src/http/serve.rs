//! Connections: accepted up to a limit, closed when they are slow, and let finish when the service stops.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Limits,
    connections::{Connections, Slot},
    console::Peer,
    guard::Guard,
    transport::Transport,
};
use crate::{current::Current, tls::Acceptor};

/// How long to wait before accepting again where the process is out of file handles or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where connections come in.
pub struct Listener {
    /// The bound port.
    pub tcp: TcpListener,
    /// Shakes hands first, where TLS is spoken.
    pub tls: Option<Acceptor>,
}

/// Serves connections until `shutdown`, each request by the router that is there when it comes; then lets requests in flight finish for up to `limits.drain`. Returns when no
/// connection is left. Not axum's own: that one knows neither a limit of connections nor a deadline.
pub async fn serve(
    Listener { tcp, tls }: Listener,
    router: Arc<Current<Router>>,
    limits: Limits,
    shutdown: CancellationToken,
    tasks: &TaskTracker,
) {
    let connections = Connections::new(limits.connections);
    while let Some((stream, slot)) = shutdown.run_until_cancelled(accept(&tcp, &connections)).await {
        tasks.spawn(connection((stream, tls.clone()), slot, router.clone(), limits, shutdown.clone()));
    }
    drop(tcp);
    connections.ended().await;
}

/// The next connection, in its slot. While it waits for that, others wait in the listener's backlog.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>) -> (TcpStream, Slot) {
    let mut failed = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, connections.take().await),
            Err(error) => {
                not_accepted(&error, &mut failed);
                // It is most often the files that the process may have open.
                connections.make_room();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Said once, and not again before a connection could be accepted.
fn not_accepted(error: &io::Error, failed: &mut bool) {
    if !std::mem::replace(failed, true) {
        tracing::warn!(%error, "a connection could not be accepted");
    }
}

/// Serves one connection until it ends, or has to make room for another: while hands are shaken, too, where that has to be.
async fn connection(
    (stream, tls): (TcpStream, Option<Acceptor>),
    slot: Slot,
    router: Arc<Current<Router>>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Answers are small and whole; without it they may wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip().to_canonical()));
    let router = (router, peer);
    let converse = async {
        let Some(tls) = tls else { return converse(stream, &slot, router, &limits, &shutdown).await };
        // Who has not shaken hands by `shutdown` has asked nothing.
        match shutdown.run_until_cancelled(tls.accept(stream, limits.header_read)).await {
            Some(Ok(stream)) => converse(stream, &slot, router, &limits, &shutdown).await,
            Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            None => {}
        }
    };
    tokio::select! {
        biased;
        () = slot.usage().evicted() => tracing::debug!("a connection makes room for another"),
        () = converse => {}
    }
}

/// Answers a connection's requests until it ends, or for `limits.drain` after `shutdown`.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    slot: &Slot,
    (router, peer): (Arc<Current<Router>>, Option<Peer>),
    limits: &Limits,
    shutdown: &CancellationToken,
) {
    let transport = Transport::new(stream, slot.usage().clone(), limits.write);
    let guard = Guard { router, usage: slot.usage().clone(), length_seen: transport.length_seen(), peer };
    let service = TowerToHyperService::new(guard);
    let mut connection = pin!(builder(limits).serve_connection(TokioIo::new(transport), service));
    let ended = match shutdown.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.drain, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes);
    builder
}

#[cfg(test)]
mod tests;
