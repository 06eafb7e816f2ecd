//! Asks a running service whether it is ready, for `decache healthcheck`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::tls;

/// How long a probe waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens there.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// Whoever listens there does not speak TLS, or went away.
    #[error("no TLS handshake with {0}: {1}")]
    Tls(SocketAddr, io::Error),
    /// Whoever listens there does not speak HTTP, or went away.
    #[error("no HTTP answer from {0}: {1}")]
    Http(SocketAddr, hyper::Error),
    /// It took too long.
    #[error("no answer from {0} within {PATIENCE:?}")]
    Timeout(SocketAddr),
}

/// The status of `GET /readyz` at the address that the service is bound to.
///
/// # Errors
/// [`ProbeError`] where there is no answer.
pub async fn probe(bound: SocketAddr) -> Result<StatusCode, ProbeError> {
    let address = reachable(bound);
    let asked = async { ask(address, connect(address).await?).await };
    timeout(PATIENCE, asked).await.unwrap_or(Err(ProbeError::Timeout(address)))
}

/// The same of a service that speaks TLS, whatever certificate it shows.
///
/// # Errors
/// [`ProbeError`] where there is no answer.
pub async fn probe_over_tls(bound: SocketAddr) -> Result<StatusCode, ProbeError> {
    let address = reachable(bound);
    let asked = async {
        let encrypted = tls::connect_to_ourselves(connect(address).await?).await;
        ask(address, encrypted.map_err(|error| ProbeError::Tls(address, error))?).await
    };
    timeout(PATIENCE, asked).await.unwrap_or(Err(ProbeError::Timeout(address)))
}

/// A service that is bound to every address is asked on the loopback one.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeError> {
    TcpStream::connect(address).await.map_err(|error| ProbeError::Connect(address, error))
}

async fn ask(
    address: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<StatusCode, ProbeError> {
    let http = |error| ProbeError::Http(address, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from_static("/readyz");
    if let Ok(host) = address.to_string().try_into() {
        request.headers_mut().insert(header::HOST, host);
    }
    // The answer comes only while the connection is driven; it is dropped with the answer.
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer.map_err(http)?.status()),
        Err(error) = connection => Err(http(error)),
    }
}
