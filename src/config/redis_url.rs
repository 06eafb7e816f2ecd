//! Where a Redis is: `redis://[user:password@]host[:port][/database]`, or with `rediss://` the same over TLS.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

use super::{hidden::Hidden, sentinel::SentinelConfig, source::Problems};

const EXPECTED: &str = "expected redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, or \
                        unix:///path/to/redis.sock";

/// A checked URL. It may hold a password, so `Debug` shows the server alone.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    url: Hidden,
    server: String,
}

impl RedisUrl {
    /// Checks a URL. The refusal does not repeat it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|reason| format!("{EXPECTED} ({reason})"))?;
        let server = match url.scheme() {
            "redis" | "rediss" => redis_server(&url)?,
            "unix" | "redis+unix" if url.path().len() > 1 => format!("unix://{}", url.path()),
            _ => return Err(EXPECTED.to_owned()),
        };
        Ok(Self { url: Hidden::new(text.to_owned()), server })
    }

    /// Whether it asks for TLS.
    pub fn is_encrypted(&self) -> bool {
        self.server.starts_with("rediss:")
    }

    /// Whether it is a socket of this machine.
    pub fn is_socket(&self) -> bool {
        self.server.starts_with("unix:")
    }

    /// The whole URL, for the client that connects and for nothing else.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }

    /// Where it leads, without user and password: for logs and reasons.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// As [`RedisUrl::one_of`], but where sentinels tell of the server, there is nothing that a URL has to say.
    pub(super) fn beside(
        sentinel: Option<&SentinelConfig>,
        path: &str,
        (url, url_file): (Option<Self>, Option<PathBuf>),
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let url = match (sentinel, url, url_file) {
            (Some(_), None, None) => Self::parse("redis://sentinel").ok(),
            (_, url, url_file) => Self::one_of(path, url, url_file, problems),
        };
        if let (Some(sentinel), Some(url)) = (sentinel, &url) {
            sentinel.check(path, url, problems);
        }
        url
    }

    /// The one of `url` and `url_file` that is given, in the section at `path`.
    pub(super) fn one_of(
        path: &str,
        url: Option<Self>,
        url_file: Option<PathBuf>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let (field, detail) = match (url, url_file) {
            (Some(url), None) => return Some(url),
            (Some(_), Some(_)) => ("url_file", "stands beside url: keep one of the two".to_owned()),
            (None, None) => ("url", format!("is missing: {EXPECTED}, or url_file: a file that holds it")),
            (None, Some(file)) => match super::secret::read_file(&file).and_then(|text| Self::parse(&text)) {
                Ok(url) => return Some(url),
                Err(detail) => ("url_file", detail),
            },
        };
        problems.add(format!("{path}.{field}"), detail);
        None
    }
}

fn redis_server(url: &Url) -> Result<String, String> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(EXPECTED)?;
    // The client would take `#insecure` for "believe any certificate".
    if url.fragment().is_some() {
        return Err(format!("{EXPECTED}: without a `#`"));
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err(format!("{EXPECTED}: the database is a number"));
    }
    Ok(format!(
        "{}://{host}:{}/{}",
        url.scheme(),
        url.port().unwrap_or(6379),
        if database.is_empty() { "0" } else { database }
    ))
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.server).finish()
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Hidden::deserialize(deserializer)?;
        Self::parse(text.expose()).map_err(D::Error::custom)
    }
}
