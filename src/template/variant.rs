//! Variants: copies under a key that is not the resource's template, such as `/posts/42?page=2&access_token=...`.
//!
//! An event names one as `cache_key`, and decache deletes what it names. So it must be a key of the event's own entity.

use super::{Filter, KeyTemplate, Part};
use crate::{
    caches::CopyKey,
    event::{AccessToken, Entity},
};

/// What may follow an entity id that stands in a key as it is. These part a key's path, query and fragment; what ids
/// hold themselves (`.`, `-`, `_`, `:`, `,`, `%`, letters and digits) is not among them.
pub(super) const BOUNDARIES: [char; 5] = ['/', '?', '&', '#', ';'];

/// Shorter tokens may well be part of a key by chance.
const MIN_TELLING_TOKEN_BYTES: usize = 5;

/// Why a `cache_key` is refused. None of these repeats it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VariantError {
    /// It is no key of this entity.
    #[error(
        "cache_key must begin with a key template of the resource up to its entity id, here `{0}`, and go on with \
         `/`, `?`, `&`, `#`, `;` or what follows the id in the template"
    )]
    OtherEntity(String),
    /// What follows the entity id is no template text.
    #[error(
        "what follows the entity id in cache_key may hold {{access_token}}, and literal braces doubled: {{{{ }}}}"
    )]
    Braces,
    /// It would be one key for all users.
    #[error("cache_key must hold {{access_token}} where the token stands in the key")]
    NoToken,
    /// Stores and answers would hold the token in clear.
    #[error("cache_key must hold {{access_token}} in place of the token itself")]
    HoldsToken,
    /// It would delete what decache itself keeps.
    #[error("the copy's key must not begin with `{0}`, the prefix of decache's own keys")]
    StoreKey(Box<str>),
}

/// A resource's key templates: the keys under which one user's copies of an entity live.
#[derive(Clone, Debug)]
pub struct Templates(Vec<KeyTemplate>);

impl Templates {
    /// The templates in the order of the configuration.
    pub fn new(templates: Vec<KeyTemplate>) -> Self {
        Self(templates)
    }

    /// The templates themselves.
    pub fn iter(&self) -> impl Iterator<Item = &KeyTemplate> {
        self.0.iter()
    }

    /// Whether any of them needs an access token.
    pub fn uses_token(&self) -> bool {
        self.iter().any(KeyTemplate::uses_token)
    }

    /// The keys of one user's copies; a template that needs a token gives none without one.
    pub fn expand(&self, entity_id: &str, token: Option<&AccessToken>) -> Vec<CopyKey> {
        self.iter().filter_map(|template| template.expand(entity_id, token)).collect()
    }

    /// Reads an event's `cache_key`: a key of the event's entity with `{access_token}` in place of the token. Up to its
    /// entity id it is compared as it stands; what follows is template text. `None` where it is one of the
    /// templates, and so no variant at all.
    ///
    /// The entity id must end where the template's ends: what follows begins with `/ ? & # ;`, or with what follows in the
    /// template (unless that is a letter or digit). An encoded id may end at any character that its encoding has not.
    /// An id that holds such a character itself (`a/b`) cannot be told from a variant of `a`.
    ///
    /// # Errors
    /// [`VariantError`]: the key must not be deleted on this event's word.
    pub fn variant(
        &self,
        entity: &Entity,
        cache_key: &str,
        token: Option<&AccessToken>,
    ) -> Result<Option<KeyTemplate>, VariantError> {
        let mut refused = None;
        for template in self.iter() {
            match template.variant(&entity.id, cache_key, token) {
                Ok(variant) => return Ok((!self.has(&entity.id, &variant)).then_some(variant)),
                Err(VariantError::OtherEntity(expected)) => {
                    refused.get_or_insert(VariantError::OtherEntity(expected));
                }
                Err(closer) => refused = Some(closer),
            }
        }
        Err(refused.unwrap_or_else(|| VariantError::OtherEntity(String::new())))
    }

    fn has(&self, entity_id: &str, variant: &KeyTemplate) -> bool {
        self.iter().any(|template| template.for_entity(entity_id) == *variant)
    }
}

impl KeyTemplate {
    /// Where it holds the entity id for the last time. A template that has been parsed has one.
    fn last_entity_id(&self) -> Option<(usize, Filter)> {
        self.parts.iter().enumerate().rev().find_map(|(at, part)| match part {
            Part::EntityId(filter) => Some((at, *filter)),
            _ => None,
        })
    }

    fn variant(
        &self,
        entity_id: &str,
        cache_key: &str,
        token: Option<&AccessToken>,
    ) -> Result<Self, VariantError> {
        let (last, filter) = self.last_entity_id().ok_or_else(|| VariantError::OtherEntity(String::new()))?;
        let mut variant = Self::of(&self.parts[..=last], entity_id);
        let head = variant.shown();
        let Some(tail) = cache_key.strip_prefix(&head) else { return Err(VariantError::OtherEntity(head)) };
        let tail = Self::parse_variant(tail).map_err(|_| VariantError::Braces)?;
        if !ends_the_id(filter, self.parts.get(last + 1), tail.parts.first()) {
            return Err(VariantError::OtherEntity(head));
        }
        if token.is_some_and(|token| tail.tells(token)) {
            return Err(VariantError::HoldsToken);
        }
        tail.parts.into_iter().for_each(|part| variant.push(part));
        if variant.uses_token() { Ok(variant) } else { Err(VariantError::NoToken) }
    }

    /// Whether the token stands in its text, as it is or encoded.
    fn tells(&self, token: &AccessToken) -> bool {
        let token = token.expose();
        let encoded = Filter::UrlEncode.apply(token);
        token.len() >= MIN_TELLING_TOKEN_BYTES
            && self.parts.iter().any(|part| match part {
                Part::Literal(literal) => literal.contains(token) || literal.contains(&*encoded),
                _ => false,
            })
    }
}

/// Whether an entity id that stands as `filter` makes it ends where `next` begins; `own` is what follows in the template.
fn ends_the_id(filter: Filter, own: Option<&Part>, next: Option<&Part>) -> bool {
    let next = match next {
        None => return true,
        Some(Part::Literal(literal)) => literal.chars().next(),
        Some(place) => return own == Some(place) || filter == Filter::Sha256,
    };
    let follows_in_template = match own {
        Some(Part::Literal(literal)) => {
            let own = literal.chars().next();
            own == next && own.is_some_and(|own| !own.is_alphanumeric())
        }
        _ => false,
    };
    follows_in_template
        || next.is_some_and(|next| match filter {
            Filter::Plain => BOUNDARIES.contains(&next),
            Filter::UrlEncode => !next.is_alphanumeric() && !"-._~%".contains(next),
            // Always 64 digits: it ends by itself.
            Filter::Sha256 => true,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POSTS: &str = "/posts/{entity_id}?access_token={access_token}";

    fn templates(texts: &[&str]) -> Templates {
        Templates::new(texts.iter().map(|text| KeyTemplate::parse(text).unwrap()).collect())
    }

    /// The variant's stored text, for a user whose token is `tok-alice`.
    fn variant(texts: &[&str], id: &str, cache_key: &str) -> Result<Option<String>, VariantError> {
        let entity = Entity::new("Posts", id).unwrap();
        let variant = templates(texts).variant(&entity, cache_key, Some(&AccessToken::new("tok-alice")))?;
        Ok(variant.map(|variant| variant.to_string()))
    }

    #[test]
    fn a_key_of_the_same_entity_is_a_variant() {
        for key in [
            "/posts/42?page=2&access_token={access_token}",
            "/posts/42/comments?access_token={access_token:sha256}",
            "/posts/42#{access_token}",
            "/posts/42;v=2?t={access_token:urlencode}",
        ] {
            assert_eq!(variant(&[POSTS], "42", key), Ok(Some(key.to_owned())));
        }
    }

    #[test]
    fn a_template_itself_is_no_variant() {
        assert_eq!(variant(&[POSTS], "42", "/posts/42?access_token={access_token}"), Ok(None));
        let two = [POSTS, "/posts/{entity_id}/full?access_token={access_token}"];
        assert_eq!(variant(&two, "42", "/posts/42/full?access_token={access_token}"), Ok(None));
    }

    #[test]
    fn a_key_of_another_entity_is_refused() {
        for key in [
            "/posts/421?access_token={access_token}",
            "/posts/42.5?access_token={access_token}",
            "/posts/42-1?access_token={access_token}",
            "/posts/42%20?access_token={access_token}",
            "/posts/42{access_token}",
            "/posts/42{{?access_token={access_token}",
            "/posts/4?access_token={access_token}",
            "/posts/{entity_id}?access_token={access_token}",
            "/feeds/42?access_token={access_token}",
            "decache:{Posts:42}:stale{access_token}",
            "{access_token}",
            "",
        ] {
            let error = variant(&[POSTS], "42", key).unwrap_err();
            assert_eq!(error, VariantError::OtherEntity("/posts/42".to_owned()), "{key}");
        }
    }

    #[test]
    fn what_follows_the_id_in_the_template_may_follow_it_in_the_key() {
        let colons = ["post:{entity_id}:{access_token}"];
        assert!(variant(&colons, "42", "post:42:page:2:{access_token}").is_ok());
        assert!(variant(&[POSTS], "42", "/posts/42:page:2:{access_token}").is_err());
        assert!(
            variant(&["{entity_id}0{access_token}"], "42", "420:{access_token}").is_err(),
            "a digit ends no id"
        );
        assert!(variant(&["{entity_id}{access_token}"], "42", "42{access_token}:2").is_ok());
    }

    #[test]
    fn an_encoded_id_ends_at_what_its_encoding_has_not() {
        let encoded = ["/p/{entity_id:urlencode}?t={access_token}"];
        assert!(variant(&encoded, "a/b", "/p/a%2Fb:2?t={access_token}").is_ok());
        assert!(variant(&encoded, "a", "/p/a%2Fb?t={access_token}").is_err());
        assert!(variant(&encoded, "a", "/p/a.b?t={access_token}").is_err());
    }

    #[test]
    fn the_token_may_come_first_and_a_variant_may_end_with_the_id() {
        let first = ["u:{access_token:sha256}:/posts/{entity_id}?v=1"];
        let key = "u:{access_token:sha256}:/posts/42";
        assert_eq!(variant(&first, "42", key), Ok(Some(key.to_owned())));
        assert!(
            variant(&first, "42", "u:{access_token}:/posts/42").is_err(),
            "the filter is part of the template"
        );
    }

    #[test]
    fn an_id_that_stands_twice_is_compared_twice() {
        let twice = ["/{entity_id}/of/{entity_id}?t={access_token}"];
        assert!(variant(&twice, "42", "/42/of/42?page=2&t={access_token}").is_ok());
        assert!(variant(&twice, "42", "/42/of/43?page=2&t={access_token}").is_err());
    }

    #[test]
    fn a_variant_holds_the_place_of_the_token_and_not_the_token() {
        assert_eq!(variant(&[POSTS], "42", "/posts/42?page=2"), Err(VariantError::NoToken));
        assert_eq!(
            variant(&[POSTS], "42", "/posts/42?a=tok-alice&t={access_token}"),
            Err(VariantError::HoldsToken)
        );
        let entity = Entity::new("Posts", "42").unwrap();
        let encoded = "/posts/42?a=tok-%26b&t={access_token}";
        let error =
            templates(&[POSTS]).variant(&entity, encoded, Some(&AccessToken::new("tok-&b"))).unwrap_err();
        assert_eq!(error, VariantError::HoldsToken);
        let by_chance = templates(&[POSTS]).variant(
            &entity,
            "/posts/42?page=2&t={access_token}",
            Some(&AccessToken::new("p")),
        );
        assert!(by_chance.is_ok());
    }

    #[test]
    fn braces_after_the_id_are_doubled_or_refused() {
        for tail in ["?f={}", "?f={", "?f=}", "?f={entity_id}", "?f={access_token:md5}"] {
            let key = format!("/posts/42{tail}&t={{access_token}}");
            assert_eq!(variant(&[POSTS], "42", &key), Err(VariantError::Braces), "{key}");
        }
        let doubled = "/posts/42?f={{}}&t={access_token}";
        assert_eq!(variant(&[POSTS], "42", doubled), Ok(Some(doubled.to_owned())));
    }

    #[test]
    fn an_entity_id_with_braces_is_never_a_place() {
        let key = "/posts/{access_token}?page=2&t={access_token}";
        let stored = variant(&[POSTS], "{access_token}", key).unwrap().unwrap();
        assert_eq!(stored, "/posts/{{access_token}}?page=2&t={access_token}");
        let variant = KeyTemplate::parse_variant(&stored).unwrap();
        let copy = variant.expand("", Some(&AccessToken::new("tok-alice"))).unwrap();
        assert_eq!(copy.0, "/posts/{access_token}?page=2&t=tok-alice");
        assert_eq!(variant.shown(), key);
    }

    proptest! {
        #[test]
        fn a_key_of_an_entity_whose_id_goes_on_is_never_accepted(
            id in "[a-z0-9{}.:_-]{1,6}",
            more in "[^\\p{Cc}/?&#;]{1,6}",
            tail in "(|page=2&)t=",
        ) {
            let other = templates(&[POSTS]).iter().next().unwrap().for_entity(&format!("{id}{more}")).shown();
            let key = other.replace("?access_token=", &format!("?{tail}"));
            prop_assert!(variant(&[POSTS], &id, &key).is_err(), "{}", key);
        }

        #[test]
        fn an_encoded_key_of_another_entity_is_never_accepted(id in "[^\\p{Cc}]{1,6}", other in "[^\\p{Cc}]{1,6}") {
            prop_assume!(id != other);
            let texts = ["/p/{entity_id:urlencode}?t={access_token}"];
            let key = KeyTemplate::parse(texts[0]).unwrap().for_entity(&other).shown();
            prop_assert!(variant(&texts, &id, &key.replace("?t=", "?page=2&t=")).is_err(), "{}", key);
        }

        #[test]
        fn what_is_accepted_reads_back_and_begins_with_its_entity(id in "[^\\p{Cc}]{1,6}", tail in "[^\\p{Cc}]{0,8}") {
            let key = format!("/posts/{id}?{tail}{{access_token}}");
            if let Ok(Some(stored)) = variant(&[POSTS], &id, &key) {
                let copy = KeyTemplate::parse_variant(&stored).unwrap().expand("", Some(&AccessToken::new("tok-x")));
                let begins = format!("/posts/{id}?");
                prop_assert!(copy.unwrap().0.starts_with(&begins));
            }
        }
    }
}
