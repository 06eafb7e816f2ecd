//! Every Redis key format, in one place (DESIGN 6).
//!
//! `{...}` is Redis Cluster's hash tag: all keys of one entity live in one slot, all of one holder in another. What the
//! parts hold is escaped, so that no two entities share a key and no id closes the tag early.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use crate::{event::Entity, secret::HolderId, template::glob};

/// The keys of one store, under its prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// `prefix` holds no braces (the configuration checks it).
    pub(super) fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// A string: `stale`, the generation, and how many buckets there are.
    pub(super) fn stale(&self, entity: &Entity) -> String {
        self.of_entity(entity, "stale")
    }

    /// What the keys of an entity's buckets begin with; scripts add `:` and the bucket's number.
    pub(super) fn buckets(&self, entity: &Entity) -> String {
        self.of_entity(entity, "h")
    }

    /// The first of these buckets: the only one of an entity with few members.
    pub(super) fn first_bucket(&self, entity: &Entity) -> String {
        self.of_entity(entity, "h:1")
    }

    /// A string: the holder's access token, sealed.
    pub(super) fn vault(&self, holder: HolderId) -> String {
        self.of_holder(holder, "token")
    }

    /// A string: the holder's own `stale`, in the form of an entity's, and how many buckets their entries have.
    pub(super) fn stale_of_holder(&self, holder: HolderId) -> String {
        self.of_holder(holder, "stale")
    }

    /// What the keys of the buckets of a holder's entries begin with; scripts add `:` and the bucket's number.
    pub(super) fn entities_of(&self, holder: HolderId) -> String {
        self.of_holder(holder, "entities")
    }

    /// The first of these buckets.
    pub(super) fn first_entities_of(&self, holder: HolderId) -> String {
        self.of_holder(holder, "entities:1")
    }

    /// A string: the fingerprint of the secret that the store was filled under.
    pub(super) fn secret(&self) -> String {
        format!("{}secret", self.prefix)
    }

    /// A string: which index this is. It goes with the index.
    pub(super) fn marker(&self) -> String {
        format!("{}index", self.prefix)
    }

    /// A sorted set: when a process was last known to be heard here.
    pub(super) fn beat(&self, process: &str) -> String {
        format!("{}beat:{process}:latest", self.prefix)
    }

    /// Never there: a write of nothing to it shows that the server can be written to.
    pub(super) fn ping(&self) -> String {
        format!("{}ping", self.prefix)
    }

    /// Matches every key that [`Keys::entity_of`] reads, and few others.
    pub(super) fn entities_pattern(&self) -> String {
        format!("{}{{*}}:[hs]*[1e]", glob::escape(&self.prefix))
    }

    /// The entity whose stale record, or first bucket of one, has this key; `None` for any other key.
    pub(super) fn entity_of(&self, key: &[u8]) -> Option<Entity> {
        let key = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?.strip_prefix('{')?;
        let (entity, part) = key.split_once("}:")?;
        let (resource_type, id) = entity.split_once(':')?;
        if !["stale", "h:1"].contains(&part) || resource_type == "holder" {
            return None;
        }
        let text = |part| percent_decode_str(part).decode_utf8().ok();
        Entity::new(&text(resource_type)?, &text(id)?).ok()
    }

    fn of_holder(&self, holder: HolderId, part: &str) -> String {
        format!("{}{{holder:{holder}}}:{part}", self.prefix)
    }

    fn of_entity(&self, entity: &Entity, part: &str) -> String {
        let mut key = String::with_capacity(self.prefix.len() + entity.id.len() + 40);
        key.push_str(&self.prefix);
        key.push('{');
        match &*entity.resource_type {
            // No other resource type is escaped to this; unescaped it would meet the keys of holders.
            "holder" => key.push_str("%68older"),
            resource_type => escape(&mut key, resource_type, &['%', '{', '}', ':']),
        }
        key.push(':');
        escape(&mut key, &entity.id, &['%', '{', '}']);
        key.push_str("}:");
        key.push_str(part);
        key
    }
}

fn escape(key: &mut String, part: &str, special: &[char]) {
    if !part.contains(special) {
        return key.push_str(part);
    }
    for char in part.chars() {
        if special.contains(&char) {
            // Writing to a String does not fail.
            let _ = write!(key, "%{:02X}", u32::from(char));
        } else {
            key.push(char);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn stale(resource_type: &str, id: &str) -> String {
        Keys::new("decache:").stale(&Entity { resource_type: resource_type.into(), id: id.into() })
    }

    #[test]
    fn keys_read_as_the_design_says() {
        assert_eq!(stale("Posts", "42"), "decache:{Posts:42}:stale");
        let holder = HolderId([0xab; 16]);
        assert_eq!(
            Keys::new("decache:").vault(holder),
            "decache:{holder:abababababababababababababababab}:token"
        );
        assert_eq!(
            Keys::new("decache:").entities_of(holder),
            "decache:{holder:abababababababababababababababab}:entities"
        );
        assert_eq!(
            Keys::new("decache:").stale_of_holder(holder),
            "decache:{holder:abababababababababababababababab}:stale"
        );
    }

    #[test]
    fn no_two_entities_share_a_key() {
        let entities = [
            ("Posts", "42"),
            ("Comments", "42"),
            ("Posts", "A:B"),
            ("Posts", "}:stale"),
            ("Posts", "%7D:stale"),
            ("Posts", "{42}"),
            ("Posts", "%7B42%7D"),
            ("Posts", "%257B42%257D"),
            ("holder", "00000000000000000000000000000000"),
            ("Holder", "00000000000000000000000000000000"),
        ];
        let keys: HashSet<String> = entities.iter().map(|(kind, id)| stale(kind, id)).collect();
        assert_eq!(keys.len(), entities.len());
        let vault = Keys::new("decache:").vault(HolderId([0; 16]));
        let tag = |key: &str| key[..=key.find('}').expect("a tag")].to_owned();
        assert!(keys.iter().all(|key| tag(key) != tag(&vault)), "no entity lives under a holder's tag");
    }

    #[test]
    fn an_entity_reads_back_from_its_keys_and_from_no_other() {
        let keys = Keys::new("decache:");
        for (kind, id) in [("Posts", "42"), ("Posts", "a:b}:%7D{é"), ("holder", "00"), ("holder", "%68older")]
        {
            let entity = Entity { resource_type: kind.into(), id: id.into() };
            assert_eq!(keys.entity_of(keys.stale(&entity).as_bytes()), Some(entity.clone()));
            let bucket = |number: u32| format!("{}:{number}", keys.buckets(&entity));
            assert_eq!(keys.entity_of(bucket(1).as_bytes()), Some(entity.clone()));
            assert_eq!(keys.entity_of(bucket(11).as_bytes()), None);
        }
        let vault = keys.vault(HolderId([0; 16]));
        for key in [
            &*vault,
            &vault.replace("token", "stale"),
            &keys.secret(),
            "decache:{Posts}:stale",
            "{Posts:42}:stale",
        ] {
            assert_eq!(keys.entity_of(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn an_id_cannot_close_the_hash_tag() {
        let key = stale("Posts", "}{");
        assert_eq!(key.matches('{').count(), 1);
        assert_eq!(key.matches('}').count(), 1);
    }
}
