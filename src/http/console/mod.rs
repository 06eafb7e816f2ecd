//! The console: pages for people at `/` and under `/console`, rendered by the service and whole without JavaScript. A file per
//! view; `layout.rs` is what they have in common. Who looks on, and whether a form is one of ours, `visitor.rs` decides;
//! `session.rs` keeps who has signed in.
//!
//! It is no part of the contract in `openapi.yaml`: programs have the API.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    middleware::map_response,
    response::{Redirect, Response},
    routing::{get, post},
};

use super::Service;
use crate::{
    caches::Regard,
    clock::Tick,
    history::{History, Reading},
    in_force::InForce,
};

mod advice;
mod assets;
mod attempts;
mod chart;
mod configuration;
mod entity;
mod explain;
mod failure;
mod form;
mod format;
mod health;
mod holder;
mod invalidate;
mod job;
mod jobs;
mod layout;
mod letters;
mod live;
mod overview;
mod session;
mod sign_in;
mod table;
mod visitor;

#[cfg(test)]
mod tests;

use attempts::Attempts;
pub(super) use attempts::Peer;
use failure::Failure;
use session::{Sessions, random};

/// What a page may load and do: what this service serves, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The caches that are configured now, and what is thought of them.
pub type CachesNow = Box<dyn Fn() -> Vec<(Arc<str>, Option<Regard>)> + Send + Sync>;

/// What the console knows beside what all handlers do. It outlives reloads.
pub struct Console {
    /// The last hour.
    pub history: Mutex<History>,
    /// The configuration that runs.
    pub in_force: InForce,
    /// Where the index is: `embedded` or `redis`.
    pub store: &'static str,
    caches: CachesNow,
    sessions: Sessions,
    attempts: Attempts,
    /// Stands in forms where nobody has to sign in.
    open_token: String,
    /// Whether the service itself speaks TLS.
    tls: bool,
}

impl Console {
    /// A console that nobody has signed in to.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn new(store: &'static str, caches: CachesNow, tls: bool) -> Result<Self, getrandom::Error> {
        Ok(Self {
            history: Mutex::default(),
            in_force: InForce::default(),
            store,
            caches,
            sessions: Sessions::default(),
            attempts: Attempts::new(fastrand::u64(..)),
            open_token: random()?,
            tls,
        })
    }

    /// Keeps a reading for the charts where it is time for one, and lets go of sessions that are over.
    pub fn note(&self, now: Tick, reading: impl FnOnce() -> Reading) {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).note(now, reading);
        self.sessions.let_go(now);
    }
}

/// Every page, to stand beside the contract's routes.
pub(super) fn router() -> Router<Arc<Service>> {
    let pages = Router::new()
        .route("/", get(overview::page))
        .route("/console/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/jobs", get(jobs::page))
        .route("/console/jobs/{id}", get(job::page))
        .route("/console/jobs/retry", post(letters::retry))
        .route("/console/jobs/discard", post(letters::discard))
        .route("/console/jobs/retry-all", post(letters::retry_all))
        .route("/console/jobs/discard-all", post(letters::discard_all))
        .route("/console/entity", get(entity::page))
        .route("/console/holder", get(holder::page).post(holder::look_up))
        .route("/console/holder/revoke", post(holder::revoke))
        .route("/console/invalidate", get(invalidate::page).post(invalidate::post))
        .route("/console/explain", get(explain::page).post(explain::post))
        .route("/console/live", get(live::page))
        .route("/console/live/events", get(live::events))
        .route("/console/configuration", get(configuration::page))
        .route("/console/health", get(health::page))
        .route("/console", get(to_the_overview))
        .route("/console/", get(to_the_overview))
        .route("/console/{*path}", get(no_such_page))
        .route_layer(map_response(kept_nowhere));
    Router::new()
        .route("/console/assets/{file}", get(assets::file))
        .merge(pages)
        .route_layer(map_response(confined))
}

async fn to_the_overview() -> Redirect {
    Redirect::to("/")
}

/// Whoever mistypes an address is a person.
async fn no_such_page() -> Failure {
    Failure::NoSuchPage
}

/// Nothing that is shown here is for a cache or for a browser's history of pages.
async fn kept_nowhere(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn confined(mut response: Response) -> Response {
    const CONFINED: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    CONFINED
        .into_iter()
        .for_each(|(name, value)| drop(headers.insert(name, HeaderValue::from_static(value))));
    response
}
