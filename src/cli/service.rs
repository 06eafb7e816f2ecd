//! A running service, asked over HTTP: beside this process, where the configuration has it listen, or at a URL.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use hyper::{HeaderMap, Method, StatusCode, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::table::printable;
use crate::{
    config::{
        server::ServerConfig,
        tls::{RedisTls, ServerTls},
    },
    http::{Call, Over, call},
    http_client::{HttpClient, bearer},
    tls::Identity,
};

/// How long an answer may take beyond what the service was asked to wait: a count walks all of an entity's holders.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the longest page of anything.
const MOST_ANSWERED: usize = 64 << 20;

/// Which service, and who asks it.
#[derive(Args, Debug)]
pub(super) struct Target {
    /// The service, such as `https://decache.internal:8080`; without it the one on this machine, where the configuration
    /// has it listen.
    #[arg(long, global = true, value_name = "URL", value_parser = base)]
    pub(super) url: Option<Url>,
    /// Authorities in PEM to believe, instead of the system's, for an https URL.
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    key: ApiKey,
}

/// Where the API key is. Not in an argument: those are seen by everybody on the machine.
#[derive(Args, Debug)]
pub(super) struct ApiKey {
    /// A file with an API key for the running service; else `DECACHE_KEY`.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// The service gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreached(String);

/// A request.
pub(super) struct Ask {
    method: Method,
    path: String,
    body: String,
    /// Seconds that the service is asked to wait for the end of its jobs.
    wait: Option<u64>,
}

/// What the service has answered, with success.
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

/// A service that can be asked.
pub(super) struct Service {
    way: Way,
    key: Option<Zeroizing<String>>,
}

enum Way {
    Beside { server: ServerConfig, identity: Option<Identity> },
    To { base: Url, client: HttpClient },
}

impl Target {
    /// The service at the URL, else the one that `server` configures.
    ///
    /// # Errors
    /// Where a file cannot be read, or the configuration.
    pub(super) fn service(
        &self,
        server: impl FnOnce() -> anyhow::Result<ServerConfig>,
    ) -> anyhow::Result<Service> {
        let Some(base) = self.url.clone() else { return Service::beside(&server()?, &self.key) };
        let tls = RedisTls { ca_file: self.ca_file.clone(), ..RedisTls::default() }.read()?;
        let client = HttpClient::new(&tls, PATIENCE, MOST_ANSWERED).map_err(|error| anyhow!(error))?;
        Ok(Service { way: Way::To { base, client }, key: self.key.read()? })
    }
}

impl ApiKey {
    fn read(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let text = match &self.key_file {
            Some(path) => Some(std::fs::read_to_string(path).with_context(|| path.display().to_string())?),
            None => std::env::var("DECACHE_KEY").ok(),
        };
        Ok(text.map(Zeroizing::new).map(|text| Zeroizing::new(text.trim().to_owned())))
    }
}

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: String::new(), wait: None }
    }

    pub(super) fn post(path: impl Into<String>, body: &impl Serialize) -> anyhow::Result<Self> {
        Ok(Self { method: Method::POST, body: serde_json::to_string(body)?, ..Self::get(path) })
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// Asks the service to answer when the jobs are done, if that is within so many seconds.
    pub(super) fn waiting(self, seconds: u64) -> Self {
        Self { wait: Some(seconds).filter(|seconds| *seconds > 0), ..self }
    }

    fn patience(&self) -> Duration {
        PATIENCE + Duration::from_secs(self.wait.unwrap_or_default())
    }
}

impl Told {
    /// The answer as what it is.
    ///
    /// # Errors
    /// Where it is something else.
    pub(super) fn into<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        serde_json::from_value(self.body).context("the running service's answer")
    }
}

impl Service {
    /// The one that listens where the configuration says, on this machine.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(super) fn beside(server: &ServerConfig, key: &ApiKey) -> anyhow::Result<Self> {
        let identity = server.tls.as_ref().map(ServerTls::read).transpose()?;
        Ok(Self { way: Way::Beside { server: server.clone(), identity }, key: key.read()? })
    }

    /// Asks for what is there.
    ///
    /// # Errors
    /// As [`Service::ask`].
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Ask::get(path)).await?.into()
    }

    /// Asks, and takes nothing but success for an answer.
    ///
    /// # Errors
    /// [`Unreached`] where nobody answers, and what the service says where it refuses.
    pub(super) async fn ask(&self, ask: Ask) -> anyhow::Result<Told> {
        let told = self.ask_for_any(ask).await?;
        match told.status.is_success() {
            true => Ok(told),
            false => bail!("the running service answers {}: {}", told.status, detail(&told)),
        }
    }

    /// Asks; any status is an answer. One that is not JSON is a string.
    ///
    /// # Errors
    /// [`Unreached`] where nobody answers.
    pub(super) async fn ask_for_any(&self, ask: Ask) -> anyhow::Result<Told> {
        let (status, body) = match &self.way {
            Way::Beside { server, identity } => self.beside_us(server, identity.as_ref(), ask).await?,
            Way::To { base, client } => self.at(base, client, ask).await?,
        };
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        Ok(Told { status, body })
    }

    async fn beside_us(
        &self,
        server: &ServerConfig,
        identity: Option<&Identity>,
        ask: Ask,
    ) -> anyhow::Result<(StatusCode, bytes::Bytes)> {
        let over = identity.map_or(Over::Http, |own| Over::Tls { only: Some(own) });
        let (key, patience) = (self.key.as_deref().map(String::as_str), ask.patience());
        let Ask { method, path, body, wait } = ask;
        let request = Call { method: method.as_str(), path: &path, key, body, wait, patience };
        Ok(call(server.bind, over, request).await.map_err(|error| Unreached(error.to_string()))?)
    }

    async fn at(
        &self,
        base: &Url,
        client: &HttpClient,
        ask: Ask,
    ) -> anyhow::Result<(StatusCode, bytes::Bytes)> {
        let patience = ask.patience();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        if let Some(key) = self.key.as_deref() {
            headers.extend([bearer(key).map_err(|error| anyhow!("the API key {error}"))?]);
        }
        if let Some(seconds) = ask.wait {
            headers.insert("prefer", format!("wait={seconds}").try_into()?);
        }
        let uri: Uri = format!("{}{}", base.as_str().trim_end_matches('/'), ask.path).parse()?;
        let answer = client.within(patience).send_body(ask.method, uri, &headers, ask.body.into()).await;
        let answer = answer.map_err(|error| Unreached(format!("{base}: {error}")))?;
        Ok((answer.status, answer.body))
    }
}

/// A value as it stands in a query or in a path.
pub(super) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// What a refusal says: a problem's detail, or whatever stands there.
pub(super) fn detail(told: &Told) -> String {
    let said = match &told.body {
        Value::String(text) => text.clone(),
        problem => problem["detail"].as_str().map_or_else(|| problem.to_string(), str::to_owned),
    };
    match told.status {
        StatusCode::UNAUTHORIZED => format!("{} (--key-file FILE, or DECACHE_KEY)", printable(&said)),
        _ => printable(&said),
    }
}

fn base(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match is_plain {
        true => Ok(url),
        false => Err("expected http:// or https://, a host, and neither a user nor a query".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_nothing_that_would_be_shown() {
        for good in ["http://127.0.0.1:8080", "https://decache.internal/behind/a/proxy/"] {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:8080", "ftp://host", "http://user:key@host", "http://host/?key=1", "unix:/x"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_that_mean_something_in_a_url_are_encoded() {
        assert_eq!(encoded("a/b?c=d&e"), "a%2Fb%3Fc%3Dd%26e");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("Ä +"), "%C3%84%20%2B");
    }
}
