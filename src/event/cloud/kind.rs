//! How a CloudEvent's `type` is split. It is a reverse-DNS name whose end is `<resource_type>.<action_type>`, and a resource
//! type may have dots of its own.

use super::{EventError, Knows};

/// What `data` says of the two, where it does.
pub(super) struct Named<'a> {
    pub(super) resource_type: Option<&'a str>,
    pub(super) action_type: Option<&'a str>,
}

/// The resource type and the action type at the end of a `type`.
///
/// What `data` names decides. Otherwise the action type is what follows the last dot, and the resource type the longest end of
/// what precedes it that has an entry in `resources`; where none has, what follows the last dot there.
pub(super) fn split<'a>(
    kind: &'a str,
    named: &Named<'_>,
    knows: Knows<'_>,
) -> Result<(&'a str, &'a str), EventError> {
    let (before, action_type) = match named.action_type {
        Some(action_type) => without_end(kind, action_type).ok_or_else(|| differs("action_type"))?,
        None => kind.rsplit_once('.').ok_or_else(not_a_type)?,
    };
    let resource_type = match named.resource_type {
        Some(named) if before == named => before,
        Some(named) => without_end(before, named).ok_or_else(|| differs("resource_type"))?.1,
        None => ends(before).find(|end| knows(end)).unwrap_or_else(|| last(before)),
    };
    match resource_type.is_empty() || action_type.is_empty() {
        true => Err(not_a_type()),
        false => Ok((resource_type, action_type)),
    }
}

/// `a.b` and `c` of `a.b.c`, where `c` is the end.
fn without_end<'a>(text: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    let before = text.strip_suffix(end)?;
    Some((before.strip_suffix('.')?, &text[before.len()..]))
}

/// Everything that ends a dotted text, the longest first.
fn ends(text: &str) -> impl Iterator<Item = &str> {
    let after_dots = text.match_indices('.').map(|(at, _)| &text[at + 1..]);
    std::iter::once(text).chain(after_dots)
}

fn last(text: &str) -> &str {
    text.rsplit('.').next().unwrap_or(text)
}

fn differs(field: &str) -> EventError {
    EventError(format!("type must end in <resource_type>.<action_type>, and data.{field} says another one"))
}

fn not_a_type() -> EventError {
    EventError("type must end in <resource_type>.<action_type>, such as com.example.Posts.Update".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, resource_type: Option<&str>, action_type: Option<&str>) -> Option<(String, String)> {
        let knows = |name: &str| ["Posts", "Posts.Comments", "api.Feeds"].contains(&name);
        let split = split(kind, &Named { resource_type, action_type }, &knows).ok()?;
        Some((split.0.to_owned(), split.1.to_owned()))
    }

    #[track_caller]
    fn is(kind: &str, resource_type: &str, action_type: &str) {
        assert_eq!(of(kind, None, None), Some((resource_type.to_owned(), action_type.to_owned())), "{kind}");
    }

    #[test]
    fn the_end_of_a_type_is_resource_type_and_action_type() {
        is("com.playerpro.Posts.Read", "Posts", "Read");
        is("Posts.Read", "Posts", "Read");
        is("com.example.Sessions.Logout", "Sessions", "Logout");
    }

    #[test]
    fn the_longest_resource_type_that_is_configured_wins() {
        is("com.example.Posts.Comments.Update", "Posts.Comments", "Update");
        is("com.example.Comments.Update", "Comments", "Update");
        is("com.api.Feeds.Update", "api.Feeds", "Update");
        is("com.Xapi.Feeds.Update", "Feeds", "Update");
    }

    #[test]
    fn what_data_names_decides_and_has_to_be_the_end() {
        let split = |resource, action| of("com.example.Posts.Read.v1", resource, action);
        assert_eq!(split(None, Some("Read.v1")), Some(("Posts".into(), "Read.v1".into())));
        assert_eq!(split(Some("example.Posts"), Some("Read.v1")).unwrap().0, "example.Posts");
        assert_eq!(split(Some("Posts.Read"), None), Some(("Posts.Read".into(), "v1".into())));
        assert_eq!(of("Posts.Read", Some("Posts"), Some("Read")), Some(("Posts".into(), "Read".into())));
        for (resource, action) in
            [(None, Some("Update")), (Some("osts"), Some("Read.v1")), (Some("Posts"), None)]
        {
            assert_eq!(split(resource, action), None, "{resource:?} {action:?}");
        }
        assert_eq!(of("Posts.Read", None, Some("Posts.Read")), None);
    }

    #[test]
    fn a_type_without_both_is_refused() {
        for kind in ["Read", "", ".", "Posts.", ".Read", "com..Read"] {
            assert_eq!(of(kind, None, None), None, "{kind:?}");
        }
    }
}
