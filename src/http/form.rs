//! Which form a request's events come in: its `Content-Type` says so, or for a CloudEvent in binary mode its `ce-` headers.

use axum::http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode;

use super::problem::{Kind, Problem};
use crate::event::cloud::{Attributes, is_json};

const TAKEN: &str = "application/json, application/x-ndjson, application/cloudevents+json, \
                     application/cloudevents-batch+json, and JSON with the ce- headers of a CloudEvent are taken";

/// What a body is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// One event, or an array of them.
    Json,
    /// An event on each line.
    Lines,
    /// One CloudEvent.
    Structured,
    /// An array of CloudEvents.
    Batch,
    /// The data of a CloudEvent whose attributes stand in the headers.
    Binary(Box<Attributes>),
}

impl Form {
    /// # Errors
    /// A problem where the headers name no form that is taken, or two.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let media_type = media_type(headers)?;
        let is_cloud_event = headers.keys().any(|name| name.as_str().starts_with("ce-"));
        if media_type == Some("application/json") && !is_cloud_event {
            return Ok(Self::Json);
        }
        let essence =
            media_type.map(|it| it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let is_binary = Attributes::REQUIRED.iter().any(|name| headers.contains_key(format!("ce-{name}")));
        match essence.as_deref() {
            Some(cloud) if is_binary && cloud.starts_with("application/cloudevents") => {
                let detail = "the request is a CloudEvent in two modes: leave out its ce- headers, or send its data \
                              alone as application/json";
                Err(Problem::new(Kind::InvalidBody, detail))
            }
            // Without a type the data is JSON: senders leave out a `datacontenttype` that the event does not have.
            None if is_binary => Ok(Self::Binary(Box::new(attributes(headers)?))),
            Some(data) if is_binary && is_json(data) => Ok(Self::Binary(Box::new(attributes(headers)?))),
            Some(_) if is_binary => Err(unsupported("the data of a CloudEvent has to be application/json")),
            Some("application/json") => Ok(Self::Json),
            Some("application/x-ndjson") => Ok(Self::Lines),
            Some("application/cloudevents+json") => Ok(Self::Structured),
            Some("application/cloudevents-batch+json") => Ok(Self::Batch),
            Some(_) => Err(unsupported(format!("the content type is not one that is taken: {TAKEN}"))),
            None => Err(unsupported(format!("the request has no `Content-Type`: {TAKEN}"))),
        }
    }
}

fn media_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(unsupported("the request has more than one `Content-Type`")),
        // One that is no text is none that is taken.
        (Some(only), None) => Ok(Some(only.to_str().unwrap_or_default())),
    }
}

fn unsupported(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::UnsupportedMediaType, detail)
}

fn attributes(headers: &HeaderMap) -> Result<Attributes, Problem> {
    let mut attributes = Attributes::default();
    // What `datacontenttype` would say, the content type does.
    for name in Attributes::NAMES.into_iter().filter(|name| *name != "datacontenttype") {
        for value in headers.get_all(format!("ce-{name}")) {
            let text = text(value)
                .ok_or_else(|| invalid(name, "is not UTF-8, percent-encoded where it is not ASCII"))?;
            if attributes.put(name, text).is_some() {
                return Err(invalid(name, "stands twice"));
            }
        }
    }
    Ok(attributes)
}

fn invalid(name: &str, what: &str) -> Problem {
    Problem::new(Kind::InvalidBody, format!("the header ce-{name} {what}"))
}

/// An attribute's text: out of its quotes, where it has some, and then percent-decoded once (HTTP binding, 3.1.3.2).
fn text(value: &HeaderValue) -> Option<String> {
    let bytes = value.as_bytes().trim_ascii();
    let bytes = match bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(quoted) => unescaped(quoted),
        None => bytes.to_vec(),
    };
    percent_decode(&bytes).decode_utf8().ok().map(String::from)
}

fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let keep = |byte: &&u8| {
        escaped = !escaped && **byte == b'\\';
        !escaped
    };
    quoted.iter().filter(keep).copied().collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    const BINARY: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "e-1"), ("ce-source", "/api"), ("ce-type", "Posts.Read")];

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn form(content_type: &str, more: &[(&'static str, &str)]) -> Result<Form, String> {
        let all = [&[("content-type", content_type)], more].concat();
        Form::of(&headers(&all)).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn the_content_type_says_which_form_it_is() {
        for (content_type, expected) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=utf-8", Form::Json),
            ("application/x-ndjson", Form::Lines),
            ("application/cloudevents+json; charset=UTF-8", Form::Structured),
            ("application/cloudevents-batch+json", Form::Batch),
        ] {
            assert_eq!(form(content_type, &[]), Ok(expected.clone()), "{content_type}");
            // A header of another kind that a proxy adds makes no CloudEvent of it.
            assert_eq!(form(content_type, &[("ce-traceparent", "00-a")]), Ok(expected));
        }
        for other in
            ["", "text/plain", "application/cloudevents+xml", "application/cloudevents", "application/jsonp"]
        {
            assert!(form(other, &[]).unwrap_err().contains("UnsupportedMediaType"), "{other}");
        }
        assert!(form("application/json", &[("content-type", "application/x-ndjson")]).is_err());
    }

    #[test]
    fn ce_headers_make_the_body_the_data_of_a_cloud_event() {
        for content_type in
            ["application/json", "application/json; charset=utf-8", "application/vnd.posts+json"]
        {
            assert!(matches!(form(content_type, &BINARY), Ok(Form::Binary(_))), "{content_type}");
        }
        assert!(matches!(Form::of(&headers(&BINARY)), Ok(Form::Binary(_))), "no content type is JSON");
        assert!(matches!(form("application/json", &BINARY[3..]), Ok(Form::Binary(_))), "one is enough");
        for other in ["text/plain", "application/x-ndjson", ""] {
            assert!(form(other, &BINARY).unwrap_err().contains("UnsupportedMediaType"), "{other}");
        }
    }

    #[test]
    fn a_cloud_event_in_two_modes_is_refused() {
        for content_type in ["application/cloudevents+json", "application/cloudevents-batch+json"] {
            let refused = form(content_type, &BINARY[..1]).unwrap_err();
            assert!(refused.contains("InvalidBody") && refused.contains("in two modes"), "{refused}");
        }
    }

    #[test]
    fn header_values_are_unquoted_and_percent_decoded_once() {
        let text = |value: &str| text(&HeaderValue::from_bytes(value.as_bytes()).unwrap());
        for (value, expected) in [
            ("42", "42"),
            (" a b ", "a b"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("\"a \\\"b\\\\c\"", "a \"b\\c"),
            ("%2541", "%41"),
            ("100%", "100%"),
            ("é", "é"),
        ] {
            assert_eq!(text(value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(text("%ff"), None);
    }

    #[test]
    fn an_attribute_that_stands_twice_or_is_no_text_is_refused() {
        for (more, expected) in [
            (("ce-id", "e-2"), "the header ce-id stands twice"),
            (("ce-subject", "%ff"), "the header ce-subject is not UTF-8"),
        ] {
            let refused = form("application/json", &[&BINARY[..], &[more]].concat()).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
