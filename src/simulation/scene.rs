//! What there is in a world: what is written and read, by whom, and how much goes wrong.

use std::time::Duration;

use super::{config::Config, dice::Dice, kinds::Kind, realm::Realm, world::SKEW};
use crate::event::Entity;

/// What a world is like.
pub(super) struct Scene {
    /// Nothing is lost, nobody dies, nothing is away.
    pub(super) calm: bool,
    /// Entities that are written, and read.
    pub(super) written: Vec<Entity>,
    /// One that is only read.
    pub(super) unwritten: Entity,
    pub(super) authors: u64,
    pub(super) users: u64,
    /// The first so many of them may be revoked.
    pub(super) revoked: u64,
    pub(super) pages: u64,
    /// Of a thousand steps of an API.
    pub(super) mortality: u64,
    pub(super) apis: Vec<Duration>,
}

impl Scene {
    pub(super) fn of(dice: &Dice, seed: u64) -> Self {
        let kinds = ["Posts", "Notes", "Items"];
        let calm = dice.chance(150) && !Realm::of(seed).loses();
        let kind = *dice.pick(&kinds);
        let (other, unwritten) = (*dice.pick(&kinds), *dice.pick(&kinds));
        let mut written = vec![entity(kind, 1), entity(other, 2)];
        written.dedup();
        let authors = 7..=dice.number(7..=8);
        if kind == "Posts" || other == "Posts" {
            written.extend(authors.clone().map(|author| entity("Feeds", author)));
        }
        let (users, revokes) = (dice.number(1..=3), Realm::revokes(seed));
        // One of them stays.
        let users = if revokes { users.max(2) } else { users };
        Self {
            calm,
            written,
            unwritten: entity(unwritten, 99),
            authors: *authors.end(),
            users,
            revoked: if revokes { users - 1 } else { 0 },
            pages: dice.number(0..=2),
            mortality: if calm || dice.chance(300) { 0 } else { 15 },
            apis: (0..3).map(|_| dice.millis(0..=SKEW)).collect(),
        }
    }
}

impl Scene {
    pub(super) fn of_kind(kind: &Kind, dice: &Dice) -> Self {
        Self {
            calm: false,
            written: vec![entity(kind.resource_type, 1)],
            unwritten: entity(kind.resource_type, 99),
            authors: 7,
            users: kind.users,
            revoked: if kind.revocations.is_empty() { 0 } else { 1 },
            pages: kind.pages,
            mortality: kind.mortality,
            apis: (0..3).map(|_| dice.millis(0..=SKEW)).collect(),
        }
    }

    pub(super) fn has(&self, resource_type: &str) -> bool {
        self.all().any(|entity| &*entity.resource_type == resource_type)
    }

    /// Whether there is something whose `guard` is zero.
    pub(super) fn without_guard(&self, config: &Config) -> bool {
        self.all().any(|entity| !config.has_guard(entity))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entity> {
        self.written.iter().chain([&self.unwritten])
    }
}

pub(super) fn entity(resource_type: &str, id: u64) -> Entity {
    Entity { resource_type: resource_type.into(), id: id.to_string().into() }
}
