//! An answer, read to its end and held against the contract.

use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

use super::spill;
use crate::openapi::Contract;

/// What decache has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The text as JSON, or as a string where it is none.
    pub(crate) body: Value,
}

impl Answer {
    pub(super) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        Self { status, headers, text, body }
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn success(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The end of a problem's `type`, and its `detail`.
    #[track_caller]
    pub(crate) fn problem(&self) -> (&str, &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.text);
        assert_eq!(self.body["status"], self.status);
        let text = |field: &str| self.body[field].as_str().unwrap();
        (text("type").strip_prefix("urn:decache:problem:").unwrap(), text("detail"))
    }

    /// A header that is there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// Holds the answer to a request against the contract, and finds no token in it.
    #[track_caller]
    pub(super) fn keep(&self, contract: &Contract, method: &str, path: &str) {
        let template = template(path);
        let checked = contract.check(method, &template, self.status, self.header("content-type"), &self.body);
        checked.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(!self.header("x-request-id").is_empty());
        // The contract's own examples have tokens in requests.
        if template != "/openapi.yaml" {
            spill::assert_none("an answer", self.text.as_bytes());
        }
    }
}

/// The path as the contract writes it.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        ["v1", "entities", _, _] => "/v1/entities/{resource_type}/{entity_id}".to_owned(),
        ["v1", "entities", _, _, "holders"] => "/v1/entities/{resource_type}/{entity_id}/holders".to_owned(),
        ["v1", "holders", _, "entities"] => "/v1/holders/{holder}/entities".to_owned(),
        ["v1", "holders", id] if id != "lookup" => "/v1/holders/{holder}".to_owned(),
        ["docs", _] => "/docs/{file}".to_owned(),
        ["v1", "jobs", id, "retry"] if !id.is_empty() => "/v1/jobs/{id}/retry".to_owned(),
        ["v1", "jobs", "retry" | "discard"] => path.to_owned(),
        ["v1", "jobs", _] => "/v1/jobs/{id}".to_owned(),
        _ => path.to_owned(),
    }
}
