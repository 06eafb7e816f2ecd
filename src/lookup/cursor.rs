//! Where a page of holders ended, as opaque text.

use crate::{
    event::Entity,
    relations::{Member, Position},
};

/// How many bytes of a hash tie a cursor to its entity. They catch mistakes; there is nothing to forge.
const CHECK_BYTES: usize = 4;

/// The last member that a page showed. It names a member and not a rank, so pages stay right as members come and go.
pub(super) struct Cursor(Member);

impl Cursor {
    pub(super) fn at(last: &Member) -> Self {
        Self(last.clone())
    }

    /// Reads what [`Cursor::to_text`] wrote for the same entity; `None` for anything else.
    pub(super) fn parse(text: &str, entity: &Entity) -> Option<Self> {
        let field = parse_checked(text, |field| Self::check(entity, field))?;
        Member::from_field(&field).map(Self)
    }

    pub(super) fn to_text(&self, entity: &Entity) -> String {
        let field = self.0.to_field();
        to_checked(&Self::check(entity, &field), &field)
    }

    /// Where to go on walking; members at this very position may be on either side of the cursor.
    pub(super) fn position(&self) -> Position {
        self.0.position()
    }

    /// Whether `member` stands after the cursor, in the order of a walk.
    pub(super) fn is_before(&self, member: &Member) -> bool {
        (self.0.position(), &self.0) < (member.position(), member)
    }

    fn check(entity: &Entity, field: &[u8]) -> [u8; CHECK_BYTES] {
        check_of(&[entity.resource_type.as_bytes(), entity.id.as_bytes(), field])
    }
}

/// What ties a cursor to where it belongs. Parts that hold no NUL cannot run into each other; the last may.
pub(super) fn check_of(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    for (index, part) in parts.iter().enumerate() {
        hasher.update(if index == 0 { &[] } else { &[0] }).update(part);
    }
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

pub(super) fn to_checked(check: &[u8; CHECK_BYTES], field: &[u8]) -> String {
    hex::encode([check.as_slice(), field].concat())
}

/// The field of a cursor that [`to_checked`] wrote with the check that `check` makes of it.
pub(super) fn parse_checked(text: &str, check: impl Fn(&[u8]) -> [u8; CHECK_BYTES]) -> Option<Vec<u8>> {
    let bytes = hex::decode(text).ok()?;
    let (found, field) = bytes.split_at_checked(CHECK_BYTES)?;
    (found == check(field)).then(|| field.to_vec())
}
