//! Whose copy a key may be.

use crate::{
    caches::CopyKey,
    clock::Timestamp,
    event::{AccessToken, Entity},
    resource::Resources,
    template::{Glob, KeyTemplate, Reading, Readings},
};

/// Owners that are considered for one key. One that may have more is treated as one that cannot be read.
const MOST_OWNERS: usize = 8;

/// A relationship that would track a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) entity: Entity,
    pub(super) token: AccessToken,
    /// The variant's key template, where it is not the resource's.
    pub(super) variant: Option<Box<str>>,
}

/// What a key says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Meaning {
    /// Every relationship that would track the copy. With none of these the key is no template's, or cannot be read back.
    pub(super) owners: Vec<Owner>,
    /// Some of what it was made of cannot be told.
    pub(super) is_unreadable: bool,
    /// The first template that it is one of: a key that several patterns match is counted with this one's.
    pub(super) glob: Option<Glob>,
}

impl Meaning {
    pub(super) fn of(key: &CopyKey, resources: &Resources, now: Timestamp) -> Self {
        let mut meaning = Self::default();
        for (resource_type, resource) in resources.iter() {
            for template in resource.living_templates(now) {
                meaning.add(resource_type, template, template.readings(&key.0));
            }
        }
        if meaning.owners.len() > MOST_OWNERS {
            meaning.is_unreadable = true;
        }
        meaning
    }

    fn add(&mut self, resource_type: &str, template: &KeyTemplate, readings: Readings) {
        if readings.found.is_empty() && !readings.is_cut_off {
            return;
        }
        self.glob.get_or_insert_with(|| template.glob());
        self.is_unreadable |= readings.is_cut_off;
        for reading in readings.found {
            let Reading { entity_id: Some(id), token: Some(token) } = reading else {
                self.is_unreadable = true;
                continue;
            };
            let mut add = |id: &str, variant| {
                if let Ok(entity) = Entity::new(resource_type, id) {
                    self.owners.push(Owner { entity, token: token.clone(), variant });
                }
            };
            add(&id, None);
            for shorter in template.variant_of(&id) {
                add(shorter, Some(template.for_entity(&id).to_string().into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::resources::{ResourceConfig, ResourcesConfig},
        resource::variant_key,
    };

    fn resources() -> Resources {
        let resource = |cache_key: &str| ResourceConfig {
            cache_keys: vec![cache_key.to_owned()],
            variant_patterns: Vec::new(),
            ttl: Duration::from_secs(300),
            guard: Duration::ZERO,
            horizon: Duration::from_secs(3600),
            recheck: Duration::ZERO,
            require_read_time: false,
        };
        let config = [
            ("Posts", "/posts/{entity_id}?t={access_token}"),
            ("Any", "/{entity_id}/all?t={access_token}"),
            ("Feeds", "/feeds/{entity_id}/{access_token:sha256}"),
        ];
        let config = config.map(|(name, cache_key)| (name.to_owned(), resource(cache_key)));
        Resources::compile(&ResourcesConfig(config.into()), "").unwrap()
    }

    fn of(key: &str) -> Meaning {
        Meaning::of(&CopyKey(key.to_owned()), &resources(), Timestamp(0))
    }

    #[test]
    fn a_key_has_its_entity_and_its_token() {
        let meaning = of("/posts/42?t=tok-a");
        let entity = Entity::new("Posts", "42").unwrap();
        assert_eq!(meaning.owners, [Owner { entity, token: AccessToken::new("tok-a"), variant: None }]);
        assert!(!meaning.is_unreadable);
        assert_eq!(of("/comments/42?t=tok-a"), Meaning::default());
    }

    #[test]
    fn a_key_of_a_template_of_before_has_its_owner_until_that_has_ended() {
        let (mut resources, key) = (resources(), CopyKey("/old/42?t=tok-a".to_owned()));
        let old = KeyTemplate::parse("/old/{entity_id}?t={access_token}").unwrap();
        assert!(resources.retire("Posts", old, Timestamp(5)));
        let owners = |now| Meaning::of(&key, &resources, Timestamp(now)).owners;
        let (entity, token) = (Entity::new("Posts", "42").unwrap(), AccessToken::new("tok-a"));
        assert_eq!((owners(4), owners(5)), (vec![Owner { entity, token, variant: None }], vec![]));
    }

    #[test]
    fn a_key_of_two_templates_or_of_a_variant_has_every_owner_and_each_makes_that_key() {
        let key = "/posts/42/all?t=tok-a";
        let meaning = of(key);
        let told: Vec<_> = meaning
            .owners
            .iter()
            .map(|it| (&*it.entity.resource_type, &*it.entity.id, it.variant.is_some()))
            .collect();
        let expected = [
            ("Any", "posts/42", false),
            ("Any", "posts", true),
            ("Posts", "42/all", false),
            ("Posts", "42", true),
        ];
        assert_eq!(told, expected);
        for owner in &meaning.owners {
            let keys = match &owner.variant {
                Some(variant) => Vec::from_iter(variant_key(variant, &owner.token).unwrap()),
                None => resources()
                    .get(&owner.entity.resource_type)
                    .unwrap()
                    .copy_keys(&owner.entity.id, &owner.token),
            };
            assert_eq!(keys, [CopyKey(key.to_owned())]);
        }
    }

    #[test]
    fn a_hash_and_very_many_owners_are_unreadable() {
        assert!(of(&format!("/feeds/7/{}", "ab".repeat(32))).is_unreadable);
        assert!(of(&format!("/posts/{}?t=tok-a", "4/".repeat(20))).is_unreadable);
    }
}
