//! The service that decache takes over from: who holds an entity? It is asked while the index may not know, which is after a
//! loss and within the longest life of a copy after the first start (DESIGN 1 and 7, rule 13).

use std::{borrow::Cow, time::Duration};

use hyper::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    config::resolver::ResolverConfig,
    event::{AccessToken, Entity},
    http_client::{HttpClient, HttpError, bearer},
    tls::{Authorities, ClientTls},
};

/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// What stands as it is in a URL: RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Asks, so many times at once and no more.
pub struct Resolver {
    client: HttpClient,
    url: Box<str>,
    headers: HeaderMap,
    attempts: u32,
    permits: Semaphore,
    /// Pages of one entity that are asked for at most.
    pub max_pages: u32,
}

/// Holders of an entity.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Some of them.
    pub holders: Vec<Holder>,
    /// Where the next ones are to be asked for, where there are more.
    pub next: Option<Box<str>>,
}

/// Somebody who may hold a copy.
#[derive(Debug, Deserialize)]
#[serde(from = "Answered")]
pub struct Holder {
    /// What the copy's key is made of.
    pub token: AccessToken,
    /// The key's template, where it is a variant's.
    pub cache_key: Option<Box<str>>,
}

/// Why it is not known who holds an entity. It is asked again with the next attempt at the invalidation.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResolverError {
    /// It did not answer.
    #[error("the resolver: {0}")]
    Http(#[from] HttpError),
    /// It answered with this status.
    #[error("the resolver answers {0}")]
    Status(u16),
    /// What it answered is none of the forms that are understood.
    #[error("the resolver's answer is no list of holders")]
    Unreadable,
    /// It says that the next page is the one that it has given.
    #[error("the resolver's pages go in a circle")]
    Circle,
    /// There is no end to its pages.
    #[error("the resolver's pages do not end")]
    Endless,
    /// The entity's name makes no URL of the template.
    #[error("no URL of the resolver can be made for this entity")]
    Url,
}

impl Resolver {
    /// The service of the configuration. Nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with its certificates or its key.
    pub fn new(config: &ResolverConfig) -> Result<Self, String> {
        let authorities = match &config.ca_file {
            None => None,
            Some(file) => {
                let pem =
                    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
                Some(Authorities::from_pem(pem)?)
            }
        };
        let tls = ClientTls { authorities, identity: None };
        let headers = config.bearer.as_ref().map(|token| bearer(token.expose())).transpose()?;
        Ok(Self {
            client: HttpClient::new(&tls, config.timeout, config.max_body)?,
            url: config.url.expose().into(),
            headers: headers.into_iter().collect(),
            attempts: config.attempts,
            permits: Semaphore::new(config.concurrency),
            max_pages: config.max_pages,
        })
    }

    /// Waits until it may ask; for as long as what this returns is held, which bounds the answers in memory, too.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.permits.acquire().await.ok()
    }

    /// A page of an entity's holders; `cursor` is what the page before has named. Tries again a few times.
    ///
    /// # Errors
    /// [`ResolverError`] where none of the attempts was answered well.
    pub async fn holders(&self, entity: &Entity, cursor: Option<&str>) -> Result<Resolved, ResolverError> {
        let uri = self.uri(entity, cursor.unwrap_or_default())?;
        let mut pause = FIRST_PAUSE;
        for _ in 1..self.attempts {
            match self.ask(uri.clone(), cursor).await {
                Ok(resolved) => return Ok(resolved),
                Err(_) => tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await,
            }
            pause *= 2;
        }
        self.ask(uri, cursor).await
    }

    async fn ask(&self, uri: Uri, cursor: Option<&str>) -> Result<Resolved, ResolverError> {
        let answer = self.client.send(Method::GET, uri, &self.headers).await?;
        let resolved = match answer.status {
            StatusCode::OK => parse(&answer.body)?,
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Resolved::default(),
            status => return Err(ResolverError::Status(status.as_u16())),
        };
        if resolved.next.is_some() && resolved.next.as_deref() == cursor {
            return Err(ResolverError::Circle);
        }
        Ok(resolved)
    }

    fn uri(&self, entity: &Entity, cursor: &str) -> Result<Uri, ResolverError> {
        let url = self.url.replace("{resource_type}", &encoded(&entity.resource_type));
        let url = url.replace("{cursor}", &encoded(cursor));
        // Last, and once: what stands in it is data.
        let url = url.replace("{entity_id}", &encoded(&entity.id));
        url.parse().map_err(|_| ResolverError::Url)
    }
}

fn encoded(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, RESERVED).into()
}

/// Some holders, and a cursor for more.
#[derive(Deserialize)]
struct Page {
    holders: Vec<Holder>,
    next: Option<Box<str>>,
}

/// A token, or an object with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answered {
    Token(String),
    Holder { access_token: String, cache_key: Option<Box<str>> },
}

impl From<Answered> for Holder {
    fn from(answered: Answered) -> Self {
        match answered {
            Answered::Token(token) => Self { token: AccessToken::new(token), cache_key: None },
            Answered::Holder { access_token, cache_key } => {
                Self { token: AccessToken::new(access_token), cache_key }
            }
        }
    }
}

/// Which form it has, its first character says: nothing is held twice to find out. What serde says of it could repeat a token.
fn parse(body: &[u8]) -> Result<Resolved, ResolverError> {
    let resolved = match body.trim_ascii_start() {
        [b'[', ..] => serde_json::from_slice(body).map(|holders| Resolved { holders, next: None }),
        _ => serde_json::from_slice(body).map(|Page { holders, next }| Resolved { holders, next }),
    };
    resolved.map_err(|_| ResolverError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hidden;

    fn resolver(url: &str) -> Resolver {
        let config = ResolverConfig {
            url: Hidden::new(url.to_owned()),
            bearer: None,
            ca_file: None,
            timeout: Duration::from_secs(1),
            attempts: 1,
            concurrency: 1,
            max_body: 1024,
            max_pages: 10,
        };
        Resolver::new(&config).unwrap()
    }

    #[test]
    fn what_an_entity_is_called_cannot_change_the_url() {
        let resolver = resolver("http://127.0.0.1:1/{resource_type}/{entity_id}?after={cursor}");
        let entity = Entity::new("Posts", "../{cursor}?x=1#/é").unwrap();
        let uri = resolver.uri(&entity, "a&b").unwrap();
        assert_eq!(
            uri.to_string(),
            "http://127.0.0.1:1/Posts/..%2F%7Bcursor%7D%3Fx%3D1%23%2F%C3%A9?after=a%26b"
        );
    }

    #[test]
    fn holders_come_as_tokens_or_as_objects_in_a_list_or_in_pages() {
        let tokens = |body: &str| {
            let resolved = parse(body.as_bytes())?;
            let tokens: Vec<_> =
                resolved.holders.iter().map(|holder| holder.token.expose().to_owned()).collect();
            Ok((tokens, resolved.next.map(String::from)))
        };
        let both = vec!["tok-a".to_owned(), "tok-b".to_owned()];
        assert_eq!(
            tokens(r#"["tok-a", {"access_token": "tok-b", "user_id": "b"}]"#),
            Ok((both.clone(), None))
        );
        let page = r#"{"holders": ["tok-a", "tok-b"], "next": "2", "total": 9}"#;
        assert_eq!(tokens(page), Ok((both, Some("2".to_owned()))));
        for garbage in ["", "{", "{}", "null", "[1]", "<html>", r#"{"holders": null}"#, r#"[{"token": "x"}]"#]
        {
            assert_eq!(tokens(garbage), Err(ResolverError::Unreadable), "{garbage}");
        }
    }
}
