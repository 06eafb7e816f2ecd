//! The whole URL table, and what every route has around it.

use std::{any::Any, collections::HashMap, sync::Arc};

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
    Service, auth, console, dead_letters, docs, entities, events, explain, health, holders, holdings,
    invalidations, jobs, log, meta,
    problem::{Kind, Problem},
    purge, queue, reconciliations, stream, unread,
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

fn table() -> [Route; 29] {
    [
        post("/v1/events", INGEST, events::post),
        post("/v1/events/explain", READ, explain::post),
        post("/v1/invalidations", ADMIN, invalidations::post),
        get("/v1/invalidations/stream", READ, stream::get),
        get("/v1/entities", READ, entities::get),
        purge("/v1/entities", ADMIN, purge::purge),
        get("/v1/entities/{resource_type}/{entity_id}", READ, entities::get),
        purge("/v1/entities/{resource_type}/{entity_id}", ADMIN, purge::purge),
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
        get("/docs", OPEN, docs::page),
        get("/docs/{file}", OPEN, docs::file),
    ]
}

/// Method, path template and access of every route of the contract, for whoever compares them with `openapi.yaml`. The
/// console's pages are for people, and not among them.
pub fn routes() -> impl Iterator<Item = (Method, &'static str, Access)> {
    table().into_iter().map(|route| (route.method, route.path, route.access))
}

/// Everything that the service answers.
pub fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    let (purges, others): (Vec<_>, Vec<_>) =
        table().into_iter().partition(|route| route.method == purge::method());
    let mut purges: HashMap<&str, MethodRouter> =
        purges.into_iter().map(|it| (it.path, guarded(it, &service).with_state(service.clone()))).collect();
    for route in others {
        let path = route.path;
        let handler = guarded(route, &service);
        router = router.route(
            path,
            match purges.remove(path) {
                // The router's own fallback would take the place of one that has a layer.
                Some(purge) => {
                    handler.fallback(method_not_allowed).layer(from_fn_with_state(purge, purge::beside))
                }
                None => handler,
            },
        );
    }
    router
        .route("/docs/", routing::get(docs::without_slash))
        .merge(console::router())
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&service), unread::discard))
        .layer(from_fn_with_state(Arc::clone(&service), log::request))
        .with_state(service)
}

/// A route's handler, behind what its access asks for.
fn guarded(route: Route, service: &Arc<Service>) -> MethodRouter<Arc<Service>> {
    let Access::Needs(scope) = route.access else { return route.handler };
    let key = from_fn_with_state((Arc::clone(service), scope), auth::require);
    // A handler for any method is not a route in axum's words.
    if route.method == purge::method() { route.handler.layer(key) } else { route.handler.route_layer(key) }
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

/// Stands beside another route of the same path.
fn purge<T: 'static>(path: &'static str, access: Access, handler: impl Handler<T, Arc<Service>>) -> Route {
    Route { method: purge::method(), path, access, handler: routing::any(handler) }
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
