//! `GET /docs`: the contract in a reader that browsers show, whole from this binary. The reader is Swagger UI
//! (`assets/swagger-ui`); the page's policy lets it ask nobody but this service.

use std::{io::Read, sync::LazyLock};

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::read::GzDecoder;

use super::problem::{Kind, Problem};

/// The reader brings small images of its own as `data:`. What it writes into `style` attributes is set by script, which
/// no policy minds.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, then what it loads.
static FILES: LazyLock<[File; 4]> = LazyLock::new(|| {
    [
        File::new("", "text/html; charset=utf-8", Stored::Plain(include_bytes!("docs/page.html"))),
        File::new("page.js", JAVASCRIPT, Stored::Plain(include_bytes!("docs/page.js"))),
        File::new(
            "swagger-ui-bundle.js",
            JAVASCRIPT,
            Stored::Gzipped(include_bytes!("../../assets/swagger-ui/swagger-ui-bundle.js.gz")),
        ),
        File::new(
            "swagger-ui.css",
            "text/css; charset=utf-8",
            Stored::Gzipped(include_bytes!("../../assets/swagger-ui/swagger-ui.css.gz")),
        ),
    ]
});
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    FILES[0].answer(&headers)
}

/// What the page loads.
pub(super) async fn file(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = name.ok().and_then(|Path(name)| FILES[1..].iter().find(|file| file.name == name));
    let unknown = || Problem::new(Kind::UnknownRoute, "`/docs` has no such file");
    Ok(found.ok_or_else(unknown)?.answer(&headers))
}

/// How a file's bytes are in the binary.
#[derive(Clone, Copy)]
enum Stored {
    Plain(&'static [u8]),
    Gzipped(&'static [u8]),
}

struct File {
    name: &'static str,
    media_type: &'static str,
    stored: Stored,
    /// Of the bytes as they are stored.
    tag: String,
}

impl File {
    fn new(name: &'static str, media_type: &'static str, stored: Stored) -> Self {
        let (Stored::Plain(bytes) | Stored::Gzipped(bytes)) = stored;
        let tag = blake3::hash(bytes).to_hex()[..16].to_owned();
        Self { name, media_type, stored, tag }
    }

    /// The file, or that the client has it already. Whoever does not take gzip gets it unpacked, under another tag.
    fn answer(&self, headers: &HeaderMap) -> Response {
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

    fn described(&self) -> [(HeaderName, &'static str); 5] {
        [
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "Accept-Encoding"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
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

fn unpacked(gzipped: &[u8]) -> Vec<u8> {
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

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        [(name, HeaderValue::from_static(value))].into_iter().collect()
    }

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
            assert_eq!(takes_gzip(&headers(header::ACCEPT_ENCODING, accepted)), takes, "{accepted}");
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        for file in &*FILES {
            let whole = file.answer(&HeaderMap::new());
            let tag = whole.headers()[header::ETAG].clone();
            assert_eq!(whole.status(), StatusCode::OK);
            let again = |tag: HeaderValue| {
                file.answer(&[(header::IF_NONE_MATCH, tag)].into_iter().collect()).status()
            };
            assert_eq!(again(tag.clone()), StatusCode::NOT_MODIFIED);
            let listed = format!("\"x\", W/{}", tag.to_str().unwrap());
            assert_eq!(again(HeaderValue::from_str(&listed).unwrap()), StatusCode::NOT_MODIFIED);
            assert_eq!(again(HeaderValue::from_static("\"x\"")), StatusCode::OK);
        }
    }

    #[test]
    fn packed_and_unpacked_have_different_tags() {
        let refuses = headers(header::ACCEPT_ENCODING, "identity");
        let [packed, unpacked] = [&HeaderMap::new(), &refuses].map(|headers| FILES[2].answer(headers));
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(!unpacked.headers().contains_key(header::CONTENT_ENCODING));
        assert_ne!(packed.headers()[header::ETAG], unpacked.headers()[header::ETAG]);
    }

    #[test]
    fn the_reader_is_whole_and_what_the_package_holds() {
        use sha2::{Digest, Sha256};
        let recorded = include_str!("../../assets/swagger-ui/PACKAGE");
        for file in &FILES[2..] {
            let Stored::Gzipped(bytes) = file.stored else { panic!("{} is not packed", file.name) };
            let sum = format!("{}  {}", hex::encode(Sha256::digest(unpacked(bytes))), file.name);
            assert!(recorded.lines().any(|line| line == sum), "{sum}");
        }
    }
}
