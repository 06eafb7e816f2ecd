//! Clients of an HTTP server: each connection sends its next request when the last was answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Requests that are ready to be sent, taken in turn.
pub(crate) struct Requests(Vec<Vec<u8>>);

impl Requests {
    /// Each once, in their order.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// `POST /v1/events` with each of these bodies.
    pub(crate) fn events(bodies: impl IntoIterator<Item = String>, content_type: &str) -> Arc<Self> {
        let request = |body: String| {
            format!(
                "POST /v1/events HTTP/1.1\r\nhost: b\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Arc::new(Self(bodies.into_iter().map(request).collect()))
    }
}

/// What a run of requests has shown.
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) took: Duration,
    /// Of each request, in microseconds, sorted.
    pub(crate) micros: Vec<u32>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// The latency that so many of a thousand requests are below, in milliseconds.
    pub(crate) fn per_mille(&self, share: usize) -> f64 {
        crate::stats::per_mille(&self.micros, share)
    }
}

/// Sends from so many connections at once for a while. Every answer has to have this status.
pub(crate) async fn load(
    address: &str,
    requests: &Arc<Requests>,
    connections: usize,
    time: Duration,
    status: &str,
) -> Load {
    let began = Instant::now();
    let connections: Vec<_> = (0..connections)
        .map(|first| {
            let (requests, address) = (requests.clone(), address.to_owned());
            let status = format!("HTTP/1.1 {status}");
            tokio::spawn(async move { one(&address, &requests, first * 97, began + time, &status).await })
        })
        .collect();
    let mut micros = Vec::new();
    for connection in connections {
        micros.extend(connection.await.unwrap());
    }
    let took = began.elapsed();
    micros.sort_unstable();
    Load { requests: micros.len(), took, micros }
}

async fn one(address: &str, requests: &Requests, first: usize, until: Instant, status: &str) -> Vec<u32> {
    let mut connection = Connection::to(address).await;
    let mut micros = Vec::new();
    for request in requests.0.iter().cycle().skip(first % requests.0.len()) {
        let began = Instant::now();
        if began >= until {
            break;
        }
        connection.ask(request, status).await;
        micros.push(began.elapsed().as_micros() as u32);
    }
    micros
}

/// A connection that has one request on its way at most.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(1 << 16) }
    }

    /// Sends a request and reads its whole answer, which has to begin with this.
    pub(crate) async fn ask(&mut self, request: &[u8], status: &str) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let (head, length) = loop {
            self.read().await;
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end]));
            }
        };
        while self.buffer.len() < head + length {
            self.read().await;
        }
        assert!(self.buffer.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&self.buffer));
    }

    async fn read(&mut self) {
        assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the server hung up");
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    length.expect("an answer with a length")
}
