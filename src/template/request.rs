//! Templates of requests that remove copies: a URL and headers, filled for each copy (DESIGN 8).
//!
//! ```text
//! http://varnish.internal:6081{key}
//! https://cdn.example.com/purge/{resource_type}-{entity_id}
//! ```
//! The places are `{key}` (the copy's key), `{entity_id}`, `{resource_type}` and `{access_token}`, with the filters of key
//! templates. In a URL a value is percent-encoded, so that what an entity is called cannot change where the request goes; only
//! `{key}` keeps what has a meaning in URLs, for it is one.

use std::{borrow::Cow, fmt};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

use super::{Filter, TemplateError, braces};
use crate::event::{AccessToken, Entity};

/// What a client escapes in a URL that it is given (WHATWG's set for paths, without `?`).
const NOT_IN_A_URL: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// A header's value, or a part of a URL. It may hold a secret, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestTemplate {
    parts: Vec<Part>,
}

/// A URL whose host is certain.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    template: RequestTemplate,
    server: Box<str>,
    /// `{key}` stands right behind the host.
    is_key_path: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Place(Place, Filter),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    EntityId,
    ResourceType,
    AccessToken,
}

/// A copy, as a request names it.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// Its key.
    pub key: &'a str,
    /// What it is a copy of, and whose, where that is known.
    pub of: Option<(&'a Entity, &'a AccessToken)>,
}

impl RequestTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] for unbalanced braces, unknown placeholders or filters.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let part = |token| match token {
            braces::Token::Literal(literal) => Ok(Part::Literal(literal)),
            braces::Token::Placeholder(inside) => {
                let (name, filter) = Filter::split(inside)?;
                Ok(Part::Place(Place::parse(name)?, filter))
            }
        };
        Ok(Self { parts: braces::split(text)?.into_iter().map(part).collect::<Result<_, _>>()? })
    }

    /// Whether it is the same for all copies.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// The value for a copy; `None` where it needs more than is known of it.
    pub fn expand(&self, copy: Named<'_>) -> Option<String> {
        self.fill(copy, |_, filter, value| filter.apply(value).into_owned())
    }

    fn fill(&self, copy: Named<'_>, put: impl Fn(Place, Filter, &str) -> String) -> Option<String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => filled.push_str(literal),
                Part::Place(place, filter) => filled.push_str(&put(*place, *filter, place.of(copy)?)),
            }
        }
        Some(filled)
    }
}

impl UrlTemplate {
    /// Reads a URL template.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = RequestTemplate::parse(text).map_err(|error| error.to_string())?;
        let Some(Part::Literal(leading)) = template.parts.first() else { return Err(EXPECTED.to_owned()) };
        let (scheme, rest) = leading.split_once("://").ok_or(EXPECTED)?;
        let is_key_path = matches!(template.parts.get(1), Some(Part::Place(Place::Key, Filter::Plain)));
        let authority = match rest.split_once('/') {
            Some((authority, _)) => authority,
            None if is_key_path || template.parts.len() == 1 => rest,
            None => return Err(EXPECTED.to_owned()),
        };
        let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| EXPECTED)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || authority.contains(['?', '#', '\\']) || !["http", "https"].contains(&scheme) {
            return Err(format!("{EXPECTED}; a user and a password go into headers"));
        }
        let has_fragment = |part: &Part| matches!(part, Part::Literal(literal) if literal.contains('#'));
        if template.parts.iter().any(has_fragment) {
            return Err(format!("{EXPECTED}, and no `#`"));
        }
        let server = format!("{scheme}://{authority}").into();
        Ok(Self { is_key_path: is_key_path && !rest.contains('/'), template, server })
    }

    /// Scheme, host and port.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether a copy's key has to begin with `/` to have a URL.
    pub fn is_key_path(&self) -> bool {
        self.is_key_path
    }

    /// Whether it is the same for all copies.
    pub fn is_constant(&self) -> bool {
        self.template.is_constant()
    }

    /// The URL for a copy; `None` where it needs more than is known of it, or where no URL of this server has such a key.
    pub fn expand(&self, copy: Named<'_>) -> Option<String> {
        if self.is_key_path && !copy.key.starts_with('/') {
            return None;
        }
        self.template.fill(copy, |place, filter, value| match (place, filter) {
            (Place::Key, Filter::Plain) => Cow::from(utf8_percent_encode(value, NOT_IN_A_URL)).into_owned(),
            (_, Filter::Plain) => Filter::UrlEncode.apply(value).into_owned(),
            (_, filter) => filter.apply(value).into_owned(),
        })
    }
}

const EXPECTED: &str = "expected http://host[:port]/path or https://..., where the first placeholder comes after the `/`, or is \
                        {key} right after the port";

impl Place {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        match name {
            "key" => Ok(Self::Key),
            "entity_id" => Ok(Self::EntityId),
            "resource_type" => Ok(Self::ResourceType),
            "access_token" => Ok(Self::AccessToken),
            _ => Err(TemplateError::unknown(name, &["key", "entity_id", "resource_type", "access_token"])),
        }
    }

    fn of(self, copy: Named<'_>) -> Option<&str> {
        match (self, copy.of) {
            (Self::Key, _) => Some(copy.key),
            (Self::EntityId, Some((entity, _))) => Some(&entity.id),
            (Self::ResourceType, Some((entity, _))) => Some(&entity.resource_type),
            (Self::AccessToken, Some((_, token))) => Some(token.expose()),
            (_, None) => None,
        }
    }
}

impl fmt::Debug for RequestTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestTemplate(..)")
    }
}

impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UrlTemplate").field(&self.server).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(url: &str, id: &str, key: &str) -> Option<String> {
        let (entity, token) = (Entity::new("Posts", id).unwrap(), AccessToken::new("tok-a&b"));
        UrlTemplate::parse(url).unwrap().expand(Named { key, of: Some((&entity, &token)) })
    }

    #[test]
    fn a_key_is_a_url_and_other_values_are_parts_of_one() {
        let at = |url, id, key| expanded(url, id, key).unwrap();
        let key = "/posts/é 42?a=1&t=tok-a#b%20";
        assert_eq!(at("http://h:1{key}", "42", key), "http://h:1/posts/%C3%A9%2042?a=1&t=tok-a%23b%20");
        assert_eq!(at("http://h/{resource_type}/{entity_id}", "../a?b", key), "http://h/Posts/..%2Fa%3Fb");
        assert_eq!(at("https://h/?t={access_token}", "42", key), "https://h/?t=tok-a%26b");
        assert_eq!(at("http://h/{key:urlencode}", "42", "/a?b"), "http://h/%2Fa%3Fb");
    }

    #[test]
    fn no_key_leads_to_another_server() {
        for key in ["@evil/", ":80/", ".evil/", "posts/42", ""] {
            assert_eq!(expanded("http://h{key}", "42", key), None, "{key}");
        }
        assert_eq!(expanded("http://h/api{key}", "42", "@evil/").unwrap(), "http://h/api@evil/");
    }

    #[test]
    fn a_url_whose_host_is_not_certain_is_refused() {
        for url in [
            "",
            "{key}",
            "http://{resource_type}/",
            "http://h{entity_id}",
            "http://h:{entity_id}/",
            "http://h{key:urlencode}",
            "http://u:p@h/{key}",
            "http:///x",
            "ftp://h/",
            "http://h?{key}",
            "http://h/{key}#x",
            "http://h/{nothing}",
        ] {
            assert!(UrlTemplate::parse(url).is_err(), "{url}");
        }
        for url in ["http://h", "https://h:8443/", "http://[::1]:1{key}"] {
            assert!(UrlTemplate::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_copy_cannot_be_filled_in() {
        let copy = Named { key: "/posts/42", of: None };
        let header = |text| RequestTemplate::parse(text).unwrap().expand(copy);
        assert_eq!(header("{key}"), Some("/posts/42".to_owned()));
        assert_eq!(header("{resource_type}-{entity_id}"), None);
        let secret = RequestTemplate::parse("Bearer key-of-decache").unwrap();
        assert!(secret.is_constant() && !format!("{secret:?}").contains("key-of"));
    }
}
