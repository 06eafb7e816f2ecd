//! Copies in a cache that is told over HTTP to drop them: a proxy with PURGE, a CDN's API.
//!
//! A request is made for each copy, and each request that would be the same is made once: where the template names neither the
//! copy's key nor its token, that is once for each entity among the copies that are removed together, and not once for each
//! holder. Not less often: members are dropped whose stamp was read before the request, and a request that was made for
//! members of before says nothing of a copy that has been cached since.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use tokio::sync::Semaphore;

use super::{Cache, CacheError, CopyKey, CopyList, CopyOf};
use crate::{
    config::caches::http::{HttpCacheConfig, RequestConfig},
    http_client::{Answer, HttpClient, HttpError},
    template::Named,
};

/// The largest answer that is read. What it says does not matter, but a connection is used again only after all of it.
const MAX_ANSWER: usize = 1 << 20;

/// A cache behind HTTP.
pub struct HttpCache {
    name: String,
    client: HttpClient,
    purge: RequestConfig,
    purge_all: Option<RequestConfig>,
    health: Option<Uri>,
    /// Sent with every request but the one for its health.
    secrets: HeaderMap,
    deleted_on: BTreeSet<u16>,
    absent_on: BTreeSet<u16>,
    concurrency: usize,
    permits: Semaphore,
    /// The last request that no answer came to: a ping tries it again, where nothing else is there to be asked.
    unanswered: Mutex<Option<Purge>>,
}

/// A request, filled in. It holds an access token, so it does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Purge {
    url: String,
    headers: Vec<String>,
}

impl HttpCache {
    /// The cache of the configuration. Nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with its certificates.
    pub fn new(name: String, config: &HttpCacheConfig) -> Result<Self, String> {
        let tls = config.tls.read().map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            client: HttpClient::new(&tls, config.timeout, MAX_ANSWER)?,
            purge: config.purge.clone(),
            purge_all: config.purge_all.clone(),
            health: config.health.clone(),
            secrets: config.secrets.clone(),
            deleted_on: config.deleted_on.clone(),
            absent_on: config.absent_on.clone(),
            concurrency: config.concurrency,
            permits: Semaphore::new(config.concurrency),
            unanswered: Mutex::default(),
        })
    }

    /// Sends every request that is needed, some at a time. Returns how many copies were there.
    async fn purge(&self, purges: Vec<(Purge, usize)>) -> Result<usize, CacheError> {
        let purges = stream::iter(purges).map(async |(purge, copies)| {
            let was_there = self.ask(purge).await?;
            Ok::<_, CacheError>(if was_there { copies } else { 0 })
        });
        purges.buffer_unordered(self.concurrency).try_fold(0, async |sum, copies| Ok(sum + copies)).await
    }

    /// Each request once, with how many copies it stands for. A copy that none can be made for is not in this cache.
    fn purges<'a>(
        &self,
        groups: impl Iterator<Item = (Option<&'a CopyOf>, &'a [CopyKey])>,
    ) -> Vec<(Purge, usize)> {
        let (mut purges, mut places) = (Vec::<(Purge, usize)>::new(), HashMap::new());
        for (of, keys) in groups {
            let of = of.map(|of| (&of.entity, &of.token));
            for CopyKey(key) in keys {
                let Some(purge) = Purge::of(&self.purge, Named { key, of }) else { continue };
                let place = *places.entry(purge.clone()).or_insert(purges.len());
                match purges.get_mut(place) {
                    Some((_, copies)) => *copies += 1,
                    None => purges.push((purge, 1)),
                }
            }
        }
        purges
    }

    /// Sends a request. Returns whether there was something to be deleted.
    async fn ask(&self, purge: Purge) -> Result<bool, CacheError> {
        // Nobody closes it.
        let _permit = self.permits.acquire().await;
        match self.send(&self.purge, &purge).await {
            Ok(answer) => self.meaning(answer.status),
            Err(error) => {
                *self.unanswered() = Some(purge);
                Err(error)
            }
        }
    }

    /// Sends it once more where the connection broke: a server may close one at the moment in which it is used again.
    async fn send(&self, config: &RequestConfig, purge: &Purge) -> Result<Answer, CacheError> {
        let (uri, headers) = self.filled(config, purge)?;
        let sent = self.client.send(config.method.clone(), uri.clone(), &headers).await;
        let sent = match sent {
            Err(HttpError::Broken) => self.client.send(config.method.clone(), uri, &headers).await,
            sent => sent,
        };
        sent.map_err(|error| CacheError(error.to_string()))
    }

    fn filled(&self, config: &RequestConfig, purge: &Purge) -> Result<(Uri, HeaderMap), CacheError> {
        let refused = |what: &str| CacheError(format!("no {what} can be made for a copy"));
        let uri = purge.url.parse().map_err(|_| refused("URL"))?;
        let mut headers = self.secrets.clone();
        for ((name, _), value) in config.headers.iter().zip(&purge.headers) {
            let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| refused("header"))?;
            value.set_sensitive(true);
            headers.append(HeaderName::clone(name), value);
        }
        Ok((uri, headers))
    }

    fn meaning(&self, status: StatusCode) -> Result<bool, CacheError> {
        let code = status.as_u16();
        match (self.deleted_on.contains(&code), self.absent_on.contains(&code)) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) if status.is_redirection() => {
                Err(CacheError(format!("answers {code}: redirects are not followed")))
            }
            (false, false) => Err(CacheError(format!("answers {code}"))),
        }
    }

    async fn look(&self) -> Result<(), CacheError> {
        if let Some(health) = &self.health {
            let answer = self.client.send(Method::GET, health.clone(), &HeaderMap::new()).await;
            let status = answer.map_err(|error| CacheError(error.to_string()))?.status;
            let sick = || CacheError(format!("its health answers {}", status.as_u16()));
            return if status.is_success() { Ok(()) } else { Err(sick()) };
        }
        let Some(purge) = self.unanswered().clone() else { return Ok(()) };
        self.send(&self.purge, &purge).await?;
        // Whatever it has answered: the jobs that wait will hear it, too.
        self.unanswered().take_if(|unanswered| *unanswered == purge);
        Ok(())
    }

    fn unanswered(&self) -> MutexGuard<'_, Option<Purge>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Purge {
    fn of(config: &RequestConfig, copy: Named<'_>) -> Option<Self> {
        let url = config.url.expand(copy)?;
        let headers = config.headers.iter().map(|(_, template)| template.expand(copy));
        Some(Self { url, headers: headers.collect::<Option<_>>()? })
    }
}

impl Cache for HttpCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(self.purge(self.purges(std::iter::once((None, keys)))))
    }

    fn remove<'a>(&'a self, copies: &'a CopyList) -> BoxFuture<'a, Result<usize, CacheError>> {
        Box::pin(self.purge(self.purges(copies.groups())))
    }

    fn purge_all(&self) -> Option<BoxFuture<'_, Result<(), CacheError>>> {
        let config = self.purge_all.as_ref()?;
        Some(Box::pin(async move {
            let everything = Purge::of(config, Named { key: "/", of: None });
            let everything = everything.ok_or_else(|| CacheError("purge_all has placeholders".to_owned()))?;
            let _permit = self.permits.acquire().await;
            let answer = self.send(config, &everything).await?;
            self.meaning(answer.status).map(drop)
        }))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(self.look())
    }
}
