//! Patterns of keys, in the language of Redis's `SCAN MATCH`: `*`, `?`, `[a-z]`, and `\` before what stands for itself.

/// A pattern of keys, before a cache's own prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(String);

impl Glob {
    /// The pattern of this text. It begins with text that stands for itself: a pattern for any key at all is hardly meant.
    pub fn parse(text: &str) -> Option<Self> {
        let begins_with_text = !text.is_empty() && !text.starts_with(['*', '?', '[', '\\']);
        (begins_with_text && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// The pattern of `pieces` with anything between them.
    pub(super) fn around<'a>(pieces: impl Iterator<Item = Option<&'a str>>) -> Self {
        let (mut pattern, mut is_open) = (String::new(), false);
        for piece in pieces {
            match piece {
                Some(text) => pattern.push_str(&escape(text)),
                None if is_open => {}
                None => pattern.push('*'),
            }
            is_open = piece.is_none();
        }
        Self(pattern)
    }

    /// The pattern of the same keys with `prefix` before each.
    pub fn under(&self, prefix: &str) -> String {
        escape(prefix) + &self.0
    }

    /// What every key that it matches begins with, at least.
    pub fn leading_text(&self) -> &str {
        self.0.split(['*', '?', '[', '\\']).next().unwrap_or_default()
    }
}

/// The pattern that matches this text alone.
pub(crate) fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for char in text.chars() {
        if ['*', '?', '[', ']', '^', '-', '\\'].contains(&char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_itself_is_escaped_and_the_rest_is_not() {
        let glob = Glob::around([Some("/a?b*[c]"), None, None, Some("\\*"), None].into_iter());
        assert_eq!(glob.under("p?:"), "p\\?:/a\\?b\\*\\[c\\]*\\\\\\**");
        assert_eq!(Glob::parse("/posts/*/page:?").unwrap().under("p*:"), "p\\*:/posts/*/page:?");
    }

    #[test]
    fn a_pattern_for_any_key_is_refused() {
        for text in ["", "*", "?posts", "[a-z]*", "\\*", "/posts/\n*"] {
            assert_eq!(Glob::parse(text), None, "{text:?}");
        }
        assert_eq!(Glob::parse("/posts/*/x").unwrap().leading_text(), "/posts/");
    }
}
