//! Connections: accepted up to a limit, closed when they are slow, and let finish when the service stops.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Limits;
use crate::tls::Acceptor;

/// How long to wait before accepting again where the process is out of file handles or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where connections come in.
pub struct Listener {
    /// The bound port.
    pub tcp: TcpListener,
    /// Shakes hands first, where TLS is spoken.
    pub tls: Option<Acceptor>,
}

/// Serves connections until `shutdown`, then lets requests in flight finish for up to `limits.drain`. Returns when no
/// connection is left. Not axum's own: that one knows neither a limit of connections nor a deadline.
pub async fn serve(
    Listener { tcp, tls }: Listener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    tasks: &TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(limits.connections as usize));
    while let Some((stream, slot)) = shutdown.run_until_cancelled(accept(&tcp, &slots)).await {
        let connection = connection(stream, tls.clone(), router.clone(), limits, shutdown.clone());
        tasks.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(tcp);
    // A connection gives its slot back when it ends.
    let _ = slots.acquire_many(limits.connections).await;
}

/// The next connection, once there is a slot for it. Until then clients wait in the listener's backlog.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Fails only where the semaphore is closed, and nobody closes it.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection, once hands are shaken where that has to be. Who has not done so by `shutdown` has asked nothing.
async fn connection(
    stream: TcpStream,
    tls: Option<Acceptor>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Answers are small and whole; without it they may wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, router, limits, shutdown).await };
    match shutdown.run_until_cancelled(tls.accept(stream, limits.header_read)).await {
        Some(Ok(stream)) => converse(stream, router, limits, shutdown).await,
        Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        None => {}
    }
}

/// Answers on one connection until it ends, or for `limits.drain` after `shutdown`.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder(&limits).serve_connection(TokioIo::new(stream), service));
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
