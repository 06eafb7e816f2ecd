//! Who may ask: API keys as bearer tokens, known by their hashes only.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;

use super::{
    Service,
    log::KeyName,
    problem::{Kind, Problem},
    rate::{Left, Meter},
    site::{Site, is_asked_by_a_domain, site},
};
use crate::{
    clock::Tick,
    config::auth::{ApiKey, KeyHash, Scope},
};

/// The keys that are known. Without any, everything is open, but not to pages of other sites.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    keys: Vec<Known>,
    /// Whether, without keys, we are asked by whatever name.
    by_any_name: bool,
}

#[derive(Clone, Debug)]
struct Known {
    key: ApiKey,
    /// Where its requests are counted.
    meter: Option<Arc<Meter>>,
}

impl Auth {
    /// Asks for one of these keys; for none where there are none.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        let known = |key: ApiKey| Known { meter: key.rate.map(|rate| Arc::new(Meter::new(rate))), key };
        Self { keys: keys.into_iter().map(known).collect(), by_any_name: false }
    }

    /// Whether, without keys, we are asked by whatever name: else by an address or a name of the local network only.
    pub fn by_any_name(self, by_any_name: bool) -> Self {
        Self { by_any_name, ..self }
    }

    /// Asks for one of these keys from now on. One that was there with the same rate goes on from what it has left.
    pub fn succeeded_by(&self, keys: Vec<ApiKey>) -> Self {
        let mut auth = Self::new(keys).by_any_name(self.by_any_name);
        for known in &mut auth.keys {
            let same = |old: &&Known| old.key.hash == known.key.hash && old.key.rate == known.key.rate;
            if let Some(before) = self.keys.iter().find(same) {
                known.meter = before.meter.clone();
            }
        }
        auth
    }

    /// Finds out whether a request with these headers may do what `scope` is for, and by whose key.
    fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<Option<&Known>, Problem> {
        if self.keys.is_empty() {
            return self.check_stranger(headers).map(|()| None);
        }
        let offered = bearer(headers).ok_or_else(|| {
            let detail = "send one `Authorization: Bearer <key>` header";
            challenge(Kind::Unauthorized, detail, HeaderValue::from_static("Bearer"))
        })?;
        let known = self.find(&KeyHash::of(offered)).ok_or_else(|| {
            let error = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            challenge(Kind::Unauthorized, "the API key is not known", error)
        })?;
        if !known.key.scopes.contains(&scope) {
            let detail = format!("this needs a key with the scope `{}`", scope.as_str());
            let error = HeaderValue::from_static(r#"Bearer error="insufficient_scope""#);
            return Err(challenge(Kind::Forbidden, detail, error));
        }
        Ok(Some(known))
    }

    /// Whoever reaches us may do everything, and so might any page that a browser on this machine has open.
    fn check_stranger(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let detail = match site(headers) {
            Site::Other | Site::Hidden => {
                "no API keys are configured, so pages of other sites are refused: ask from a program, or configure auth.keys"
            }
            Site::Own | Site::Typed | Site::Untold if !self.by_any_name && is_asked_by_a_domain(headers) => {
                "no API keys are configured, so the service is not asked by a name that may be anybody's: use its address or \
                 localhost, configure auth.keys, or set server.allow_unauthenticated: true where something else keeps \
                 strangers out"
            }
            Site::Own | Site::Typed | Site::Untold => return Ok(()),
        };
        Err(Problem::new(Kind::OtherSite, detail))
    }

    /// Whether nobody has to say who they are.
    pub(super) fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key with this hash, as it is configured now.
    pub(super) fn key(&self, hash: &KeyHash) -> Option<&ApiKey> {
        self.find(hash).map(|known| &known.key)
    }

    /// Counts a request that is made in the name of a key.
    pub(super) fn count(&self, hash: &KeyHash, now: Tick) -> Result<(), Problem> {
        self.find(hash).map_or(Ok(()), |known| known.count(now).map(drop))
    }

    /// Compares with every key, each in constant time, so that the time taken tells nothing.
    fn find(&self, offered: &KeyHash) -> Option<&Known> {
        let equals = |known: &&Known| bool::from(known.key.hash.0.ct_eq(&offered.0));
        self.keys.iter().filter(equals).fold(None, |found, known| found.or(Some(known)))
    }
}

impl Known {
    /// Counts a request, where the key has a rate.
    fn count(&self, now: Tick) -> Result<Option<Left>, Problem> {
        Ok(self.meter.as_ref().map(|meter| meter.count(now)).transpose()?)
    }
}

fn challenge(kind: Kind, detail: impl Into<String>, challenge: HeaderValue) -> Problem {
    Problem::new(kind, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

/// The bearer token of the only `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets a request through to a route that needs `scope`.
pub(super) async fn require(
    State((service, scope)): State<(Arc<Service>, Scope)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(known) = service.auth.check(request.headers(), scope)? else {
        return Ok(next.run(request).await);
    };
    tracing::Span::current().record("key", &known.key.name);
    let mut response = match known.count(service.clock.tick()) {
        Err(problem) => problem.into_response(),
        Ok(left) => {
            let mut response = next.run(request).await;
            response.headers_mut().extend(left.into_iter().flat_map(Left::headers));
            response
        }
    };
    if !response.status().is_success() {
        response.extensions_mut().insert(KeyName(known.key.name.as_str().into()));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rate::Rate;

    fn headers(values: &[&str]) -> HeaderMap {
        let named = values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
        named.collect()
    }

    fn auth() -> Auth {
        let key = |name: &str, key, scopes: &[Scope]| ApiKey {
            name: name.into(),
            hash: KeyHash::of(key),
            scopes: scopes.iter().copied().collect(),
            rate: None,
        };
        Auth::new(vec![
            key("api", "key-of-the-api", &[Scope::Ingest]),
            key("ops", "key-of-ops", &[Scope::Read, Scope::Admin]),
        ])
    }

    #[test]
    fn a_key_opens_its_own_scopes_and_no_other() {
        let auth = auth();
        for (header, scope, name) in [
            ("Bearer key-of-the-api", Scope::Ingest, "api"),
            ("bearer key-of-ops", Scope::Read, "ops"),
            ("BEARER  key-of-ops", Scope::Admin, "ops"),
        ] {
            let known = auth.check(&headers(&[header]), scope).unwrap();
            assert_eq!(known.map(|known| &*known.key.name), Some(name));
        }
        assert!(auth.check(&headers(&["Bearer key-of-the-api"]), Scope::Read).is_err());
        assert!(auth.check(&headers(&["Bearer key-of-ops"]), Scope::Ingest).is_err());
    }

    #[test]
    fn anything_but_one_known_bearer_key_opens_nothing() {
        let known = "Bearer key-of-the-api";
        let hash = format!("Bearer {}", hex::encode(KeyHash::of("key-of-the-api").0));
        let cases: [&[&str]; 7] = [
            &[],
            &["Bearer"],
            &["Bearer "],
            &["Basic key-of-the-api"],
            &["Bearer key-of-the-ap"],
            &[&hash],
            &[known, known],
        ];
        for case in cases {
            assert!(auth().check(&headers(case), Scope::Ingest).is_err(), "{case:?}");
        }
    }

    #[test]
    fn a_key_that_stays_goes_on_from_what_it_has_left_and_one_with_another_rate_begins_anew() {
        let key = |requests| ApiKey {
            name: "api".into(),
            hash: KeyHash::of("key-of-the-api"),
            scopes: [Scope::Ingest].into(),
            rate: Some(Rate { requests, per: std::time::Duration::from_secs(60) }),
        };
        let before = Auth::new(vec![key(1)]);
        assert!(before.keys[0].count(Tick::default()).is_ok());
        assert!(before.succeeded_by(vec![key(1)]).keys[0].count(Tick::default()).is_err());
        assert!(before.succeeded_by(vec![key(2)]).keys[0].count(Tick::default()).is_ok());
    }

    fn named(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn without_keys_everything_is_open_to_programs_and_to_our_own_pages() {
        for own in [
            vec![],
            vec![("host", "127.0.0.1:8080")],
            vec![("host", "decache:8080")],
            vec![("host", "localhost:8080"), ("origin", "http://localhost:8080")],
            vec![
                ("host", "localhost:8080"),
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://behind.a.proxy"),
            ],
            vec![("host", "localhost:8080"), ("sec-fetch-site", "none")],
        ] {
            assert!(Auth::default().check(&named(&own), Scope::Admin).is_ok(), "{own:?}");
        }
    }

    #[test]
    fn without_keys_a_page_of_another_site_does_nothing_even_by_a_name_that_leads_to_us() {
        let pages = [
            vec![("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
            vec![
                ("host", "localhost:8080"),
                ("sec-fetch-site", "same-site"),
                ("origin", "http://localhost:3000"),
            ],
            vec![("host", "localhost:8080"), ("origin", "http://evil.example")],
            vec![("host", "localhost:8080"), ("origin", "null")],
        ];
        let rebound = vec![("host", "evil.example:8080"), ("origin", "http://evil.example:8080")];
        let (strict, lax) = (Auth::default(), Auth::default().by_any_name(true));
        for page in &pages {
            assert!(strict.check(&named(page), Scope::Read).is_err(), "{page:?}");
            assert!(lax.check(&named(page), Scope::Read).is_err(), "{page:?}");
        }
        assert!(strict.check(&named(&rebound), Scope::Read).is_err());
        assert!(strict.succeeded_by(vec![]).check(&named(&rebound[..1]), Scope::Read).is_err());
        assert!(
            lax.succeeded_by(vec![]).check(&named(&rebound), Scope::Read).is_ok(),
            "something else keeps strangers out"
        );
        assert!(
            auth().check(&named(&rebound), Scope::Read).unwrap_err().told().1.contains("key"),
            "keys decide where there are any"
        );
    }
}
