//! What one holder holds, and its end (logout). The holder is named by its id: a token has no place in a URL.

use std::sync::Arc;

use axum::{
    Json, RequestPartsExt,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    response::Response,
};
use serde::Serialize;

use super::{
    Service,
    invalidations::answer,
    outcome::Source,
    prefer::Wait,
    problem::{Kind, Problem},
    query::Query,
};
use crate::{lookup::HoldingView, secret::HolderId};

/// The holder that the path names.
pub(super) struct Holder(HolderId);

impl<S: Send + Sync> FromRequestParts<S> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let id = parts.extract::<Path<String>>().await.ok().and_then(|Path(id)| id.parse().ok());
        // What stands there instead may be a token: it is not repeated.
        id.map(Self).ok_or_else(|| {
            let detail = "the holder in the path is not a holder id: 32 hex digits, as `POST /v1/holders/lookup` gives \
                          them for an access token in its body";
            Problem::new(Kind::InvalidParameter, detail)
        })
    }
}

#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Item {
    resource_type: Box<str>,
    entity_id: Box<str>,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_key: Option<Box<str>>,
}

impl From<HoldingView> for Item {
    fn from(view: HoldingView) -> Self {
        Self {
            resource_type: view.entity.resource_type,
            entity_id: view.entity.id,
            expires_at: view.expires_at.to_string(),
            cache_key: view.cache_key,
        }
    }
}

/// Shows a page of what a holder holds.
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Holder(holder): Holder,
    query: Query,
) -> Result<Json<Page>, Problem> {
    query.only(&["limit", "cursor"])?;
    let page = service.lookup.entities_of(holder, query.get("cursor"), query.limit()?).await?;
    Ok(Json(Page { items: page.items.into_iter().map(Item::from).collect(), next: page.next }))
}

/// Removes every copy that a holder has. One that is not known has none.
pub(super) async fn revoke(
    State(service): State<Arc<Service>>,
    Holder(holder): Holder,
    query: Query,
    wait: Wait,
) -> Result<Response, Problem> {
    query.only(&[])?;
    service.lookup.needs_by_holder()?;
    let asked = service.ingest.revoke(holder, wait.0).await?;
    Ok(answer(&service, asked, &wait, |_| Source::Holder(holder.to_string())))
}
