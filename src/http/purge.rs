//! `PURGE /v1/entities/...`: an invalidation of one entity, for those who know it from proxies.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
    routing::MethodRouter,
};
use tower::Service as _;

use super::{
    Service,
    invalidations::answer,
    outcome::Source,
    prefer::Wait,
    problem::Problem,
    query::Query,
    target::{PARAMETERS, Target},
};

const NAME: &str = "PURGE";
/// What a route takes that has `PURGE`: the others show what would go.
const ALLOW: &str = "GET,HEAD,PURGE";

/// The method, which HTTP does not know and its caches do.
pub(super) fn method() -> Method {
    // The name is a token, so that this is always one.
    Method::from_bytes(NAME.as_bytes()).unwrap_or(Method::DELETE)
}

/// Queues the invalidation of the entity that the URL names.
pub(super) async fn purge(
    State(service): State<Arc<Service>>,
    Target(entity): Target,
    query: Query,
    wait: Wait,
) -> Result<Response, Problem> {
    query.only(&PARAMETERS)?;
    let asked = service.ingest.invalidate(vec![entity], wait.0).await?;
    Ok(answer(&service, asked, &wait, Source::Entity))
}

/// Lets `PURGE` in beside a route's other methods: the router's own tables have the methods of HTTP only.
pub(super) async fn beside(
    State(mut purge): State<MethodRouter<(), Infallible>>,
    request: Request,
    next: Next,
) -> Response {
    let is_purge = request.method().as_str() == NAME;
    let mut response = match is_purge {
        true => purge.call(request).await.unwrap_or_else(|never| match never {}),
        false => next.run(request).await,
    };
    // The table adds what it knows where it finds none, to what it takes for another method than its own.
    if is_purge || response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOW));
    }
    response
}
