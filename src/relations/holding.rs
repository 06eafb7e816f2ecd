//! What a holder holds, how that is written in a store, and where it stands when a store is asked for all of it.

use super::{Member, Position, Recording, Stamp};
use crate::{clock::Timestamp, event::Entity, secret::HolderId};

/// One holder's end of a relationship: the entity, under the resource's templates (`variant: None`) or under a key of
/// its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Holding {
    /// What is held.
    pub entity: Entity,
    /// The variant's key template, with `{access_token}` in it.
    pub variant: Option<Box<str>>,
}

/// A holding as [`super::Relations::entities_of`] found it. It may be left over: the member decides whether there is a
/// relationship.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldEntity {
    /// What.
    pub holding: Holding,
    /// What to compare when it is released.
    pub stamp: Stamp,
    /// When it ends, to the store's resolution, never before the relationship.
    pub expires_at: Timestamp,
}

/// Some of what a holder holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldingsPage {
    /// The holdings, in the order of (position, holding).
    pub held: Vec<HeldEntity>,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
}

impl Holding {
    /// The holder's end of a relationship.
    pub fn of(recording: &Recording) -> Self {
        Self { entity: recording.entity.clone(), variant: recording.member.variant.clone() }
    }

    /// The bytes that name the holding in a store: 4 of its position, then its parts. Neither a resource type nor an
    /// entity id holds a NUL, so that no two holdings share their bytes.
    pub fn to_field(&self) -> Vec<u8> {
        let text = self.to_text();
        [&position_of(&text).0.to_be_bytes(), text.as_slice()].concat()
    }

    /// Reads what [`Holding::to_field`] wrote; `None` for anything else.
    pub fn from_field(field: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(field.get(4..)?).ok()?;
        let (resource_type, rest) = text.split_once('\0')?;
        let (id, variant) = match rest.split_once('\0') {
            Some((id, variant)) => (id, Some(variant.into())),
            None => (rest, None),
        };
        let entity = Entity { resource_type: resource_type.into(), id: id.into() };
        Some(Self { entity, variant })
    }

    /// Where it stands among what its holder holds: spread evenly, and never moving.
    pub fn position(&self) -> Position {
        position_of(&self.to_text())
    }

    /// The member that it is the other end of.
    pub fn member(&self, holder: HolderId) -> Member {
        Member { holder, variant: self.variant.clone() }
    }

    fn to_text(&self) -> Vec<u8> {
        let mut text = [self.entity.resource_type.as_bytes(), &[0], self.entity.id.as_bytes()].concat();
        if let Some(variant) = &self.variant {
            text.push(0);
            text.extend_from_slice(variant.as_bytes());
        }
        text
    }
}

fn position_of(text: &[u8]) -> Position {
    let hash = blake3::hash(text);
    Position(hash.as_bytes().first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(resource_type: &str, id: &str, variant: Option<&str>) -> Holding {
        let entity = Entity { resource_type: resource_type.into(), id: id.into() };
        Holding { entity, variant: variant.map(Into::into) }
    }

    #[test]
    fn a_holding_reads_back_from_its_field() {
        for variant in [None, Some("/posts/42?page=2&access_token={access_token}"), Some("")] {
            let held = holding("Posts", "a:b/é", variant);
            assert_eq!(Holding::from_field(&held.to_field()), Some(held));
        }
        assert_eq!(Holding::from_field(b"\0\0\0\0Posts"), None);
        assert_eq!(Holding::from_field(b"\0\0"), None);
    }

    #[test]
    fn the_parts_of_a_holding_do_not_run_into_each_other() {
        let fields = [
            holding("A", "BC", None),
            holding("AB", "C", None),
            holding("A", "B", Some("C")),
            holding("A", "BC", Some("")),
        ]
        .map(|holding| holding.to_field());
        for (n, field) in fields.iter().enumerate() {
            assert!(!fields[n + 1..].contains(field));
        }
    }
}
