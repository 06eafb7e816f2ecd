//! How many requests a key may still make, and the headers that tell it so (the IETF's draft of `RateLimit` fields).
//! Own code rather than a crate: it is one number, and the clock is ours.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Kind, Problem};
use crate::{clock::Tick, config::rate::Rate};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Counts one key's requests by the generic cell rate algorithm: each costs `per / requests`, and the debt, which time
/// pays off, may not exceed `per`.
#[derive(Debug)]
pub(super) struct Meter {
    rate: Rate,
    /// When nothing will be owed any more.
    paid_off: Mutex<Tick>,
}

/// What a key has left after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    rate: Rate,
    /// Requests that may be made at once.
    requests: u32,
    /// Until all of them may be made again.
    whole_after: Duration,
}

/// A request too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UsedUp {
    left: Left,
    /// When one may be made again.
    retry_after: Duration,
}

impl Meter {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, paid_off: Mutex::default() }
    }

    /// Counts a request, where it may be made; one that may not costs nothing.
    pub(super) fn count(&self, now: Tick) -> Result<Left, UsedUp> {
        let cost = self.rate.per / self.rate.requests;
        let mut paid_off = self.paid_off.lock().unwrap_or_else(PoisonError::into_inner);
        let next = now.max(*paid_off).after(cost);
        let debt = next.since(now);
        if debt > self.rate.per {
            let left = self.left(paid_off.since(now), cost);
            return Err(UsedUp { left, retry_after: debt - self.rate.per });
        }
        *paid_off = next;
        Ok(self.left(debt, cost))
    }

    fn left(&self, debt: Duration, cost: Duration) -> Left {
        let left = (self.rate.per - debt.min(self.rate.per)).as_nanos() / cost.as_nanos().max(1);
        let requests = u32::try_from(left).unwrap_or(u32::MAX).min(self.rate.requests);
        Left { rate: self.rate, requests, whole_after: debt }
    }
}

impl Left {
    /// `RateLimit-Policy` and `RateLimit`, for every answer to the key.
    pub(super) fn headers(self) -> HeaderMap {
        let policy = format!("\"key\";q={};w={}", self.rate.requests, self.rate.per.as_secs());
        let limit = format!("\"key\";r={};t={}", self.requests, whole_seconds(self.whole_after));
        let named = [(POLICY, policy), (LIMIT, limit)].into_iter();
        named.filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
    }
}

impl From<UsedUp> for Problem {
    fn from(UsedUp { left, retry_after }: UsedUp) -> Self {
        let Rate { requests, per } = left.rate;
        let detail = format!("this key may make {requests} requests in {} s", per.as_secs());
        let problem = Self::new(Kind::QuotaExceeded, detail).retry_after(retry_after);
        left.headers().into_iter().fold(problem, |problem, (name, value)| match name {
            Some(name) => problem.with_header(name, value),
            None => problem,
        })
    }
}

/// Rounded up: whoever waits so long does not come too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(requests: u32, seconds: u64) -> Meter {
        Meter::new(Rate { requests, per: Duration::from_secs(seconds) })
    }

    fn at(millis: u64) -> Tick {
        Tick::default().after(Duration::from_millis(millis))
    }

    fn header(headers: &HeaderMap, name: HeaderName) -> &str {
        headers[name].to_str().unwrap()
    }

    #[test]
    fn all_requests_may_be_made_at_once_and_come_back_evenly() {
        let meter = meter(4, 2);
        let left = [(); 4].map(|()| meter.count(at(100)).unwrap().requests);
        assert_eq!(left, [3, 2, 1, 0]);
        let used_up = meter.count(at(100)).unwrap_err();
        assert_eq!((used_up.left.requests, used_up.retry_after), (0, Duration::from_millis(500)));
        assert_eq!(meter.count(at(599)).unwrap_err().retry_after, Duration::from_millis(1));
        assert_eq!(meter.count(at(600)).unwrap().requests, 0);
        assert_eq!(meter.count(at(60_000)).unwrap().requests, 3, "no more than the rate is saved up");
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        let meter = meter(1, 1);
        meter.count(at(0)).unwrap();
        for millis in [1, 500, 999] {
            meter.count(at(millis)).unwrap_err();
        }
        meter.count(at(1000)).unwrap();
    }

    #[test]
    fn the_headers_are_structured_fields_in_whole_seconds() {
        let meter = meter(100, 60);
        let headers = meter.count(at(0)).unwrap().headers();
        assert_eq!(header(&headers, POLICY), r#""key";q=100;w=60"#);
        assert_eq!(header(&headers, LIMIT), r#""key";r=99;t=1"#);
    }

    #[test]
    fn the_highest_rate_is_kept_too() {
        let meter = meter(1_000_000, 1);
        let taken = (0..1_000_001).take_while(|_| meter.count(at(0)).is_ok()).count();
        assert_eq!(taken, 1_000_000);
    }
}
