//! `key_fields`: what an enricher adds to its jobs' identity.

use super::payload_path::PayloadPath;

/// One of `key_fields`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KeyField {
    /// Part of every key as it is.
    Always,
    /// A job property: the same for all jobs of one enricher, and different between two.
    Property(Property),
    /// Something of the event beside its payload.
    Attribute(Attribute),
    /// `payload`: all of the event's attributes, its own payload among them, but no times.
    Event,
    /// A path into the event's own payload.
    Payload(PayloadPath),
}

/// A job property that rules set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Property {
    Priority,
    Superceedable,
    Due,
    Expires,
}

/// An attribute of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attribute {
    ActionType,
    UserId,
    Holder,
    CacheKey,
}

/// Every name but the paths into the payload. An `access_token` counts by its holder id.
const NAMES: [(&str, KeyField); 15] = [
    ("payload", KeyField::Event),
    ("job_type", KeyField::Always),
    ("topic", KeyField::Always),
    ("resource_type", KeyField::Always),
    ("entity_id", KeyField::Always),
    ("priority", KeyField::Property(Property::Priority)),
    ("superceedable", KeyField::Property(Property::Superceedable)),
    ("supersedable", KeyField::Property(Property::Superceedable)),
    ("due", KeyField::Property(Property::Due)),
    ("expires", KeyField::Property(Property::Expires)),
    ("action_type", KeyField::Attribute(Attribute::ActionType)),
    ("user_id", KeyField::Attribute(Attribute::UserId)),
    ("holder", KeyField::Attribute(Attribute::Holder)),
    ("access_token", KeyField::Attribute(Attribute::Holder)),
    ("cache_key", KeyField::Attribute(Attribute::CacheKey)),
];

impl KeyField {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, field)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(field.clone());
        }
        // The payload keeps none of these where an event may give them outside of it too.
        match text {
            "payload.access_token" => return Ok(Self::Attribute(Attribute::Holder)),
            "payload.user_id" => return Ok(Self::Attribute(Attribute::UserId)),
            "payload.entity_id" => return Ok(Self::Always),
            _ => {}
        }
        PayloadPath::parse(text).map(Self::Payload).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "`{text}` is no field of a job: use {}, or a path such as payload.author_id",
                names.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_fields_and_payload_paths_are_known_and_nothing_else_is() {
        for known in
            ["payload", "expires", "due", "priority", "job_type", "superceedable", "user_id", "payload.a.b"]
        {
            assert!(KeyField::parse(known).is_ok(), "{known}");
        }
        for unknown in ["", "author_id", "occurred_at", "payload.", "Payload"] {
            assert!(KeyField::parse(unknown).unwrap_err().contains("payload.author_id"), "{unknown}");
        }
    }

    #[test]
    fn identity_in_the_payload_is_identity() {
        assert_eq!(KeyField::parse("payload.user_id"), KeyField::parse("user_id"));
        assert_eq!(KeyField::parse("payload.access_token"), KeyField::parse("holder"));
    }
}
