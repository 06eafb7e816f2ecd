//! The attributes of a CloudEvent that mean something here, from a JSON document or from headers.

use super::{Knows, kind};
use crate::{
    clock::Timestamp,
    event::{Event, EventError, parse::Fields},
};

/// What stands around `data`. Extension attributes and `dataschema` are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
}

impl Attributes {
    /// Their names.
    pub const NAMES: [&str; 7] =
        ["specversion", "id", "source", "type", "subject", "time", "datacontenttype"];
    /// Those without which nothing is a CloudEvent.
    pub const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

    /// Gives an attribute its text, and answers the one that it had. One of another name is passed over.
    pub fn put(&mut self, name: &str, text: String) -> Option<String> {
        let slot = match name {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.datacontenttype,
            _ => return None,
        };
        slot.replace(text)
    }

    /// Whether `datacontenttype` says that the data is JSON, or nothing.
    pub(super) fn expect_json(&self) -> Result<(), EventError> {
        match self.datacontenttype.as_deref() {
            Some(media_type) if !is_json(media_type) => {
                Err(EventError("datacontenttype must be application/json".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The event that has these attributes around its other fields.
    pub(super) fn around(
        &self,
        mut fields: Fields,
        knows: Knows<'_>,
        arrived: Timestamp,
    ) -> Result<Event, EventError> {
        if !is_version_1(required("specversion", &self.specversion)?) {
            return Err(EventError("specversion must be 1.0: no other CloudEvents are taken".to_owned()));
        }
        required("source", &self.source)?;
        let (id, kind) = (required("id", &self.id)?, required("type", &self.kind)?);
        let named = kind::Named {
            resource_type: fields.text("resource_type"),
            action_type: fields.text("action_type"),
        };
        let (resource_type, action_type) = kind::split(kind, &named, knows)?;
        fields.put_attribute("id", id, arrived);
        fields.put_attribute("resource_type", resource_type, arrived);
        fields.put_attribute("action_type", action_type, arrived);
        for (name, text) in [("subject", &self.subject), ("time", &self.time)] {
            if let Some(text) = text {
                fields.put_attribute(name, text, arrived);
            }
        }
        if !fields.has_entity_id() {
            return Err(EventError("subject is missing: it is the entity id".to_owned()));
        }
        fields.check(arrived)
    }
}

/// Whether a media type is JSON: `application/json`, or anything that ends in `+json`.
pub(crate) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn is_version_1(text: &str) -> bool {
    let minor = text.strip_prefix("1.").unwrap_or_default();
    !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
}

fn required<'a>(name: &str, text: &'a Option<String>) -> Result<&'a str, EventError> {
    match text.as_deref() {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(EventError(format!("{name} must not be empty"))),
        None => Err(EventError(format!("{name} is missing: every CloudEvent has one"))),
    }
}
