//! A connection's bytes: when they last moved, how long a client may refuse its answer, and whether a length was ever
//! given on it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::connections::Usage;

/// What stands before a body's length in a request's head.
const LENGTH: &[u8] = b"\ncontent-length";

/// A stream whose client is watched.
pub(super) struct Transport<S> {
    stream: S,
    usage: Arc<Usage>,
    lengths: Lengths,
    patience: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Whether a `Content-Length` has come over a connection. hyper drops one that stands beside a `Transfer-Encoding`
/// without a word, and such a request must be the connection's last (RFC 9112, section 6.1).
#[derive(Clone, Default)]
pub(super) struct LengthSeen(Arc<AtomicBool>);

#[derive(Default)]
struct Lengths {
    seen: LengthSeen,
    /// How much of [`LENGTH`] has just come.
    matched: usize,
}

impl<S> Transport<S> {
    /// Gives up on a client that takes nothing of its answer for as long as `patience`.
    pub(super) fn new(stream: S, usage: Arc<Usage>, patience: Duration) -> Self {
        Self { stream, usage, lengths: Lengths::default(), patience, stalled: None }
    }

    pub(super) fn length_seen(&self) -> LengthSeen {
        self.lengths.seen.clone()
    }

    /// Bounds how long a write may be pending.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.usage.moved();
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl LengthSeen {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Lengths {
    fn watch(&mut self, bytes: &[u8]) {
        if self.seen.get() {
            return;
        }
        for byte in bytes {
            // `\n` stands at the pattern's beginning and nowhere else: there is nothing to go back to but that.
            self.matched = match byte.to_ascii_lowercase() {
                byte if byte == LENGTH[self.matched] => self.matched + 1,
                byte => usize::from(byte == LENGTH[0]),
            };
            if self.matched == LENGTH.len() {
                return self.seen.0.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.usage.moved();
            self.lengths.watch(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Is ready at once where nothing waits to be written, which moves nothing.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.bounded(context, Poll::Pending),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_seen_in_any_case_and_in_any_pieces_and_only_at_a_lines_beginning() {
        let seen = |pieces: &[&str]| {
            let mut lengths = Lengths::default();
            pieces.iter().for_each(|piece| lengths.watch(piece.as_bytes()));
            lengths.seen.get()
        };
        assert!(seen(&["POST / HTTP/1.1\r\nContent-Length: 3\r\n"]));
        assert!(seen(&["\r\nCONTENT", "-LEN", "", "GTH"]));
        assert!(seen(&["\ncont\ncontent-length"]));
        assert!(!seen(&["\r\nX-Content-Length: 3\r\n"]));
        assert!(!seen(&["\r\nContent-Type: a\r\nLength: 3"]));
    }
}
