//! A request's body as it comes: bounded in size and time, and decompressed where it is compressed.
//!
//! What comes out is counted while it is decompressed, so that a body which would become too large is given up as soon as it
//! has, however small it came.

use std::{io, pin::Pin, time::Duration};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderValue, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt},
    task::coop::consume_budget,
};
use tokio_util::io::StreamReader;

use super::{
    Limits,
    problem::{Kind, Problem},
};

/// How much is decompressed at a time, in bytes.
const PIECE: usize = 32 << 10;
/// The largest window of a zstd frame, as a power of two: 8 MiB, what RFC 9659 allows a content encoding to ask its reader for.
const ZSTD_WINDOW: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What `Content-Encoding` says. Encodings on top of each other are refused: nobody sends them but to find out.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut found = Self::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.as_bytes().split(|byte| *byte == b',') {
                let encoding = Self::named(name.trim_ascii()).ok_or_else(unsupported)?;
                if encoding != Self::Identity && found != Self::Identity {
                    return Err(unsupported());
                }
                found = if encoding == Self::Identity { found } else { encoding };
            }
        }
        Ok(found)
    }

    fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"identity" | b"" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

fn unsupported() -> Problem {
    let detail = "a body may come with one `Content-Encoding`, gzip or zstd, or without any";
    let accepted = HeaderValue::from_static("gzip, zstd");
    Problem::new(Kind::UnsupportedEncoding, detail).with_header(header::ACCEPT_ENCODING, accepted)
}

/// A body that is still to come.
pub(super) struct Incoming {
    body: Source,
    encoding: Encoding,
    /// How many bytes may still come out of it decompressed.
    left: usize,
    limits: Limits,
}

enum Source {
    Plain(Limited<Body>),
    Compressed(Pin<Box<dyn AsyncRead + Send>>),
}

impl Incoming {
    /// # Errors
    /// A problem where the body says that it is too large: it is refused unread, so a client that sent
    /// `Expect: 100-continue` never sends it.
    pub(super) fn new(body: Body, encoding: Encoding, limits: &Limits) -> Result<Self, Problem> {
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(too_large(limits.body_bytes));
        }
        let plain = Limited::new(body, limits.body_bytes);
        let body = match encoding {
            Encoding::Identity => Source::Plain(plain),
            Encoding::Gzip | Encoding::Zstd => Source::Compressed(decoder(plain, encoding)),
        };
        Ok(Self { body, encoding, left: limits.decompressed_bytes, limits: *limits })
    }

    /// What comes next; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Source::Plain(body) = &mut self.body {
            loop {
                match body.frame().await.transpose().map_err(|error| broke_off(&*error, &self.limits))? {
                    None => return Ok(None),
                    Some(frame) => match frame.into_data() {
                        Ok(data) => return Ok(Some(data)),
                        Err(_trailers) => {}
                    },
                }
            }
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        Ok((self.decompress(&mut piece).await? > 0).then(|| piece.freeze()))
    }

    /// All of it.
    pub(super) async fn whole(mut self) -> Result<Bytes, Problem> {
        if let Source::Plain(body) = self.body {
            let body = body.collect().await.map_err(|error| broke_off(&*error, &self.limits))?;
            return Ok(body.to_bytes());
        }
        let mut whole = BytesMut::new();
        loop {
            whole.reserve(PIECE);
            if self.decompress(&mut whole).await? == 0 {
                return Ok(whole.freeze());
            }
        }
    }

    /// Decompresses one piece. Answers how long it is, zero at the end.
    async fn decompress(&mut self, into: &mut BytesMut) -> Result<usize, Problem> {
        let Source::Compressed(decoder) = &mut self.body else { return Ok(0) };
        // A small body may be a lot of work: others get their turns in between.
        consume_budget().await;
        let read =
            decoder.read_buf(into).await.map_err(|error| undone(&error, self.encoding, &self.limits))?;
        self.left = self.left.checked_sub(read).ok_or_else(|| {
            let most = self.limits.decompressed_bytes;
            Problem::new(Kind::BodyTooLarge, format!("decompressed, a body may have {most} bytes"))
        })?;
        Ok(read)
    }
}

/// Reads a body within the time that it may take.
pub(super) async fn in_time<T>(
    limit: Duration,
    reading: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, reading).await {
        Ok(read) => read,
        Err(_) => Err(too_slow(limit.as_secs_f64())),
    }
}

fn decoder(body: Limited<Body>, encoding: Encoding) -> Pin<Box<dyn AsyncRead + Send>> {
    let cause = |error: Box<dyn std::error::Error + Send + Sync>| {
        io::Error::other(if error.is::<LengthLimitError>() { Cause::TooLarge } else { Cause::BrokeOff })
    };
    let reader = StreamReader::new(body.into_data_stream().map_err(cause));
    match encoding {
        Encoding::Zstd => Box::pin(zstd(reader)),
        Encoding::Gzip | Encoding::Identity => Box::pin(gzip(reader)),
    }
}

/// Several members one after the other are one body (RFC 1952, section 2.2).
fn gzip<R: AsyncBufRead>(reader: R) -> GzipDecoder<R> {
    let mut decoder = GzipDecoder::new(reader);
    decoder.multiple_members(true);
    decoder
}

/// So are several frames (RFC 8878, section 3.1).
fn zstd<R: AsyncBufRead>(reader: R) -> ZstdDecoder<R> {
    let mut decoder = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(ZSTD_WINDOW)]);
    decoder.multiple_members(true);
    decoder
}

/// Why there is nothing more to decompress.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Cause {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body broke off")]
    BrokeOff,
}

fn broke_off(error: &(dyn std::error::Error + Send + Sync + 'static), limits: &Limits) -> Problem {
    match error.is::<LengthLimitError>() {
        true => too_large(limits.body_bytes),
        false => Problem::new(Kind::InvalidBody, "the body broke off"),
    }
}

fn undone(error: &io::Error, encoding: Encoding, limits: &Limits) -> Problem {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Cause>());
    let detail = match cause {
        Some(Cause::TooLarge) => return too_large(limits.body_bytes),
        Some(Cause::BrokeOff) => "the body broke off".to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("the body is cut off: its {} data has no end", encoding.name())
        }
        None if encoding == Encoding::Zstd => {
            format!(
                "the body is not valid zstd, or wants a window of more than {} MiB",
                (1_u64 << ZSTD_WINDOW) >> 20
            )
        }
        None => format!("the body is not valid {}", encoding.name()),
    };
    Problem::new(Kind::InvalidBody, detail)
}

fn too_large(most: usize) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("a body may have {most} bytes"))
}

fn too_slow(seconds: f64) -> Problem {
    let close = HeaderValue::from_static("close");
    Problem::new(Kind::RequestTimeout, format!("a body has to arrive within {seconds} seconds"))
        .with_header(header::CONNECTION, close)
}
