//! Key templates: the text of a copy's key with places for the entity id and the access token (DESIGN 8).
//!
//! ```text
//! /posts/{entity_id}?access_token={access_token}
//! user:{access_token:sha256}:post:{entity_id:urlencode}
//! ```
//! `{{` and `}}` are literal braces. Each place is filled once: an entity id that reads `{access_token}` stays that.

use std::{borrow::Cow, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::{caches::CopyKey, event::AccessToken};

pub(crate) mod braces;
pub(crate) mod glob;
pub(crate) mod request;
mod reverse;
mod variant;

pub use braces::TemplateError;
pub use glob::Glob;
pub use request::{Named, RequestTemplate, UrlTemplate};
pub use reverse::{Reading, Readings};
pub use variant::{Templates, VariantError};

/// All but the unreserved characters of RFC 3986, in UTF-8.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A key's text, taken apart. Literals are never empty and never side by side, so equal keys are equal templates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    EntityId(Filter),
    AccessToken(Filter),
}

/// What is done to a value before it is put in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filter {
    Plain,
    /// Lowercase hex of the SHA-256.
    Sha256,
    /// Percent-encoded but for unreserved characters.
    UrlEncode,
}

impl KeyTemplate {
    /// A template of a resource.
    ///
    /// # Errors
    /// [`TemplateError`] for unbalanced braces, unknown placeholders or filters, and where `{entity_id}` is missing.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let template = Self::read(text, &["entity_id", "access_token"])?;
        let names_entity = template.parts.iter().any(|part| matches!(part, Part::EntityId(_)));
        if names_entity { Ok(template) } else { Err(TemplateError::NoEntityId) }
    }

    /// A variant as it is stored: the text that [`KeyTemplate`] displays, where the token is the one open place. It
    /// means the same whatever has become of the resource's templates.
    ///
    /// # Errors
    /// [`TemplateError`] for what no variant can be.
    pub fn parse_variant(text: &str) -> Result<Self, TemplateError> {
        Self::read(text, &["access_token"])
    }

    fn read(text: &str, known: &'static [&'static str]) -> Result<Self, TemplateError> {
        let mut template = Self::default();
        for token in braces::split(text)? {
            match token {
                braces::Token::Literal(literal) => template.push_literal(&literal),
                braces::Token::Placeholder(inside) => template.parts.push(Part::parse(inside, known)?),
            }
        }
        Ok(template)
    }

    /// Whether a key needs an access token.
    pub fn uses_token(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::AccessToken(_)))
    }

    /// What every key begins with: its text before the first place.
    pub(crate) fn leading_text(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// The copy's key; `None` where it needs a token and there is none.
    pub fn expand(&self, entity_id: &str, token: Option<&AccessToken>) -> Option<CopyKey> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => key.push_str(literal),
                Part::EntityId(filter) => key.push_str(&filter.apply(entity_id)),
                Part::AccessToken(filter) => key.push_str(&filter.apply(token?.expose())),
            }
        }
        Some(CopyKey(key))
    }

    /// The same template with this entity's id in it: a key but for the token.
    pub fn for_entity(&self, entity_id: &str) -> Self {
        Self::of(&self.parts, entity_id)
    }

    /// The template for people, as the API would write it: literal braces stand single. Not to be parsed.
    pub fn shown(&self) -> String {
        self.parts.iter().map(Part::shown).collect()
    }

    fn of(parts: &[Part], entity_id: &str) -> Self {
        let mut template = Self::default();
        for part in parts {
            match part {
                Part::EntityId(filter) => template.push_literal(&filter.apply(entity_id)),
                part => template.push(part.clone()),
            }
        }
        template
    }

    fn push(&mut self, part: Part) {
        match part {
            Part::Literal(literal) => self.push_literal(&literal),
            part => self.parts.push(part),
        }
    }

    fn push_literal(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Literal(literal)) => literal.push_str(text),
            _ => self.parts.push(Part::Literal(text.to_owned())),
        }
    }
}

/// The text that parses to the same template.
impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(literal) => f.write_str(&braces::escape(literal)),
            place => f.write_str(&place.shown()),
        })
    }
}

impl Part {
    fn parse(inside: &str, known: &'static [&'static str]) -> Result<Self, TemplateError> {
        let (name, filter) = Filter::split(inside)?;
        match name {
            _ if !known.contains(&name) => Err(TemplateError::unknown(name, known)),
            "entity_id" => Ok(Self::EntityId(filter)),
            _ => Ok(Self::AccessToken(filter)),
        }
    }

    fn shown(&self) -> Cow<'_, str> {
        let (name, filter) = match self {
            Self::Literal(literal) => return Cow::Borrowed(literal),
            Self::EntityId(filter) => ("entity_id", filter),
            Self::AccessToken(filter) => ("access_token", filter),
        };
        Cow::Owned(match filter {
            Filter::Plain => format!("{{{name}}}"),
            Filter::Sha256 => format!("{{{name}:sha256}}"),
            Filter::UrlEncode => format!("{{{name}:urlencode}}"),
        })
    }
}

impl Filter {
    /// The name in a placeholder, and its filter.
    fn split(inside: &str) -> Result<(&str, Self), TemplateError> {
        Ok(match inside.split_once(':') {
            Some((name, filter)) => (name, Self::parse(filter)?),
            None => (inside, Self::Plain),
        })
    }

    fn parse(name: &str) -> Result<Self, TemplateError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "urlencode" => Ok(Self::UrlEncode),
            _ => Err(TemplateError::UnknownFilter(name.to_owned())),
        }
    }

    fn apply(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => Cow::Borrowed(value),
            Self::Sha256 => Cow::Owned(hex::encode(Sha256::digest(value))),
            Self::UrlEncode => utf8_percent_encode(value, RESERVED).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(template: &str, entity_id: &str, token: &str) -> String {
        let template = KeyTemplate::parse(template).unwrap();
        template.expand(entity_id, Some(&AccessToken::new(token))).unwrap().0
    }

    #[test]
    fn places_are_filled() {
        let key = expand("/posts/{entity_id}?access_token={access_token}", "42", "tok-alice");
        assert_eq!(key, "/posts/42?access_token=tok-alice");
    }

    #[test]
    fn filters_are_applied_to_both_places() {
        assert_eq!(
            expand("{access_token:urlencode}/{entity_id:urlencode}", "a/b é~", "tok-a&="),
            "tok-a%26%3D/a%2Fb%20%C3%A9~"
        );
        assert_eq!(
            expand("{access_token:sha256}/{entity_id:sha256}", "42", "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/\
             73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049"
        );
    }

    #[test]
    fn a_template_that_uses_the_token_has_no_key_without_one() {
        let shared = KeyTemplate::parse("/posts/{entity_id}").unwrap();
        assert!(!shared.uses_token());
        assert_eq!(shared.expand("42", None), Some(CopyKey("/posts/42".to_owned())));
        let per_user = KeyTemplate::parse("/posts/{entity_id}/{access_token:sha256}").unwrap();
        assert!(per_user.uses_token());
        assert_eq!(per_user.expand("42", None), None);
    }

    #[test]
    fn doubled_braces_are_literal_ones() {
        assert_eq!(expand("{{{entity_id}}}:{{entity_id}}", "42", ""), "{42}:{entity_id}");
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        let error = |text| KeyTemplate::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("/posts/{id}"),
            "unknown placeholder {id}: the known ones are {entity_id}, {access_token}"
        );
        assert_eq!(
            error("/{entity_id:md5}"),
            "unknown filter `md5`: the known ones are `sha256`, `urlencode`"
        );
        assert_eq!(error("/posts?access_token={access_token}"), "the template must hold {entity_id}");
        assert_eq!(error(""), "the template must hold {entity_id}");
        assert_eq!(error("/{entity_id"), "the `{` at byte 1 is not closed: a literal brace is written `{{`");
        assert_eq!(
            error("/}{entity_id}"),
            "the `}` at byte 1 closes nothing: a literal brace is written `}}`"
        );
        assert!(KeyTemplate::parse_variant("{entity_id}").is_err());
    }

    #[test]
    fn an_entitys_template_keeps_the_token_open_and_braces_literal() {
        let template = KeyTemplate::parse("/{{x}}/{entity_id}?t={access_token}").unwrap();
        let of_entity = template.for_entity("{access_token}");
        assert_eq!(of_entity.to_string(), "/{{x}}/{{access_token}}?t={access_token}");
        assert_eq!(of_entity.shown(), "/{x}/{access_token}?t={access_token}");
        assert_eq!(KeyTemplate::parse_variant(&of_entity.to_string()).unwrap(), of_entity);
    }

    proptest! {
        #[test]
        fn a_value_is_never_expanded_again(
            id in "(\\{|\\}|entity_id|access_token|:sha256|a){0,8}",
            token in "(\\{|\\}|entity_id|access_token|b){0,8}",
        ) {
            prop_assert_eq!(expand("<{entity_id}|{access_token}>", &id, &token), format!("<{id}|{token}>"));
            let kept = KeyTemplate::parse("<{entity_id}|{access_token}>").unwrap().for_entity(&id).to_string();
            let key = KeyTemplate::parse_variant(&kept).unwrap().expand("", Some(&AccessToken::new(token.as_str())));
            prop_assert_eq!(key, Some(CopyKey(format!("<{id}|{token}>"))));
        }

        #[test]
        fn no_text_makes_it_panic_and_what_parses_displays_as_itself(text in "(\\{|\\}|entity_id|access_token|:|sha256|é){0,12}") {
            if let Ok(template) = KeyTemplate::parse(&text) {
                prop_assert_eq!(template.to_string(), text);
            }
        }
    }
}
