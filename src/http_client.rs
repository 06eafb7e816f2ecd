//! Asks other services over HTTP: bounded in time and in size. What it says of a failure repeats neither a URL nor a header,
//! which may hold a token.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::tls::{self, ClientTls};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A client with its connections. Redirects are not followed: who is configured is asked, and nobody else.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    max_body: usize,
}

/// What a service has answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HttpError {
    /// Not reached, or it went away.
    #[error("not reached")]
    Unreachable,
    /// It went away, or what it said is not HTTP.
    #[error("the answer broke off")]
    Broken,
    /// It took too long.
    #[error("no answer in time")]
    TooSlow,
    /// It said more than is allowed.
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
}

impl HttpClient {
    /// A client that waits for `timeout` for a whole answer, of at most `max_body` bytes. Nothing is connected yet.
    ///
    /// # Errors
    /// Where the authorities or the identity of `tls` cannot be used.
    pub fn new(tls: &ClientTls, timeout: Duration, max_body: usize) -> Result<Self, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(timeout));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(tls)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, timeout, max_body })
    }

    /// The same client with another patience.
    pub fn within(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// [`HttpError`] where no whole answer came; any status is one.
    pub async fn send(&self, method: Method, uri: Uri, headers: &HeaderMap) -> Result<Answer, HttpError> {
        self.send_body(method, uri, headers, Bytes::new()).await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As [`HttpClient::send`].
    pub async fn send_body(
        &self,
        method: Method,
        uri: Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().extend(headers.clone());
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => HttpError::Unreachable,
                false => HttpError::Broken,
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), self.max_body).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => HttpError::TooLarge(self.max_body),
                false => HttpError::Broken,
            })?;
            Ok(Answer { status, body: body.to_bytes() })
        };
        tokio::time::timeout(self.timeout, answer).await.unwrap_or(Err(HttpError::TooSlow))
    }
}

/// The header that says who we are.
///
/// # Errors
/// Where the token cannot stand in a header; it is not repeated.
pub fn bearer(token: &str) -> Result<(HeaderName, HeaderValue), String> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "holds characters that no header can have".to_owned())?;
    value.set_sensitive(true);
    Ok((hyper::header::AUTHORIZATION, value))
}
