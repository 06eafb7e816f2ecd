//! `server:` where requests come in, and how much of them is taken.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::{quantity, source::Problems, tls::ServerTls};

/// The HTTP side.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address to listen on. Port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    pub bind: SocketAddr,
    /// What a client may use up.
    pub limits: Limits,
    /// From SIGTERM to exit: time to finish what is running.
    #[serde(deserialize_with = "quantity::duration")]
    pub grace: Duration,
    /// Answers everybody, from everywhere, where there are no keys.
    pub allow_unauthenticated: bool,
    /// HTTPS instead of HTTP.
    pub tls: Option<ServerTls>,
}

/// What one client may use up.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body.
    #[serde(deserialize_with = "quantity::size")]
    pub body: usize,
    /// Bytes of a compressed body once it is decompressed.
    #[serde(deserialize_with = "quantity::size")]
    pub decompressed_body: usize,
    /// Events in one request.
    #[serde(deserialize_with = "events")]
    pub batch: usize,
    /// From connecting to the end of the headers; with TLS, once for the handshake and once for the headers.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub header_read_time: Duration,
    /// From the end of the headers to the end of the body.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub body_read_time: Duration,
    /// For how long a client may take in nothing of its answer.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub write_time: Duration,
    /// Connections at a time.
    #[serde(deserialize_with = "connections")]
    pub connections: usize,
    /// Streams of invalidations at a time.
    #[serde(deserialize_with = "streams")]
    pub streams: usize,
    /// After how long without an event a stream says that it lives.
    #[serde(deserialize_with = "quantity::some_duration")]
    pub heartbeat: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind: (Ipv4Addr::LOCALHOST, 8080).into(),
            limits: Limits::default(),
            grace: Duration::from_secs(8),
            allow_unauthenticated: false,
            tls: None,
        }
    }
}

impl ServerConfig {
    /// What its URLs begin with.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        if let Some(tls) = &self.tls {
            tls.check(problems);
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            decompressed_body: 16 << 20,
            batch: 10_000,
            header_read_time: Duration::from_secs(10),
            body_read_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            connections: 1024,
            streams: 64,
            heartbeat: Duration::from_secs(15),
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let value = Value::deserialize(deserializer)?;
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        quantity::refused(
            "an IP address and a port such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
            &value,
        )
    })
}

fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of events", 1..=1_000_000, deserializer)
}

fn connections<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of connections", 1..=1_000_000, deserializer)
}

fn streams<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of streams", 1..=100_000, deserializer)
}
