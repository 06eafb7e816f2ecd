//! The limit of taking events: a handler that parses them with serde_json and answers 202.

use std::{borrow::Cow, net::Ipv4Addr};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What this program is called as to be the limit.
pub(crate) const ROLE: &str = "bare-handler";

/// The event of the contract, each field as JSON has it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    action_type: Cow<'a, str>,
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    entity_id: Option<&'a RawValue>,
    #[serde(borrow)]
    access_token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_key: Option<Cow<'a, str>>,
    expires_in: Option<f64>,
    generation: Option<u64>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl Event<'_> {
    /// Keeps the parsing from being left out.
    fn weight(&self) -> usize {
        let texts = [&self.access_token, &self.user_id, &self.cache_key];
        self.action_type.len()
            + self.resource_type.len()
            + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
            + [self.entity_id, self.occurred_at, self.payload]
                .into_iter()
                .flatten()
                .map(|raw| raw.get().len())
                .sum::<usize>()
            + usize::from(self.expires_in.is_some())
            + usize::from(self.generation.is_some())
    }
}

async fn events(body: Bytes) -> (StatusCode, String) {
    let events: Vec<Event<'_>> = match body.first() {
        Some(b'[') => serde_json::from_slice(&body).unwrap(),
        _ => serde_json::Deserializer::from_slice(&body).into_iter().collect::<Result<_, _>>().unwrap(),
    };
    assert!(events.iter().all(|event| event.weight() > 0));
    (StatusCode::ACCEPTED, format!(r#"{{"accepted":{},"ignored":0,"rejected":[],"jobs":[]}}"#, events.len()))
}

/// Serves until it is killed.
pub(crate) async fn serve() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("listening on http://{}", listener.local_addr().unwrap());
    let router =
        Router::new().route("/v1/events", post(events)).layer(axum::extract::DefaultBodyLimit::disable());
    axum::serve(listener, router).await.unwrap();
}
