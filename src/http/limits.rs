//! How much a client may send, and how slowly.

use std::time::Duration;

/// Bounds on requests and connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The largest body once it is decompressed, in bytes.
    pub decompressed_bytes: usize,
    /// Most events in one request.
    pub events: usize,
    /// Request line and headers together, in bytes. Ids and cursors stand in URLs, so a few KiB are needed.
    pub header_bytes: usize,
    /// Time to send a request's headers. An idle connection is closed after it, too.
    pub header_read: Duration,
    /// Time to send a request's body.
    pub body_read: Duration,
    /// For how long a client may take in nothing of its answer.
    pub write: Duration,
    /// Connections served at a time. Where there are more, the one whose client has been silent longest makes room.
    pub connections: u32,
    /// Streams of invalidations at a time.
    pub streams: usize,
    /// After how long without an event a stream says that it lives.
    pub heartbeat: Duration,
    /// The longest that `Prefer: wait` is granted.
    pub wait: Duration,
    /// How long requests in flight have to finish once the service stops.
    pub drain: Duration,
}

impl Limits {
    /// Requests that may wait for the end of their jobs at a time: half of what can be connected.
    pub fn waiting(&self) -> usize {
        (self.connections / 2).max(1) as usize
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 * 1024 * 1024,
            decompressed_bytes: 16 * 1024 * 1024,
            events: 10_000,
            header_bytes: 32 * 1024,
            header_read: Duration::from_secs(30),
            body_read: Duration::from_secs(30),
            write: Duration::from_secs(30),
            connections: 4096,
            streams: 64,
            heartbeat: Duration::from_secs(15),
            wait: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}
