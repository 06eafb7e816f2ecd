//! Who holds an entity, and which holder id stands for a token.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::{
    Service,
    body::JsonBody,
    problem::{Kind, Problem},
    query::Query,
    target::{PARAMETERS, Target},
};
use crate::{event::AccessToken, lookup::HolderView};

const SHAPE: &str = r#"an object with the one field "access_token", a string"#;

#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Item {
    holder: String,
    user_id: Option<Box<str>>,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_key: Option<Box<str>>,
}

impl From<HolderView> for Item {
    fn from(view: HolderView) -> Self {
        Self {
            holder: view.holder.to_string(),
            user_id: view.user_id,
            expires_at: view.expires_at.to_string(),
            cache_key: view.cache_key,
        }
    }
}

/// Shows a page of an entity's holders.
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Target(entity): Target,
    query: Query,
) -> Result<Json<Page>, Problem> {
    query.only(&[PARAMETERS[0], PARAMETERS[1], "limit", "cursor"])?;
    let page = service.lookup.holders(&entity, query.get("cursor"), query.limit()?).await?;
    Ok(Json(Page { items: page.items.into_iter().map(Item::from).collect(), next: page.next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupRequest {
    access_token: String,
}

#[derive(Serialize)]
pub(super) struct LookupAnswer {
    holder: String,
}

/// Shows the holder id that stands for a token, known or not.
pub(super) async fn lookup(
    State(service): State<Arc<Service>>,
    body: JsonBody,
) -> Result<Json<LookupAnswer>, Problem> {
    let LookupRequest { access_token: token } = body.parse(SHAPE)?;
    let token =
        AccessToken::parse(token).map_err(|error| Problem::new(Kind::InvalidBody, error.to_string()))?;
    let holder = service.lookup.holder_id(&token);
    Ok(Json(LookupAnswer { holder: holder.to_string() }))
}
