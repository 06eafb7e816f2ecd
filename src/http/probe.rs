//! Asks a running service something from the same machine: whether it is ready, for `decache healthcheck`, or to do what
//! it alone can.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::prefer::PREFER;
use crate::tls::{self, Identity};

/// How long a probe waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than the longest page of anything. Who listens there need not be decache.
const MOST_ANSWERED: usize = 64 << 20;

/// Why a service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens there.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// Whoever listens there does not speak TLS, or went away.
    #[error("no TLS handshake with {0}: {1}")]
    Tls(SocketAddr, io::Error),
    /// Whoever listens there shows another certificate than the configured one.
    #[error("{0} does not show the certificate in server.tls.cert: was it renewed since the service began?")]
    Certificate(SocketAddr),
    /// Whoever listens there does not speak HTTP, or went away.
    #[error("no HTTP answer from {0}: {1}")]
    Http(SocketAddr, hyper::Error),
    /// It said more than any answer has, or broke off.
    #[error("no whole answer from {0}: {1}")]
    Answer(SocketAddr, Box<dyn std::error::Error + Send + Sync>),
    /// The request cannot be made.
    #[error("cannot ask {0}: {1}")]
    Call(SocketAddr, axum::http::Error),
    /// It took too long.
    #[error("no answer from {0} within {1:?}")]
    Timeout(SocketAddr, Duration),
}

/// The status of `GET /readyz` at the address that the service is bound to.
///
/// # Errors
/// [`ProbeError`] where there is no answer.
pub async fn probe(bound: SocketAddr) -> Result<StatusCode, ProbeError> {
    call(bound, Over::Http, READINESS).await.map(|(status, _)| status)
}

/// The same of a service that speaks TLS, whatever certificate it shows.
///
/// # Errors
/// [`ProbeError`] where there is no answer.
pub async fn probe_over_tls(bound: SocketAddr) -> Result<StatusCode, ProbeError> {
    call(bound, Over::Tls { only: None }, READINESS).await.map(|(status, _)| status)
}

/// How a service is spoken to.
#[derive(Clone, Copy, Debug)]
pub enum Over<'a> {
    /// In clear.
    Http,
    /// Encrypted.
    Tls {
        /// Told nothing unless it shows this certificate; without one whatever it shows.
        only: Option<&'a Identity>,
    },
}

/// A request to a service.
#[derive(Clone)]
pub struct Call<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// Where to.
    pub path: &'a str,
    /// An API key.
    pub key: Option<&'a str>,
    /// JSON, or nothing.
    pub body: String,
    /// For how long the service is asked to wait for the end of its jobs (`Prefer: wait`), in seconds.
    pub wait: Option<u64>,
    /// How long the whole answer may take.
    pub patience: Duration,
}

const READINESS: Call<'static> =
    Call { method: "GET", path: "/readyz", key: None, body: String::new(), wait: None, patience: PATIENCE };

/// Asks the service that is bound to an address. Status and body.
///
/// # Errors
/// [`ProbeError`] where there is no answer.
pub async fn call(
    bound: SocketAddr,
    over: Over<'_>,
    call: Call<'_>,
) -> Result<(StatusCode, Bytes), ProbeError> {
    let (address, patience) = (reachable(bound), call.patience);
    let request = call.request(address).map_err(|error| ProbeError::Call(address, error))?;
    let asked = async {
        let stream = connect(address).await?;
        let Over::Tls { only } = over else { return ask(address, stream, request).await };
        let encrypted = tls::connect_to_ourselves(stream).await;
        let encrypted = encrypted.map_err(|error| ProbeError::Tls(address, error))?;
        if only.is_some_and(|identity| !identity.is_shown_by(&encrypted)) {
            return Err(ProbeError::Certificate(address));
        }
        ask(address, encrypted, request).await
    };
    timeout(patience, asked).await.unwrap_or(Err(ProbeError::Timeout(address, patience)))
}

impl Call<'_> {
    fn request(self, address: SocketAddr) -> Result<Request<Full<Bytes>>, axum::http::Error> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(seconds) = self.wait {
            request = request.header(PREFER, format!("wait={seconds}"));
        }
        request.body(Full::from(self.body))
    }
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
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), ProbeError> {
    let http = |error| ProbeError::Http(address, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(http)?.into_parts();
        let body = Limited::new(body, MOST_ANSWERED).collect().await;
        Ok((head.status, body.map_err(|error| ProbeError::Answer(address, error))?.to_bytes()))
    };
    // The answer comes only while the connection is driven; it is dropped with the answer.
    tokio::select! {
        answer = answered => answer,
        Err(error) = connection => Err(http(error)),
    }
}
