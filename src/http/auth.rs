//! Who may ask: API keys as bearer tokens, known by their hashes only.

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    Service,
    problem::{Kind, Problem},
};

/// What a key may do. No scope implies another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Post events.
    Ingest,
    /// Look at entities, holders, jobs, metrics.
    Read,
    /// Invalidate.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// The word for it in configuration and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// SHA-256 of an API key, written as 64 hex digits. Keys are long and random, so a plain hash does not give them away.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash([u8; 32]);

/// The text is not a hash.
#[derive(Debug, thiserror::Error)]
#[error("a key's hash has to be 64 hex digits, as `decache hash-key` prints them")]
pub struct KeyHashError;

impl KeyHash {
    /// Hashes a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl FromStr for KeyHash {
    type Err = KeyHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| KeyHashError)?;
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A key that opens something.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Names its user in logs.
    pub name: Box<str>,
    /// All that is known of it.
    pub hash: KeyHash,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// The keys that are known. Without any, everything is open.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    keys: Vec<ApiKey>,
}

impl Auth {
    /// Asks for one of these keys; for none where there are none.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        Self { keys }
    }

    /// Finds out whether a request with these headers may do what `scope` is for, and by whose key.
    fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<Option<&str>, Problem> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let offered = bearer(headers).ok_or_else(|| {
            let detail = "send one `Authorization: Bearer <key>` header";
            challenge(Kind::Unauthorized, detail, HeaderValue::from_static("Bearer"))
        })?;
        let key = self.find(&KeyHash::of(offered)).ok_or_else(|| {
            let error = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            challenge(Kind::Unauthorized, "the API key is not known", error)
        })?;
        if !key.scopes.contains(&scope) {
            let detail = format!("this needs a key with the scope `{}`", scope.as_str());
            let error = HeaderValue::from_static(r#"Bearer error="insufficient_scope""#);
            return Err(challenge(Kind::Forbidden, detail, error));
        }
        Ok(Some(&key.name))
    }

    /// Compares with every key, each in constant time, so that the time taken tells nothing.
    fn find(&self, offered: &KeyHash) -> Option<&ApiKey> {
        let equals = |key: &&ApiKey| bool::from(key.hash.0.ct_eq(&offered.0));
        self.keys.iter().filter(equals).fold(None, |found, key| found.or(Some(key)))
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
    if let Some(name) = service.auth.check(request.headers(), scope)? {
        tracing::Span::current().record("key", name);
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let named = values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
        named.collect()
    }

    fn auth() -> Auth {
        let key = |name: &str, key, scopes| ApiKey { name: name.into(), hash: KeyHash::of(key), scopes };
        Auth::new(vec![
            key("api", "key-of-the-api", vec![Scope::Ingest]),
            key("ops", "key-of-ops", vec![Scope::Read, Scope::Admin]),
        ])
    }

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let hash = KeyHash::of("abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.to_string().parse::<KeyHash>().unwrap().0, hash.0);
        for wrong in ["", "ba78", &"g".repeat(64), &"a".repeat(66)] {
            assert!(wrong.parse::<KeyHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_opens_its_own_scopes_and_no_other() {
        let auth = auth();
        for (header, scope, name) in [
            ("Bearer key-of-the-api", Scope::Ingest, "api"),
            ("bearer key-of-ops", Scope::Read, "ops"),
            ("BEARER  key-of-ops", Scope::Admin, "ops"),
        ] {
            assert_eq!(auth.check(&headers(&[header]), scope).unwrap(), Some(name));
        }
        assert!(auth.check(&headers(&["Bearer key-of-the-api"]), Scope::Read).is_err());
        assert!(auth.check(&headers(&["Bearer key-of-ops"]), Scope::Ingest).is_err());
    }

    #[test]
    fn anything_but_one_known_bearer_key_opens_nothing() {
        let known = "Bearer key-of-the-api";
        let hash = format!("Bearer {}", KeyHash::of("key-of-the-api"));
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
    fn without_keys_everything_is_open() {
        assert!(Auth::default().check(&headers(&[]), Scope::Admin).is_ok());
    }
}
