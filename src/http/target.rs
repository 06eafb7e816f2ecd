//! The entity that a request is about: from the path, or for ids that clients and proxies rewrite, from the query.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use super::{
    problem::{Kind, Problem},
    query::Query,
};
use crate::event::Entity;

/// The query form's parameters.
pub(super) const PARAMETERS: [&str; 2] = ["resource_type", "entity_id"];

/// The entity that the URL names. Its id is percent-decoded exactly once.
pub(super) struct Target(pub(super) Entity);

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let in_path = parts
            .extract::<Option<Path<(String, String)>>>()
            .await
            .map_err(|_| Problem::new(Kind::InvalidParameter, "the path is not percent-encoded UTF-8"))?;
        let entity = match in_path {
            Some(Path((resource_type, id))) => Entity::new(&resource_type, &id),
            None => {
                let query = Query::from_request_parts(parts, state).await?;
                Entity::new(query.required(PARAMETERS[0])?, query.required(PARAMETERS[1])?)
            }
        };
        entity.map(Self).map_err(|error| Problem::new(Kind::InvalidParameter, error.to_string()))
    }
}
