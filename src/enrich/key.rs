//! A job's identity: what every job of its kind has in it, and what `key_fields` adds.

use std::time::Duration;

use crate::{
    event::{AccessToken, Entity, Event},
    job::{CopyHeld, JobKey, KeyHasher},
    rules::{Attribute, KeyField, Property, Route},
    secret::HolderId,
};

/// The identity of the job that `route` makes of `event`: about `entity`, and `copy` where it is a `cache` job.
pub(super) fn of(
    event: &Event,
    route: &Route<'_>,
    (entity, copy): (&Entity, Option<&CopyHeld>),
    holder_id: &dyn Fn(&AccessToken) -> HolderId,
) -> KeyHasher {
    let mut key = JobKey::of(route.enricher.properties.job_type, route.topic, entity);
    if let Some(copy) = copy {
        key.bytes(&copy.holder.0);
        key.optional(copy.cache_key.as_deref().map(str::as_bytes));
    }
    let mut added = Added { key, event, route, holder_id };
    route.enricher.key_fields.iter().for_each(|field| added.field(field));
    added.key
}

/// What `key_fields` takes values from. Every value comes after its field's name: two enrichers of one topic may
/// name different fields.
struct Added<'a> {
    key: KeyHasher,
    event: &'a Event,
    route: &'a Route<'a>,
    holder_id: &'a dyn Fn(&AccessToken) -> HolderId,
}

impl Added<'_> {
    fn field(&mut self, field: &KeyField) {
        match field {
            KeyField::Always => {}
            KeyField::Property(property) => self.property(*property),
            KeyField::Attribute(attribute) => self.attribute(*attribute),
            KeyField::Event => self.whole_event(),
            KeyField::Payload(path) => path.add_to(&mut self.key, &self.event.payload),
        }
    }

    fn property(&mut self, property: Property) {
        let properties = &self.route.enricher.properties;
        let (name, value) = match property {
            Property::Priority => ("priority", Some(u128::from(properties.priority))),
            Property::Superceedable => ("superceedable", Some(u128::from(properties.superceedable))),
            Property::Due => ("due", Some(properties.due.as_nanos())),
            Property::Expires => ("expires", properties.expires.as_ref().map(Duration::as_nanos)),
        };
        self.key.text(name);
        self.key.optional(value.map(u128::to_le_bytes).as_ref().map(<[u8; 16]>::as_slice));
    }

    fn attribute(&mut self, attribute: Attribute) {
        let holder;
        let (name, value) = match attribute {
            Attribute::ActionType => ("action_type", Some(self.event.action_type.as_bytes())),
            Attribute::UserId => ("user_id", self.event.user_id.as_deref().map(str::as_bytes)),
            Attribute::CacheKey => ("cache_key", self.event.cache_key.as_deref().map(str::as_bytes)),
            Attribute::Holder => {
                holder = self.event.access_token.as_ref().map(self.holder_id);
                ("holder", holder.as_ref().map(|holder| holder.0.as_slice()))
            }
        };
        self.key.text(name);
        self.key.optional(value);
    }

    /// All that the event says but its times, its id, its generation and its copy's life: those make no other job.
    /// Resource type and entity id are in the key already.
    fn whole_event(&mut self) {
        self.key.text("payload");
        for attribute in [Attribute::ActionType, Attribute::Holder, Attribute::UserId, Attribute::CacheKey] {
            self.attribute(attribute);
        }
        self.key.object(&self.event.payload);
    }
}
