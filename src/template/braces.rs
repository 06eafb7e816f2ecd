//! What all templates share: text with `{placeholders}`, where `{{` and `}}` are literal braces.

/// A piece of a template's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token<'a> {
    /// Text that stands for itself, its braces single.
    Literal(String),
    /// What stood between braces.
    Placeholder(&'a str),
}

/// Why a text is no template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    /// An opening brace with no closing one after it.
    #[error("the `{{` at byte {at} is not closed: a literal brace is written `{{{{`")]
    NotClosed {
        /// Where it stands.
        at: usize,
    },
    /// A closing brace with no opening one before it.
    #[error("the `}}` at byte {at} closes nothing: a literal brace is written `}}}}`")]
    NotOpened {
        /// Where it stands.
        at: usize,
    },
    /// A placeholder that there is none of.
    #[error("unknown placeholder {{{name}}}: the known ones are {known}")]
    UnknownPlaceholder {
        /// What stood between the braces.
        name: String,
        /// What may stand there.
        known: String,
    },
    /// A filter that there is none of.
    #[error("unknown filter `{0}`: the known ones are `sha256`, `urlencode`")]
    UnknownFilter(String),
    /// A key that is the same for every entity.
    #[error("the template must hold {{entity_id}}")]
    NoEntityId,
}

impl TemplateError {
    /// The error for a placeholder that is not among `known`.
    pub(crate) fn unknown(name: &str, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|name| format!("{{{name}}}")).collect();
        Self::UnknownPlaceholder { name: name.to_owned(), known: known.join(", ") }
    }
}

/// Takes a template's text apart, from left to right. No literal is empty or beside another.
pub(crate) fn split(text: &str) -> Result<Vec<Token<'_>>, TemplateError> {
    let (mut tokens, mut literal) = (Vec::new(), String::new());
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '}']) {
        literal.push_str(&text[at..at + found]);
        at += found;
        let rest = &text[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            literal.push_str(&rest[..1]);
            at += 2;
        } else if let Some(opened) = rest.strip_prefix('{') {
            let length = opened.find('}').ok_or(TemplateError::NotClosed { at })?;
            if !literal.is_empty() {
                tokens.push(Token::Literal(std::mem::take(&mut literal)));
            }
            tokens.push(Token::Placeholder(&opened[..length]));
            at += length + 2;
        } else {
            return Err(TemplateError::NotOpened { at });
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal));
    }
    Ok(tokens)
}

/// The text that [`split`] reads as this literal.
pub(crate) fn escape(literal: &str) -> String {
    literal.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_escaped_text_is_one_literal(text in "(\\{|\\}|a|é){1,12}") {
            let escaped = escape(&text);
            prop_assert_eq!(split(&escaped), Ok(vec![Token::Literal(text)]));
        }
    }
}
