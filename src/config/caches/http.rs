//! A cache of kind `http`: which requests remove copies from it, and which answers say that they are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Uri,
    header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use serde::{Deserialize, Deserializer};

use super::{RawCache, TlsFiles, one_of};
use crate::{
    config::{hidden::Hidden, quantity, secret, source::Problems},
    http_client::bearer,
    template::{RequestTemplate, UrlTemplate},
};

/// A cache that is told by requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpCacheConfig {
    /// What removes a copy.
    pub purge: RequestConfig,
    /// What removes everything, where there is such a request.
    pub purge_all: Option<RequestConfig>,
    /// Headers that both are sent with, the same each time.
    pub secrets: HeaderMap,
    /// Answers GET with a status of success while the cache is well.
    pub health: Option<Uri>,
    /// Whom to believe, and who we are, where the URL is https.
    pub tls: TlsFiles,
    /// The longest that one answer may take.
    pub timeout: Duration,
    /// Requests at a time.
    pub concurrency: usize,
    /// Statuses that say that a copy was there and is gone.
    pub deleted_on: BTreeSet<u16>,
    /// Statuses that say that there was none.
    pub absent_on: BTreeSet<u16>,
}

/// A request, as a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestConfig {
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: UrlTemplate,
    /// Its headers.
    pub headers: Vec<(HeaderName, RequestTemplate)>,
}

/// A request as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRequest {
    method: Option<String>,
    url: Hidden,
    #[serde(default)]
    headers: BTreeMap<String, Hidden>,
}

/// Requests at a time, where the configuration does not say.
const CONCURRENCY: usize = 16;
/// What HTTP/1.1 itself says, and no template may.
const THE_CONNECTIONS: [HeaderName; 6] =
    [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

impl RawCache {
    pub(super) fn http(mut self, at: &str, problems: &mut Problems<'_>) -> Option<HttpCacheConfig> {
        let tls = self.tls();
        let secrets = self.secrets(at, problems);
        let url = one_of(at, "url", (self.url.take(), self.url_file.take()), problems);
        let Some(url) = url else {
            let missing =
                "is missing: expected http://host[:port]{key}, or another template of a URL, or url_file";
            problems.add(format!("{at}.url"), missing);
            return None;
        };
        let headers = self.headers.take().unwrap_or_default();
        let purge = RawRequest { method: self.method.take(), url, headers }.check(at, problems)?;
        check_tls(at, &tls, purge.url.server().starts_with("https:"), problems);
        let purge_all = match self.purge_all.take() {
            None => None,
            Some(request) => Some(whole(request.check(&format!("{at}.purge_all"), problems)?, at, problems)),
        };
        let statuses = |field, given: Option<BTreeSet<u16>>, usual: &[u16]| {
            given.map_or_else(|| (field, usual.iter().copied().collect()), |given| (field, given))
        };
        let deleted_on = statuses("deleted_on", self.deleted_on.take(), &[200, 204]);
        let absent_on = statuses("absent_on", self.absent_on.take(), &[404]);
        for (field, statuses) in [&deleted_on, &absent_on] {
            check_statuses(&format!("{at}.{field}"), statuses, problems);
        }
        Some(HttpCacheConfig {
            purge,
            purge_all,
            secrets,
            health: self.health(at, problems),
            tls,
            timeout: self.timeout,
            concurrency: self.concurrency.unwrap_or(CONCURRENCY),
            deleted_on: deleted_on.1,
            absent_on: absent_on.1,
        })
    }

    /// What stands in files of its own, and the bearer token.
    fn secrets(&mut self, at: &str, problems: &mut Problems<'_>) -> HeaderMap {
        let mut secrets = HeaderMap::new();
        if let Some(token) = one_of(at, "bearer", (self.bearer.take(), self.bearer_file.take()), problems) {
            match bearer(token.expose()) {
                Ok(header) => secrets.extend([header]),
                Err(detail) => problems.add(format!("{at}.bearer"), detail),
            }
        }
        for (name, file) in self.headers_file.take().unwrap_or_default() {
            let field = format!("{at}.headers_file.{name}");
            let value = secret::read_file(&file).and_then(|text| {
                HeaderValue::try_from(text).map_err(|_| "holds characters that no header can have".to_owned())
            });
            match (header_name(&name), value) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    secrets.append(name, value);
                }
                (Err(detail), _) | (_, Err(detail)) => problems.add(field, detail),
            }
        }
        secrets
    }

    fn health(&mut self, at: &str, problems: &mut Problems<'_>) -> Option<Uri> {
        let health = self.health.take()?;
        let is_url = UrlTemplate::parse(&health).is_ok_and(|url| url.is_constant());
        let uri = health.parse().ok().filter(|_| is_url);
        if uri.is_none() {
            problems.add(
                format!("{at}.health"),
                "expected http://host[:port]/path or https://..., without placeholders",
            );
        }
        uri
    }
}

impl RawRequest {
    fn check(self, at: &str, problems: &mut Problems<'_>) -> Option<RequestConfig> {
        let method = Method::from_bytes(self.method.as_deref().unwrap_or("PURGE").as_bytes());
        let method = method.ok().filter(|method| *method != Method::CONNECT);
        if method.is_none() {
            problems.add(format!("{at}.method"), "expected a method such as PURGE, BAN, POST or DELETE");
        }
        let url = UrlTemplate::parse(self.url.expose());
        if let Err(detail) = &url {
            problems.add(format!("{at}.url"), detail.as_str());
        }
        let mut headers = Vec::new();
        for (name, value) in self.headers {
            let field = format!("{at}.headers.{name}");
            let value = RequestTemplate::parse(value.expose()).map_err(|error| error.to_string());
            match header_name(&name).and_then(|name| Ok((name, value?))) {
                Ok(header) => headers.push(header),
                Err(detail) => problems.add(field, detail),
            }
        }
        Some(RequestConfig { method: method?, url: url.ok()?, headers })
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let name: HeaderName = name.parse().map_err(|_| "is no header's name".to_owned())?;
    match THE_CONNECTIONS.contains(&name) {
        true => Err("is for the connection itself to say".to_owned()),
        false => Ok(name),
    }
}

/// A request that is about everything at once.
fn whole(request: RequestConfig, at: &str, problems: &mut Problems<'_>) -> RequestConfig {
    if !request.url.is_constant() || request.headers.iter().any(|(_, value)| !value.is_constant()) {
        problems.add(format!("{at}.purge_all"), "is about everything, so it takes no placeholders");
    }
    request
}

fn check_statuses(field: &str, statuses: &BTreeSet<u16>, problems: &mut Problems<'_>) {
    let says_done = |status: &u16| matches!(status, 200..=299 | 400..=499);
    if statuses.iter().any(|status| !says_done(status)) {
        problems
            .add(field, "expected statuses from 200 to 299 or 400 to 499: no other says that a copy is gone");
    }
}

fn check_tls(at: &str, tls: &TlsFiles, is_encrypted: bool, problems: &mut Problems<'_>) {
    if is_encrypted {
        if let Err(error) = tls.read() {
            problems.add(format!("{at}.{}", error.field), error.detail);
        }
        return;
    }
    for field in tls.given() {
        problems.add(format!("{at}.{field}"), "belongs to an https:// URL, and this one is not encrypted");
    }
}

pub(super) fn concurrency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    quantity::whole("a number of requests at a time", 1..=1024, deserializer).map(Some)
}
