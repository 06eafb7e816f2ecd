//! `Prefer: wait=N` (RFC 7240): answer when the work is done, if that is within N seconds.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};

use tokio::sync::OwnedSemaphorePermit;

use super::Service;

/// Where a client says how long it would like to wait.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long the client would like to wait, cut to what is granted. A preference that is not understood is none, and so is one
/// where too many wait already: a request that waits holds its connection, and others need some.
pub(super) struct Wait(
    pub(super) Option<Duration>,
    #[expect(dead_code, reason = "it is held, not read")] Option<OwnedSemaphorePermit>,
);

impl Wait {
    /// Tells the client what was granted.
    pub(super) fn applied(&self) -> HeaderMap {
        let value = self.0.and_then(|wait| HeaderValue::try_from(format!("wait={}", wait.as_secs())).ok());
        value.into_iter().map(|value| (PREFERENCE_APPLIED, value)).collect()
    }
}

impl FromRequestParts<Arc<Service>> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Infallible> {
        let wanted = wanted(&parts.headers).map(|wait| wait.min(service.limits.wait));
        let slot = wanted.and_then(|_| service.waiting.clone().try_acquire_owned().ok());
        Ok(Self(wanted.filter(|_| slot.is_some()), slot))
    }
}

/// The first `wait` of all `Prefer` headers; RFC 7240 has the first instance count.
fn wanted(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(',')).filter_map(|preference| {
        let preference = preference.split(';').next()?;
        let (name, value) = preference.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let seconds: u32 = preferences.next()?.parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_read_as_rfc_7240_writes_it() {
        let cases: [(&[&str], Option<u64>); 12] = [
            (&[], None),
            (&["wait=5"], Some(5)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async", "Wait = \"7\""], Some(7)),
            (&["wait=5; foo=\"bar\""], Some(5)),
            (&["wait=3, wait=9"], Some(3)),
            (&["wait"], None),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=soon"], None),
            (&["wait=99999999999"], None),
            (&["await=5"], None),
        ];
        for (values, seconds) in cases {
            let headers =
                values.iter().map(|value| (PREFER, HeaderValue::from_str(value).unwrap())).collect();
            assert_eq!(wanted(&headers), seconds.map(Duration::from_secs), "{values:?}");
        }
    }
}
