//! Who looks on, and whether what they send is theirs.
//!
//! A cookie says who it is (`HttpOnly`, `SameSite=Strict`), and every form holds the session's token, which no other site can
//! read: a form that another site sends does nothing. Beside that, browsers say from where a request comes. Where there are no
//! keys, and so no sessions, one token is in all forms. Then a name that leads to us must not make another site one with us
//! (DNS rebinding): such a name has a dot, for it is somebody's domain, and is refused.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, Uri, header, request::Parts, uri::Authority},
};
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    session::{LIFE, Session},
};
use crate::{config::auth::Scope, http::Service};

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
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        // Where the referrer is kept to oneself, so is the origin of a form.
        (None, None | Some("null")) => true,
        (None, Some(origin)) => {
            let from = origin.split_once("://").map(|(_, authority)| authority);
            from.is_some_and(|from| text("host").is_some_and(|host| host.eq_ignore_ascii_case(from)))
        }
    };
    if is_own { Ok(()) } else { Err(Failure::OtherSite) }
}

fn needs_own_name(headers: &HeaderMap) -> Result<(), Failure> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if host.is_empty() || is_nobodys_domain(host) { Ok(()) } else { Err(Failure::UnknownName) }
}

/// Whether a `Host` is an address, this machine, or a name of the local network.
fn is_nobodys_domain(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".localhost")
}

/// The name of the cookie. With TLS a prefix has browsers see to it that it is ours alone.
fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-decache_session" } else { "decache_session" }
}

/// Whether the browser speaks TLS: to us, or to a proxy that says so. Who says so falsely harms their own session only.
fn is_secure(headers: &HeaderMap, service: &Service) -> bool {
    service.console.tls || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}

fn session_id(headers: &HeaderMap, service: &Service) -> Option<String> {
    let name = cookie_name(is_secure(headers, service));
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, id)| id.to_owned())
}

/// `Set-Cookie` for a session that has begun, or `None` for one that is over.
pub(super) fn cookie(headers: &HeaderMap, service: &Service, id: Option<&str>) -> String {
    let secure = is_secure(headers, service);
    let (value, age) = id.map_or(("", 0), |id| (id, LIFE.as_secs()));
    let more = if secure { "; Secure" } else { "" };
    format!("{}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{more}", cookie_name(secure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_be_somebodys_domain_is_not_ours() {
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.1.2.3",
            "localhost:8080",
            "LOCALHOST",
            "decache:8080",
            "a.localhost",
        ] {
            assert!(is_nobodys_domain(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example.:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a b",
            "127.1.evil",
        ] {
            assert!(!is_nobodys_domain(host), "{host}");
        }
    }

    #[test]
    fn what_another_site_sends_is_refused() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
        };
        let host = ("host", "decache:8080");
        for own in [
            vec![host],
            vec![host, ("origin", "null")],
            vec![host, ("origin", "https://Decache:8080")],
            vec![host, ("origin", "null"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(needs_own_origin(&headers(&own)).is_ok(), "{own:?}");
        }
        for other in [
            vec![host, ("origin", "http://evil.example")],
            vec![host, ("origin", "http://decache:80")],
            vec![host, ("origin", "decache:8080")],
            vec![host, ("origin", "http://decache:8080"), ("sec-fetch-site", "same-site")],
            vec![host, ("sec-fetch-site", "cross-site")],
        ] {
            assert!(needs_own_origin(&headers(&other)).is_err(), "{other:?}");
        }
    }
}
