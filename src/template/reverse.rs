//! From a copy's key back to what it was made of: the entity id and the holder's token.
//!
//! A key may be read in more than one way (`/a/{entity_id}/b/{access_token}` where the id holds `/b/`); all of them are
//! found, up to a bound. A hash cannot be undone: such a key is known for one of the template's, and its value is not.

use percent_encoding::percent_decode_str;

use super::{Filter, KeyTemplate, Part, glob::Glob, variant::BOUNDARIES};
use crate::{
    caches::CopyKey,
    event::{AccessToken, Entity},
};

/// Ways to read a key that are kept.
const MOST_READINGS: usize = 8;
/// Ends of values that are tried. A key that was made to have very many ways to be read costs no more.
const MOST_TRIALS: usize = 4096;
/// Digits of a SHA-256 in hex.
const SHA256_DIGITS: usize = 64;

/// A way to read a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The entity's id; `None` where only its hash is in the key.
    pub entity_id: Option<Box<str>>,
    /// The holder's token, the empty one where the template uses none; `None` where only its hash is in the key.
    pub token: Option<AccessToken>,
}

/// Every way to read a key as one of a template; none where it is not one of its keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Readings {
    /// The ways, each once.
    pub found: Vec<Reading>,
    /// There may be more.
    pub is_cut_off: bool,
}

impl KeyTemplate {
    /// A pattern that matches every key of the template, and others.
    pub fn glob(&self) -> Glob {
        Glob::around(self.parts.iter().map(|part| match part {
            Part::Literal(literal) => Some(literal.as_str()),
            _ => None,
        }))
    }

    /// Whether a key tells all that it was made of.
    pub fn is_reversible(&self) -> bool {
        let told = |is: fn(&Part) -> Option<Filter>| {
            let mut filters = self.parts.iter().filter_map(is).peekable();
            filters.peek().is_none() || filters.any(|filter| filter != Filter::Sha256)
        };
        told(|part| if let Part::EntityId(filter) = part { Some(*filter) } else { None })
            && told(|part| if let Part::AccessToken(filter) = part { Some(*filter) } else { None })
    }

    /// The entities that this id's copy may be a variant of: an id that stands as it is and goes on after a character that
    /// may end one (`42/comments`) cannot be told from a variant of the shorter one (`42`).
    pub fn variant_of<'a>(&self, id: &'a str) -> Vec<&'a str> {
        let mut filters = self.parts.iter().filter_map(|part| match part {
            Part::EntityId(filter) => Some(*filter),
            _ => None,
        });
        if !self.uses_token() || filters.next() != Some(Filter::Plain) || filters.next().is_some() {
            return Vec::new();
        }
        id.match_indices(BOUNDARIES)
            .map(|(end, _)| &id[..end])
            .filter(|shorter| !shorter.is_empty())
            .collect()
    }

    /// Whether a key is one of the template's, however it is to be read.
    pub fn matches(&self, key: &CopyKey) -> bool {
        let readings = self.readings(&key.0);
        !readings.found.is_empty() || readings.is_cut_off
    }

    /// Reads a key back.
    pub fn readings(&self, key: &str) -> Readings {
        let mut search = Search { trials: 0, readings: Readings::default() };
        let token = if self.uses_token() { Value::default() } else { Value::known("") };
        search.go_on(&self.parts, key, &Values { id: Value::default(), token });
        search.readings
    }
}

/// What is known of the id or the token so far.
#[derive(Clone, Default)]
struct Value {
    plain: Option<Box<str>>,
    sha256: Option<Box<str>>,
}

#[derive(Clone)]
struct Values {
    id: Value,
    token: Value,
}

struct Search {
    trials: usize,
    readings: Readings,
}

impl Search {
    fn go_on(&mut self, parts: &[Part], rest: &str, values: &Values) {
        let Some((part, parts)) = parts.split_first() else {
            if rest.is_empty() {
                self.found(values);
            }
            return;
        };
        let (filter, is_id) = match part {
            Part::Literal(literal) => {
                return if let Some(rest) = rest.strip_prefix(literal.as_str()) {
                    self.go_on(parts, rest, values);
                };
            }
            Part::EntityId(filter) => (*filter, true),
            Part::AccessToken(filter) => (*filter, false),
        };
        let known = if is_id { &values.id } else { &values.token };
        let mut ends = Ends::of(known, filter, rest, parts.first());
        while let Some(end) = ends.next() {
            self.trials += 1;
            if self.trials > MOST_TRIALS || self.readings.found.len() >= MOST_READINGS {
                self.readings.is_cut_off = true;
                return;
            }
            if let Some(value) = known.taken(filter, &rest[..end], is_id) {
                let mut values = values.clone();
                *(if is_id { &mut values.id } else { &mut values.token }) = value;
                self.go_on(parts, &rest[end..], &values);
            }
        }
    }

    fn found(&mut self, values: &Values) {
        let reading = Reading {
            entity_id: values.id.plain.clone(),
            token: values.token.plain.clone().map(AccessToken::new),
        };
        if !self.readings.found.contains(&reading) {
            self.readings.found.push(reading);
        }
    }
}

/// Where a value may end.
enum Ends<'a> {
    At(Option<usize>),
    /// Before each place where this literal stands.
    Before {
        rest: &'a str,
        literal: &'a str,
        from: usize,
    },
    Anywhere {
        rest: &'a str,
        from: usize,
    },
}

impl<'a> Ends<'a> {
    fn of(known: &Value, filter: Filter, rest: &'a str, next: Option<&'a Part>) -> Self {
        if let Some(plain) = &known.plain {
            let text = filter.apply(plain);
            return Self::At(rest.starts_with(&*text).then_some(text.len()));
        }
        match (filter, next) {
            (Filter::Sha256, _) => Self::At(rest.is_char_boundary(SHA256_DIGITS).then_some(SHA256_DIGITS)),
            (_, None) => Self::At(Some(rest.len())),
            (_, Some(Part::Literal(literal))) => Self::Before { rest, literal, from: 0 },
            (_, Some(_)) => Self::Anywhere { rest, from: 0 },
        }
    }

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::At(end) => end.take(),
            Self::Before { rest, literal, from } => {
                let end = *from + rest.get(*from..)?.find(*literal)?;
                *from = end + rest[end..].chars().next()?.len_utf8();
                Some(end)
            }
            Self::Anywhere { rest, from } => {
                *from += rest.get(*from..)?.chars().next()?.len_utf8();
                Some(*from)
            }
        }
    }
}

impl Value {
    fn known(plain: &str) -> Self {
        Self { plain: Some(plain.into()), sha256: None }
    }

    /// The value with what a piece of a key tells of it; `None` where the piece cannot be of it.
    fn taken(&self, filter: Filter, text: &str, is_id: bool) -> Option<Self> {
        if self.plain.is_some() {
            return Some(self.clone());
        }
        if filter == Filter::Sha256 {
            let is_hash = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let is_same = self.sha256.as_deref().is_none_or(|known| known == text);
            return (is_hash && is_same).then(|| Self { plain: None, sha256: Some(text.into()) });
        }
        let plain = match filter {
            Filter::UrlEncode => percent_decode_str(text).decode_utf8().ok()?,
            _ => text.into(),
        };
        let most = if is_id { Entity::MAX_ID_BYTES } else { AccessToken::MAX_BYTES };
        let could_be = (1..=most).contains(&plain.len()) && !plain.chars().any(char::is_control);
        let is_same = self.sha256.as_deref().is_none_or(|known| known == Filter::Sha256.apply(&plain));
        // The same text may be encoded in many ways, and a key is made in one.
        (could_be && is_same && filter.apply(&plain) == text).then(|| Self::known(&plain))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn readings(template: &str, key: &str) -> Readings {
        KeyTemplate::parse(template).unwrap().readings(key)
    }

    fn known(id: &str, token: &str) -> Reading {
        Reading { entity_id: Some(id.into()), token: Some(AccessToken::new(token)) }
    }

    const POSTS: &str = "/posts/{entity_id}?access_token={access_token}";

    #[test]
    fn a_key_is_read_back() {
        assert_eq!(readings(POSTS, "/posts/42?access_token=tok-a").found, [known("42", "tok-a")]);
        let encoded = "u:{access_token:urlencode}:{entity_id:urlencode}";
        assert_eq!(readings(encoded, "u:tok-%26:a%2Fb").found, [known("a/b", "tok-&")]);
        assert_eq!(readings("/p/{entity_id}", "/p/42").found, [known("42", "")]);
    }

    #[test]
    fn a_key_that_only_resembles_the_template_is_none_of_its() {
        for key in [
            "/posts/42",
            "/posts/?access_token=tok-a",
            "/posts/42?access_token=",
            "/posts/42?access_token=tok\n",
            "/posts/42&access_token=tok-a",
            "x/posts/42?access_token=tok-a",
            "/posts/42?Access_token=tok-a",
        ] {
            assert_eq!(readings(POSTS, key), Readings::default(), "{key}");
        }
        let encoded = "/p/{entity_id:urlencode}";
        for key in ["/p/a/b", "/p/%2f", "/p/%41", "/p/%FF", "/p/%", "/p/é"] {
            assert_eq!(readings(encoded, key), Readings::default(), "{key}");
        }
        let long = format!("/posts/{}?access_token=tok-a", "4".repeat(1025));
        assert_eq!(readings(POSTS, &long), Readings::default());
    }

    #[test]
    fn a_hash_is_recognised_and_not_undone() {
        let (template, hash) = ("/p/{entity_id}/{access_token:sha256}", "ab".repeat(32));
        let found = readings(template, &format!("/p/42/{hash}")).found;
        assert_eq!(found, [Reading { entity_id: Some("42".into()), token: None }]);
        for key in [format!("/p/42/{}", &hash[1..]), format!("/p/42/{}", hash.to_uppercase())] {
            assert_eq!(readings(template, &key), Readings::default());
        }
        let told = |text| KeyTemplate::parse(text).unwrap().is_reversible();
        assert!(told(POSTS) && told("/{entity_id}") && told("/{entity_id:sha256}/{entity_id}"));
        assert!(!told(template) && !told("/{entity_id:sha256}"));
    }

    #[test]
    fn a_value_that_stands_twice_is_the_same_both_times() {
        let twice = "/{entity_id}/of/{entity_id:urlencode}?t={access_token}&h={access_token:sha256}";
        let template = KeyTemplate::parse(twice).unwrap();
        let key = template.expand("a b", Some(&AccessToken::new("tok-a"))).unwrap().0;
        assert_eq!(template.readings(&key).found, [known("a b", "tok-a")]);
        assert_eq!(template.readings(&key.replace("tok-a", "tok-b")), Readings::default());
        assert_eq!(template.readings(&key.replace("a%20b", "a%20c")), Readings::default());
    }

    #[test]
    fn an_id_that_goes_on_after_the_end_of_one_may_be_a_variant_of_it() {
        let template = KeyTemplate::parse(POSTS).unwrap();
        assert_eq!(template.variant_of("42/comments?page=2"), ["42", "42/comments"]);
        assert!(template.variant_of("42").is_empty() && template.variant_of("/42").is_empty());
        let encoded = KeyTemplate::parse("/p/{entity_id:urlencode}?t={access_token}").unwrap();
        assert!(encoded.variant_of("a/b").is_empty(), "there it would be `a%2Fb`");
    }

    #[test]
    fn every_way_to_read_a_key_is_found() {
        let found = readings(POSTS, "/posts/42?access_token=x?access_token=tok-a").found;
        assert_eq!(found, [known("42", "x?access_token=tok-a"), known("42?access_token=x", "tok-a")]);
        assert_eq!(readings("{entity_id}{access_token}", "abc").found.len(), 2);
    }

    #[test]
    fn a_key_with_very_many_ways_is_cut_off() {
        assert!(readings(POSTS, &format!("/posts/4{}", "?access_token=a".repeat(100))).is_cut_off);
        let hopeless = "{entity_id}{access_token}{entity_id}";
        assert!(readings(hopeless, &("a".repeat(4000) + "b")).is_cut_off);
    }

    proptest! {
        #[test]
        fn what_a_key_was_made_of_is_among_its_readings(
            template in "(/|:|\\{entity_id\\}|\\{access_token\\}|\\{entity_id:urlencode\\}|\\{access_token:urlencode\\}){1,6}",
            id in "[a/:%é]{1,6}",
            token in "[a/:%é]{1,6}",
        ) {
            if let Ok(template) = KeyTemplate::parse(&template) {
                let key = template.expand(&id, Some(&AccessToken::new(token.as_str()))).unwrap();
                let readings = template.readings(&key.0);
                let token = if template.uses_token() { token } else { String::new() };
                prop_assert!(readings.is_cut_off || readings.found.contains(&known(&id, &token)));
                for reading in &readings.found {
                    let again = template.expand(reading.entity_id.as_deref().unwrap(), reading.token.as_ref());
                    prop_assert_eq!(again.as_ref(), Some(&key), "a reading makes the same key");
                }
            }
        }
    }
}
