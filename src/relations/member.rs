//! Who holds a copy, as which variant; how a member is written in a store, and where it stands in a walk.

use crate::secret::HolderId;

/// One holder's copy of an entity under the resource's templates (`variant: None`) or under a key of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Member {
    /// Whose copy.
    pub holder: HolderId,
    /// The variant's key template, with `{access_token}` in it.
    pub variant: Option<Box<str>>,
}

/// A place in an entity's members, spread evenly by hash: 0 to 2^32 - 1. Walks go upward; a member never moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u32);

impl Member {
    /// The bytes that name the member in a store: 16 of the holder id; a variant adds 4 of its position and its text.
    /// Where a store has to find the position it needs nothing but these bytes.
    pub fn to_field(&self) -> Vec<u8> {
        let mut field = self.holder.0.to_vec();
        if let Some(variant) = &self.variant {
            field.extend_from_slice(&self.position().0.to_be_bytes());
            field.extend_from_slice(variant.as_bytes());
        }
        field
    }

    /// Reads what [`Member::to_field`] wrote; `None` for anything else.
    pub fn from_field(field: &[u8]) -> Option<Self> {
        let (holder, rest) = field.split_first_chunk::<16>()?;
        let variant = match rest {
            [] => None,
            _ => Some(std::str::from_utf8(rest.get(4..)?).ok()?.into()),
        };
        Some(Self { holder: HolderId(*holder), variant })
    }

    /// Where it stands. A holder's variants are spread, so that no holder can overfill one bucket.
    pub fn position(&self) -> Position {
        let hashed;
        let bytes: &[u8] = match &self.variant {
            None => &self.holder.0,
            Some(variant) => {
                hashed = blake3::Hasher::new().update(&self.holder.0).update(variant.as_bytes()).finalize();
                hashed.as_bytes()
            }
        };
        Position(bytes.first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_reads_back_from_its_field() {
        for variant in [None, Some("/posts/42?page=2&access_token={access_token}".into())] {
            let member = Member { holder: HolderId([7; 16]), variant };
            assert_eq!(Member::from_field(&member.to_field()), Some(member));
        }
        assert_eq!(Member::from_field(b"short"), None);
        assert_eq!(Member::from_field(&[1; 18]), None);
    }
}
