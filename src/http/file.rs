//! Files that the binary holds and browsers load: with their tags, so that nothing is sent that a client has.

use std::io::Read;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::read::GzDecoder;

/// How a file's bytes are in the binary.
#[derive(Clone, Copy)]
pub(super) enum Stored {
    Plain(&'static [u8]),
    Gzipped(&'static [u8]),
}

/// A file.
pub(super) struct File {
    pub(super) name: &'static str,
    media_type: &'static str,
    pub(super) stored: Stored,
    /// Of the bytes as they are stored.
    tag: String,
}

impl File {
    pub(super) fn new(name: &'static str, media_type: &'static str, stored: Stored) -> Self {
        let (Stored::Plain(bytes) | Stored::Gzipped(bytes)) = stored;
        let tag = blake3::hash(bytes).to_hex()[..16].to_owned();
        Self { name, media_type, stored, tag }
    }

    /// The file, or that the client has it already. Whoever does not take gzip gets it unpacked, under another tag.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let (body, coding) = match self.stored {
            Stored::Plain(bytes) => (Body::Whole(bytes), None),
            Stored::Gzipped(bytes) if takes_gzip(headers) => (Body::Whole(bytes), Some("gzip")),
            Stored::Gzipped(bytes) => (Body::Packed(bytes), None),
        };
        let tag = format!("\"{}{}\"", self.tag, if matches!(body, Body::Packed(_)) { "-plain" } else { "" });
        let is_known = is_known(headers, &tag);
        let described = (self.described(), [(header::ETAG, tag)]);
        if is_known {
            return (StatusCode::NOT_MODIFIED, described).into_response();
        }
        let coding: HeaderMap = coding
            .map(|coding| (header::CONTENT_ENCODING, HeaderValue::from_static(coding)))
            .into_iter()
            .collect();
        let media_type = [(header::CONTENT_TYPE, self.media_type)];
        match body {
            Body::Whole(bytes) => (described, coding, media_type, bytes).into_response(),
            Body::Packed(bytes) => (described, media_type, unpacked(bytes)).into_response(),
        }
    }

    fn described(&self) -> [(HeaderName, &'static str); 4] {
        [
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "Accept-Encoding"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ]
    }
}

/// What is sent as it is, and what has to be unpacked first.
enum Body {
    Whole(&'static [u8]),
    Packed(&'static [u8]),
}

pub(super) fn unpacked(gzipped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is in the binary is whole: a test reads it.
    GzDecoder::new(gzipped).read_to_end(&mut bytes).ok();
    bytes
}

/// Whether gzip may be sent (RFC 9110, section 12.5.3): it is not refused, and where codings are named, it is among them.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::ACCEPT_ENCODING).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    let codings = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let weights: Vec<(&str, bool)> = codings
        .map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
            (name.trim(), weight.is_none_or(|q| q > 0.0))
        })
        .collect();
    let weight = |wanted: &str| weights.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    weight("gzip").or_else(|| weight("*")).is_some_and(|(_, wanted)| *wanted)
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_does_not_refuse_it() {
        assert!(takes_gzip(&HeaderMap::new()));
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("GZIP;q=0.5", true),
            ("*", true),
            ("br, *;q=0.1", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("", false),
        ] {
            assert_eq!(
                takes_gzip(
                    &[(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))].into_iter().collect()
                ),
                takes,
                "{accepted}"
            );
        }
    }
}
