//! Telling decache of reads and writes, as any API does: over HTTP, again until it is accepted.

use std::time::Duration;

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;

use crate::{http_client::HttpClient, tls::ClientTls};

const TIMEOUT: Duration = Duration::from_secs(2);
const MOST: usize = 64 << 10;
/// Before an event is posted again.
const PAUSE: Duration = Duration::from_millis(200);
/// After so many attempts nobody waits any longer for a read: its copy is gone by then.
const ATTEMPTS: usize = 20;

/// Where events go.
pub(super) struct Decache {
    client: HttpClient,
    events: Uri,
    headers: HeaderMap,
}

impl Decache {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Ok(Self {
            client: client()?,
            events: format!("{url}/v1/events").parse()?,
            headers: headers.into_iter().collect(),
        })
    }

    /// Posts an event. Returns whether it was accepted in the end.
    pub(super) async fn tell(&self, event: &Value) -> bool {
        for _ in 0..ATTEMPTS {
            let body = event.to_string().into();
            let answer = self.client.send_body(Method::POST, self.events.clone(), &self.headers, body).await;
            match answer.map(|answer| answer.status) {
                Ok(StatusCode::ACCEPTED) => return true,
                Ok(status) if status.is_client_error() => return false,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        false
    }
}

/// A client for requests within the demonstration.
pub(super) fn client() -> anyhow::Result<HttpClient> {
    HttpClient::new(&ClientTls::default(), TIMEOUT, MOST).map_err(anyhow::Error::msg)
}
