//! The whole URL table, and what every route has around it.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    Service, auth, dead_letters, entities, events, explain, health, holders, holdings, invalidations, jobs,
    log, meta,
    problem::{Kind, Problem},
    queue, reconciliations, stream, unread,
};
use crate::config::auth::Scope;

/// Who may ask a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody.
    Open,
    /// Whoever has a key with this scope.
    Needs(Scope),
}

const OPEN: Access = Access::Open;
const INGEST: Access = Access::Needs(Scope::Ingest);
const READ: Access = Access::Needs(Scope::Read);
const ADMIN: Access = Access::Needs(Scope::Admin);

fn table() -> [Route; 25] {
    [
        post("/v1/events", INGEST, events::post),
        post("/v1/events/explain", READ, explain::post),
        post("/v1/invalidations", ADMIN, invalidations::post),
        get("/v1/invalidations/stream", READ, stream::get),
        get("/v1/entities", READ, entities::get),
        get("/v1/entities/{resource_type}/{entity_id}", READ, entities::get),
        get("/v1/entities/{resource_type}/{entity_id}/holders", READ, holders::list),
        get("/v1/holders", READ, holders::list),
        post("/v1/holders/lookup", READ, holders::lookup),
        get("/v1/holders/{holder}/entities", READ, holdings::list),
        delete("/v1/holders/{holder}", ADMIN, holdings::revoke),
        get("/v1/jobs", READ, jobs::list),
        get("/v1/jobs/{id}", READ, jobs::get),
        delete("/v1/jobs/{id}", ADMIN, dead_letters::discard),
        post("/v1/jobs/{id}/retry", ADMIN, dead_letters::retry),
        post("/v1/jobs/retry", ADMIN, dead_letters::retry_all),
        post("/v1/jobs/discard", ADMIN, dead_letters::discard_all),
        get("/v1/queue", READ, queue::get),
        post("/v1/reconciliations", ADMIN, reconciliations::post),
        get("/v1/reconciliations/current", ADMIN, reconciliations::current),
        get("/metrics", READ, meta::metrics),
        get("/livez", OPEN, health::live),
        get("/readyz", OPEN, health::ready),
        get("/healthz", OPEN, health::ready),
        get("/openapi.yaml", OPEN, meta::openapi),
    ]
}

/// Method, path template and access of every route, for whoever compares them with `openapi.yaml`.
pub fn routes() -> impl Iterator<Item = (Method, &'static str, Access)> {
    table().into_iter().map(|route| (route.method, route.path, route.access))
}

/// Everything that the service answers.
pub fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    for Route { path, access, handler, .. } in table() {
        let handler = match access {
            Access::Open => handler,
            Access::Needs(scope) => {
                handler.route_layer(from_fn_with_state((Arc::clone(&service), scope), auth::require))
            }
        };
        router = router.route(path, handler);
    }
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&service), unread::discard))
        .layer(from_fn_with_state(Arc::clone(&service), log::request))
        .with_state(service)
}

struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<Arc<Service>>,
}

fn get<T: 'static>(path: &'static str, access: Access, handler: impl Handler<T, Arc<Service>>) -> Route {
    Route { method: Method::GET, path, access, handler: routing::get(handler) }
}

fn post<T: 'static>(path: &'static str, access: Access, handler: impl Handler<T, Arc<Service>>) -> Route {
    Route { method: Method::POST, path, access, handler: routing::post(handler) }
}

fn delete<T: 'static>(path: &'static str, access: Access, handler: impl Handler<T, Arc<Service>>) -> Route {
    Route { method: Method::DELETE, path, access, handler: routing::delete(handler) }
}

async fn unknown_route() -> Problem {
    Problem::new(Kind::UnknownRoute, "this URL leads nowhere; `/openapi.yaml` lists those that do")
}

/// The router adds `Allow`.
async fn method_not_allowed() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "the `Allow` header lists the methods that this route takes")
}

/// What was thrown is not shown: the panic hook has reported it, and it may hold anything.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::new(Kind::Internal, "the request met an error in the service; it is in its log").into_response()
}
