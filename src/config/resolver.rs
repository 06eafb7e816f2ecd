//! `resolver:` whom to ask who holds an entity, while the index may not know.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use url::Url;

use super::{hidden::Hidden, quantity, secret, source::Problems};

/// An HTTP service that knows who holds what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolverConfig {
    /// Its URL, with `{resource_type}` and `{entity_id}`, and `{cursor}` where it answers in pages.
    pub url: Hidden,
    /// What it knows us by.
    pub bearer: Option<Hidden>,
    /// Certificates in PEM that are believed instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest that one answer may take.
    pub timeout: Duration,
    /// How often it is asked for one page before the invalidation has failed, which is then tried again later.
    pub attempts: u32,
    /// Requests at a time.
    pub concurrency: usize,
    /// The size of one answer, in bytes.
    pub max_body: usize,
    /// Pages of one entity.
    pub max_pages: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResolver {
    url: Option<Hidden>,
    url_file: Option<PathBuf>,
    bearer: Option<Hidden>,
    bearer_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    #[serde(default = "default_timeout", deserialize_with = "quantity::some_duration")]
    timeout: Duration,
    #[serde(default = "default_attempts", deserialize_with = "attempts")]
    attempts: u32,
    #[serde(default = "default_concurrency", deserialize_with = "concurrency")]
    concurrency: usize,
    #[serde(default = "default_max_body", deserialize_with = "quantity::size")]
    max_body: usize,
    #[serde(default = "default_max_pages", deserialize_with = "pages")]
    max_pages: u32,
}

const EXPECTED: &str =
    "expected http://host/path or https://host/path with {resource_type} and {entity_id} in it";

impl RawResolver {
    pub(super) fn check(self, problems: &mut Problems<'_>) -> Option<ResolverConfig> {
        let url = one_of("url", self.url, self.url_file, problems);
        let bearer = one_of("bearer", self.bearer, self.bearer_file, problems);
        let Some(url) = url else {
            problems
                .add("resolver.url", format!("is missing: {EXPECTED}, or url_file: a file that holds it"));
            return None;
        };
        if let Err(detail) = check_url(url.expose()) {
            problems.add("resolver.url", detail);
        }
        Some(ResolverConfig {
            url,
            bearer,
            ca_file: self.ca_file,
            timeout: self.timeout,
            attempts: self.attempts,
            concurrency: self.concurrency,
            max_body: self.max_body,
            max_pages: self.max_pages,
        })
    }
}

/// The one of a field and its file that is given.
fn one_of(
    field: &str,
    value: Option<Hidden>,
    file: Option<PathBuf>,
    problems: &mut Problems<'_>,
) -> Option<Hidden> {
    match (value, file) {
        (value, None) => value,
        (Some(_), Some(_)) => {
            problems
                .add(format!("resolver.{field}_file"), format!("stands beside {field}: keep one of the two"));
            None
        }
        (None, Some(file)) => match secret::read_file(&file) {
            Ok(text) => Some(Hidden::new(text)),
            Err(detail) => {
                problems.add(format!("resolver.{field}_file"), detail);
                None
            }
        },
    }
}

/// The refusal does not repeat the URL: it may hold a password.
fn check_url(template: &str) -> Result<(), String> {
    for placeholder in ["{resource_type}", "{entity_id}"] {
        if !template.contains(placeholder) {
            return Err(format!("does not hold {placeholder}: {EXPECTED}"));
        }
    }
    let filled = ["{resource_type}", "{entity_id}", "{cursor}"]
        .iter()
        .fold(template.to_owned(), |url, placeholder| url.replace(placeholder, "x"));
    let url = Url::parse(&filled).map_err(|reason| format!("{EXPECTED} ({reason})"))?;
    let whole = url.host_str().is_some_and(|host| template.contains(host));
    if !["http", "https"].contains(&url.scheme()) || !whole || filled.contains(['{', '}']) {
        return Err(EXPECTED.to_owned());
    }
    Ok(())
}

fn attempts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    quantity::whole("a number of attempts", 1..=100, deserializer)
}

fn pages<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    quantity::whole("a number of pages", 1..=1_000_000, deserializer)
}

fn concurrency<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    quantity::whole("a number of requests at a time", 1..=1024, deserializer)
}

fn default_timeout() -> Duration {
    Duration::from_secs(2)
}

fn default_attempts() -> u32 {
    3
}

fn default_concurrency() -> usize {
    8
}

fn default_max_body() -> usize {
    4 << 20
}

/// Tens of millions of holders fit in so many; pages that never end do not.
fn default_max_pages() -> u32 {
    10_000
}
