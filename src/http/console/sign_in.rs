//! Signing in with an API key, and out again.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;

use super::{
    attempts::Peer,
    failure::Failure,
    form::{Sent, fields},
    layout,
    visitor::{cookie, needs_own_origin},
};
use crate::{
    config::auth::{KeyHash, Scope},
    http::{Service, query::Query},
};

/// The form.
pub(super) async fn page(State(service): State<Arc<Service>>, query: Query) -> Response {
    if service.auth.is_open() {
        return Redirect::to("/").into_response();
    }
    form(None, query.get("back")).into_response()
}

fn form(trouble: Option<&str>, back: Option<&str>) -> axum::response::Html<String> {
    layout::plain(
        "Sign in",
        &html! {
            h1 { "Sign in" }
            @if let Some(trouble) = trouble {
                div.note.bad role="alert" #trouble { p { (trouble) } }
            }
            form.stack method="post" action="/console/sign-in" {
                @if let Some(back) = back { input type="hidden" name="back" value=(back); }
                label { span { "API key" }
                    input type="password" name="key" required autocomplete="current-password" autofocus
                        aria-describedby=[trouble.map(|_| "trouble")];
                }
                button type="submit" { "Sign in" }
            }
            p.muted { "A key of " code { "auth.keys" } " with the scope " code { "read" } ". To do things it needs " code { "admin" } ", too." }
        },
    )
}

/// Begins a session for whoever has a key that may read. A form that another site makes somebody send could at worst
/// sign them in with that site's key, and shows them no other service than this.
pub(super) async fn sign_in(
    State(service): State<Arc<Service>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Failure> {
    needs_own_origin(&headers)?;
    let now = service.clock.tick();
    service.console.attempts.count(peer.map(|Extension(peer)| peer), now)?;
    let fields = fields(request, &service).await?;
    let back = fields.get("back");
    let hash = KeyHash::of(fields.get("key").unwrap_or_default().trim());
    let Some(key) = service.auth.key(&hash) else {
        tracing::info!("somebody could not sign in to the console: the key is not known");
        let page = form(
            Some("This key is not known. Look for mistakes, or ask whoever looks after auth.keys."),
            back,
        );
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    };
    if !key.scopes.contains(&Scope::Read) {
        let page =
            form(Some("This key may not look: it lacks the scope read. Sign in with another one."), back);
        return Ok((StatusCode::FORBIDDEN, page).into_response());
    }
    let id = service.console.sessions.begin(hash, now).map_err(|_| Failure::NoRandomness)?;
    tracing::info!(key = key.name, "signed in to the console");
    let cookie = [(header::SET_COOKIE, cookie(&headers, &service, Some(&id)))];
    Ok((cookie, Redirect::to(back.filter(|back| is_ours(back)).unwrap_or("/"))).into_response())
}

/// Whether it leads to a page of the console, whoever reads it.
fn is_ours(back: &str) -> bool {
    back.starts_with("/console/") && back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Ends a session, and whatever it still looks at.
pub(super) async fn sign_out(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    if let Some(id) = &sent.visitor.session {
        service.console.sessions.end(id);
    }
    let cookie = [(header::SET_COOKIE, cookie(&headers, &service, None))];
    (cookie, Redirect::to("/console/sign-in")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_nobody_is_led_elsewhere() {
        assert!(is_ours("/console/entity?resource_type=Posts&entity_id=a%2Fb"));
        for other in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/console/",
            "/console/\\evil",
            "/console/ x",
            "/v1/jobs",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
