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
        let bytes = hex::decode(text).ok()?;
        let (check, field) = bytes.split_at_checked(CHECK_BYTES)?;
        let member = Member::from_field(field)?;
        (check == Self::check(entity, field)).then_some(Self(member))
    }

    pub(super) fn to_text(&self, entity: &Entity) -> String {
        let field = self.0.to_field();
        let check = Self::check(entity, &field);
        hex::encode([check.as_slice(), &field].concat())
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
        let mut hasher = blake3::Hasher::new();
        // No resource type holds a NUL, so the parts cannot run into each other.
        hasher.update(entity.resource_type.as_bytes()).update(&[0]).update(entity.id.as_bytes());
        hasher.update(&[0]).update(field);
        let mut check = [0; CHECK_BYTES];
        hasher.finalize_xof().fill(&mut check);
        check
    }
}
