//! A query string, read strictly: decoded once, UTF-8 or nothing, no name twice, none that the route does not know.

use std::collections::BTreeMap;

use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;

use super::problem::{Kind, Problem};
use crate::event::is_resource_type;

/// The most items on a page.
const MOST_ITEMS: usize = 1000;
/// Items on a page, where the client does not say.
const DEFAULT_ITEMS: usize = 100;

/// Query parameters, in form encoding: `+` is a space.
pub(super) struct Query(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    /// Reads `a=1&b=2`. Not through serde: its form decoder turns what is not UTF-8 into U+FFFD, and so makes different
    /// ids the same.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut pairs = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if pairs.insert(decode(name)?, decode(value)?).is_some() {
                return Err(invalid("a query parameter stands there twice".to_owned()));
            }
        }
        Ok(Self(pairs))
    }

    /// Refuses parameters other than these, so that a misspelt one is not silently without effect.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        if self.0.keys().all(|name| known.contains(&name.as_str())) {
            return Ok(());
        }
        Err(invalid(format!("a query parameter is not known; this route takes: {}", known.join(", "))))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| invalid(format!("the query parameter `{name}` is missing")))
    }

    /// The type that only is wanted, where one is.
    pub(super) fn resource_type(&self) -> Result<Option<&str>, Problem> {
        match self.get("resource_type") {
            Some(name) if !is_resource_type(name) => Err(invalid(
                "`resource_type` is not one: 1 to 64 of the characters A-Z a-z 0-9 _ . -".to_owned(),
            )),
            name => Ok(name),
        }
    }

    /// How many items the client wants on a page.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(DEFAULT_ITEMS) };
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let limit = digits.and_then(|it| it.parse().ok()).filter(|limit| (1..=MOST_ITEMS).contains(limit));
        limit.ok_or_else(|| invalid(format!("`limit` has to be a whole number from 1 to {MOST_ITEMS}")))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid("the query is not percent-encoded UTF-8".to_owned()))
}

fn invalid(detail: String) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_exactly_once() {
        let query = Query::parse("a=x%2Fy&b=x%252Fy&c=1+2%2B3&d&&e==").unwrap();
        let values = ["a", "b", "c", "d", "e", "f"].map(|name| query.get(name));
        assert_eq!(values, [Some("x/y"), Some("x%2Fy"), Some("1 2+3"), Some(""), Some("="), None]);
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for text in ["a=%FF", "%FF=1", "a=1&a=2", "a=1&%61=2"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        assert!(Query::parse("limt=5").unwrap().only(&["limit"]).is_err());
        assert!(Query::parse("limit=5").unwrap().only(&["limit"]).is_ok());
    }

    #[test]
    fn a_limit_is_within_its_bounds() {
        let limit = |text| Query::parse(text).unwrap().limit().ok();
        assert_eq!(["", "limit=1", "limit=1000"].map(limit), [Some(100), Some(1), Some(1000)]);
        assert_eq!(
            ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=ten", "limit=%2B5"].map(limit),
            [None; 6]
        );
    }
}
