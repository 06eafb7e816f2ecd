//! Patterns: regular expressions that must match a whole value, and what can be said of them without a value.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;

/// What one pattern may take, compiled.
const SIZE_LIMIT: usize = 1 << 20;
/// What is parsed at all: before its compiled size is known, a pattern may take many thousand times its text.
const MAX_BYTES: usize = 8 << 10;

/// A regular expression that matches whole values: `Posts` does not match `BlogPosts`.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As it is written.
    text: Box<str>,
    regex: Regex,
    /// Every value that it matches, where these are few (`^(Update|Delete)$`, `[Pp]osts`); `None` where they are not.
    values: Option<BTreeSet<String>>,
    /// The least number of bytes that it matches.
    min_bytes: usize,
}

impl Pattern {
    /// Compiles a pattern by itself first, so that one cannot reach outside of the group it is put in.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the pattern is too long: it may have {MAX_BYTES} bytes"));
        }
        let hir = regex_syntax::parse(text).map_err(|error| explain(&error))?;
        let regex = RegexBuilder::new(&format!(r"\A(?:{text})\z")).size_limit(SIZE_LIMIT).build().map_err(
            |error| match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("the pattern is too large: compiled, it may take {limit} bytes")
                }
                _ => "the pattern must not end in a comment".to_owned(),
            },
        )?;
        let found = Extractor::new().extract(&hir);
        let values = found.literals().filter(|_| found.is_exact()).map(|literals| {
            // Anchors and word boundaries inside a pattern were passed over: the regex has the last word.
            let texts = literals.iter().filter_map(|literal| std::str::from_utf8(literal.as_bytes()).ok());
            texts.filter(|text| regex.is_match(text)).map(str::to_owned).collect()
        });
        let min_bytes = hir.properties().minimum_len().unwrap_or(0);
        Ok(Self { text: text.into(), regex, values, min_bytes })
    }

    /// The pattern as it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole value.
    pub(super) fn matches(&self, value: &str) -> bool {
        match &self.values {
            Some(values) => values.contains(value),
            None => self.regex.is_match(value),
        }
    }

    /// Every value that it matches, where these are few.
    pub(super) fn values(&self) -> Option<&BTreeSet<String>> {
        self.values.as_ref()
    }

    /// Whether it can match a value that is allowed and at most `max_bytes` long. Decided where its values are few or
    /// all too long; any other pattern is given the benefit of the doubt.
    pub(super) fn can_match(&self, allowed: impl Fn(&str) -> bool, max_bytes: usize) -> bool {
        match &self.values {
            Some(values) => values.iter().any(|value| allowed(value)),
            None => self.min_bytes <= max_bytes,
        }
    }

    /// Whether both can match one value. Decided where the values of either are few.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (&self.values, &other.values) {
            (Some(values), _) => values.iter().any(|value| other.matches(value)),
            (None, Some(values)) => values.iter().any(|value| self.matches(value)),
            (None, None) => true,
        }
    }
}

/// An error in one line: the column counts characters from 1.
fn explain(error: &regex_syntax::Error) -> String {
    let (column, what) = match error {
        regex_syntax::Error::Parse(error) => (error.span().start.column, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (error.span().start.column, error.kind().to_string()),
        _ => return "the pattern does not compile".to_owned(),
    };
    format!("the pattern does not compile: {what}, at character {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::compile(text).unwrap()
    }

    #[test]
    fn a_pattern_matches_whole_values_only() {
        for text in
            ["Posts", "^Posts$", "^(Posts)$", "P|Posts", "P|Po?sts", "(?i)pOSTS", ".*sts", "(?x) Posts"]
        {
            assert!(pattern(text).matches("Posts"), "{text}");
            for other in ["BlogPosts", "Posts2", "Posts\n", "xPosts"] {
                assert!(text == ".*sts" || !pattern(text).matches(other), "{text} {other}");
            }
        }
        assert!(!pattern("Update|Delete").matches("UpdateDelete"));
        assert!(!pattern("Update|Delete").matches("SoftDelete"));
    }

    #[test]
    fn a_pattern_that_does_not_compile_says_where() {
        let error = |text: &str| Pattern::compile(text).unwrap_err();
        assert_eq!(error("^(Read"), "the pattern does not compile: unclosed group, at character 2");
        assert!(error("a)|(b").contains("at character 2"));
        assert_eq!(error("(?x)Read # all"), "the pattern must not end in a comment");
        let long = r"\pL".repeat(4000);
        assert_eq!(error(&long), "the pattern is too long: it may have 8192 bytes");
        assert_eq!(error(r"\w{1000}"), "the pattern is too large: compiled, it may take 1048576 bytes");
    }

    #[test]
    fn the_values_of_plain_alternatives_are_known_and_those_of_others_are_not() {
        let values = |text| pattern(text).values().map(|values| values.iter().cloned().collect::<Vec<_>>());
        assert_eq!(values("^(Update|Delete)$").unwrap(), ["Delete", "Update"]);
        assert_eq!(values("[Pp]osts?").unwrap(), ["Post", "Posts", "post", "posts"]);
        assert_eq!(values("a|ab|a").unwrap(), ["a", "ab"]);
        assert_eq!(values("Po$sts").unwrap(), [""; 0]);
        assert_eq!(values("^$").unwrap(), [""]);
        assert_eq!(values("Posts.*"), None);
        assert_eq!(values("[a-z]+"), None);
    }

    #[test]
    fn what_can_never_match_is_seen_where_it_can_be_decided() {
        let letters = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphabetic());
        for never in ["^$", "", "a:b", "a:b|c d", "Po$sts", "[a-z]{9}.*", r"[a&&b]"] {
            assert!(!pattern(never).can_match(letters, 8), "{never}");
        }
        for perhaps in ["a:b|Posts", ".*", ":.*", "[a-z]{8}"] {
            assert!(pattern(perhaps).can_match(letters, 8), "{perhaps}");
        }
    }

    #[test]
    fn two_patterns_meet_where_one_value_matches_both() {
        assert!(pattern("Update|Delete").meets(&pattern("Delete|Read")));
        assert!(!pattern("Update|Delete").meets(&pattern("Read")));
        assert!(pattern(".*date").meets(&pattern("Update|Delete")));
        assert!(!pattern("Read").meets(&pattern(".*date")));
        assert!(pattern("a.*").meets(&pattern("b.*")), "undecided");
    }
}
