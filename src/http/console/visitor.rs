//! Who looks on, and whether what they send is theirs.
//!
//! A cookie says who it is (`HttpOnly`, `SameSite=Strict`), and every form holds the session's token, which no other site can
//! read: a form that another site sends does nothing. Beside that, browsers say from where a request comes. Where there are no
//! keys, and so no sessions, one token is in all forms. Then a name that leads to us must not make another site one with us
//! (DNS rebinding): such a name has a dot, for it is somebody's domain, and is refused.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, Uri, header, request::Parts},
};
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    session::{LIFE, Session},
};
use crate::{
    config::auth::Scope,
    http::{
        Service,
        site::{Site, is_asked_by_a_domain, port, site},
    },
};

/// Somebody who may look.
#[derive(Debug)]
pub(super) struct Visitor {
    /// The name of the key that they have signed in with; `None` where nobody has to.
    pub(super) name: Option<String>,
    /// Whether they may do something, too.
    pub(super) may_act: bool,
    /// What has to stand in their forms.
    pub(super) token: String,
    /// Told when they have signed out.
    pub(super) over: CancellationToken,
    /// The id of their session.
    pub(super) session: Option<String>,
}

impl FromRequestParts<Arc<Service>> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failure> {
        if service.auth.is_open() {
            needs_own_name(&parts.headers)?;
            let over = CancellationToken::new();
            let token = service.console.open_token.clone();
            return Ok(Self { name: None, may_act: true, token, over, session: None });
        }
        let now = service.clock.tick();
        let known = session_id(&parts.headers, service).and_then(|id| {
            let session = service.console.sessions.find(&id, now)?;
            // What a reload has taken from the key, the session does not have.
            let key = service.auth.key(&session.key).filter(|key| key.scopes.contains(&Scope::Read))?;
            Some((id, session, key))
        });
        let Some((id, Session { key: hash, token, over, .. }, key)) = known else {
            return Err(Failure::SignIn { back: back(&parts.method, &parts.uri) });
        };
        tracing::Span::current().record("key", &key.name);
        service.auth.count(&hash, now)?;
        let may_act = key.scopes.contains(&Scope::Admin);
        Ok(Self { name: Some(key.name.clone()), may_act, token, over, session: Some(id) })
    }
}

/// Where to go on after signing in: what was asked for, where asking again does nothing.
fn back(method: &Method, uri: &Uri) -> Option<String> {
    let path = uri.path_and_query().map(|it| it.as_str().to_owned());
    path.filter(|path| *method == Method::GET && path != "/" && !path.starts_with("/console/live/"))
}

/// Refuses what another site has sent, as far as browsers tell. The token in the form decides; this is told first.
pub(super) fn needs_own_origin(headers: &HeaderMap) -> Result<(), Failure> {
    match site(headers) {
        // Where the referrer is kept to oneself, so is the origin of a form.
        Site::Own | Site::Hidden | Site::Untold => Ok(()),
        Site::Typed | Site::Other => Err(Failure::OtherSite),
    }
}

fn needs_own_name(headers: &HeaderMap) -> Result<(), Failure> {
    if is_asked_by_a_domain(headers) { Err(Failure::UnknownName) } else { Ok(()) }
}

/// The name of the cookie. Browsers send a host's cookies to all of its ports, so the port that they ask is part of the name:
/// else two services on one host would sign each other's visitors out. With TLS a prefix has browsers see to it that it is
/// ours alone.
fn cookie_name(headers: &HeaderMap, secure: bool) -> String {
    let prefix = if secure { "__Host-" } else { "" };
    let port = port(headers).map(|port| format!("_{port}")).unwrap_or_default();
    format!("{prefix}decache_session{port}")
}

/// Whether the browser speaks TLS: to us, or to a proxy that says so. Who says so falsely harms their own session only.
fn is_secure(headers: &HeaderMap, service: &Service) -> bool {
    service.console.tls || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}

fn session_id(headers: &HeaderMap, service: &Service) -> Option<String> {
    let name = cookie_name(headers, is_secure(headers, service));
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, id)| id.to_owned())
}

/// `Set-Cookie` for a session that has begun, or `None` for one that is over.
pub(super) fn cookie(headers: &HeaderMap, service: &Service, id: Option<&str>) -> String {
    let secure = is_secure(headers, service);
    let (value, age) = id.map_or(("", 0), |id| (id, LIFE.as_secs()));
    let more = if secure { "; Secure" } else { "" };
    format!(
        "{}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{more}",
        cookie_name(headers, secure)
    )
}
