//! The index: who holds a copy of what, until when (DESIGN 6 and 7).
//!
//! Two stores keep the same contract, [`Relations`], held to it by one test suite: [`redis`] for production and
//! [`embedded`] for a single process with no server.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{clock::Timestamp, event::Entity, secret::HolderId};

pub mod embedded;
mod holding;
mod keys;
mod marker;
mod member;
pub mod redis;

pub use holding::{HeldEntity, Holding, HoldingsPage};
pub use marker::{Marked, Marker};
pub use member::{Member, Position};

/// What a store keeps and does. Every operation is atomic by itself and may be repeated.
pub trait Relations: Send + Sync {
    /// Ties the store to the secret with this fingerprint, or finds that it is tied already.
    ///
    /// # Errors
    /// [`ClaimError::OtherSecret`] where another secret's process was here first.
    fn claim<'a>(&'a self, fingerprint: &'a str) -> BoxFuture<'a, Result<(), ClaimError>>;

    /// Records relationships: each one's vault entry first, then the member, then it reads `stale` (DESIGN 7, rule 1);
    /// and where the index is by holder too, then the holder's entry for the entity, then it reads the holder's own
    /// `stale` (rule 10). An expiry is never shortened (rule 2). Answers in the order of `batch`, which holds no member
    /// twice.
    fn record<'a>(&'a self, batch: &'a [Recording]) -> BoxFuture<'a, Result<Vec<Recorded>, StoreError>>;

    /// Writes `stale`, which never moves backwards, and takes a new generation (rules 3 and 4). Members that are
    /// walked afterwards are all that the invalidation has to remove.
    fn invalidate<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Stale, StoreError>>;

    /// Reads `stale` and the generation that a read that begins now is under.
    fn staleness<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<Staleness, StoreError>>;

    /// Living members from a position on, in the order of (position, member): at least one bucket, about `limit`
    /// members. Misses no member that is there all along, whatever comes and goes meanwhile (rule 7).
    fn walk<'a>(
        &'a self,
        entity: &'a Entity,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Writes `stale` as [`Relations::invalidate`] does, and then reads the first page of members as [`Relations::walk`] does:
    /// in one round trip where a store can.
    fn invalidate_and_walk<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
        limit: usize,
    ) -> BoxFuture<'a, Result<(Stale, Page), StoreError>> {
        Box::pin(async move {
            let stale = self.invalidate(entity, mark).await?;
            Ok((stale, self.walk(entity, Position::default(), limit).await?))
        })
    }

    /// These members as a walk would find them, in their order; `None` for those that are not there, or no longer.
    fn held<'a>(
        &'a self,
        members: &'a [(Entity, Member)],
    ) -> BoxFuture<'a, Result<Vec<Option<Held>>, StoreError>>;

    /// Some entities that may have members, about `limit` of them, from a cursor on. Names each that has members all along
    /// at least once, whatever comes and goes meanwhile; only one that grows beyond its first bucket meanwhile may be missed.
    fn entities<'a>(
        &'a self,
        from: &'a EntityCursor,
        limit: usize,
    ) -> BoxFuture<'a, Result<EntityPage, StoreError>>;

    /// Drops the members that are still as they were read: same stamp (rule 6). With a time to `linger` they stay as they
    /// are for that long, or until they end (rule 14). Returns how many were as they were read.
    fn forget<'a>(
        &'a self,
        entity: &'a Entity,
        members: &'a [(Member, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>>;

    /// Drops all members of a page, as [`Relations::forget`] does one by one.
    fn forget_page<'a>(
        &'a self,
        entity: &'a Entity,
        page: &'a Page,
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        Box::pin(async move {
            let members: Vec<_> = page.held.iter().map(|held| (held.member.clone(), held.stamp)).collect();
            self.forget(entity, &members, linger).await
        })
    }

    /// Whether the index is by holder too. Where it is not, holders have neither entries nor a `stale` of their own:
    /// nothing may be revoked.
    fn by_holder(&self) -> bool;

    /// Writes the holder's own `stale`, which never moves backwards, and answers what it is now (rule 10). What
    /// [`Relations::entities_of`] finds afterwards is all that a revocation has to remove.
    fn revoke<'a>(
        &'a self,
        holder: HolderId,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Timestamp, StoreError>>;

    /// What a holder holds, from a position on, in pages as [`Relations::walk`] gives them. Every member that is there
    /// all along has an entry here; an entry may have lost its member, and then ends with its time at the latest.
    fn entities_of<'a>(
        &'a self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<HoldingsPage, StoreError>>;

    /// Drops entries of a holder that are still as they were read: same stamp. To be done once their members are
    /// dropped, or were found not to be there. With a time to `linger` they stay for that long, or until they end, as the
    /// members do: so no entry goes before its member. Returns how many were as they were read.
    fn release<'a>(
        &'a self,
        holder: HolderId,
        holdings: &'a [(Holding, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>>;

    /// The vault entries of these holders, in their order; `None` where there is none.
    fn vault<'a>(&'a self, holders: &'a [HolderId])
    -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>>;

    /// The same, for whoever wants their tokens alone: an entry that this process has seen before may be answered, whatever the
    /// vault has now. A holder's id is a hash of their token, so that an entry is never another token's.
    fn tokens<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        self.vault(holders)
    }

    /// Gives back room that an entity no longer needs after a fan-out; a bounded amount of work per call.
    /// Returns whether there is more to do.
    fn compact<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Asks whether the store answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A vault entry as it is stored: sealed by [`crate::secret::Keys`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed(pub Vec<u8>);

/// One relationship to record.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What is held.
    pub entity: Entity,
    /// By whom, as which variant.
    pub member: Member,
    /// When the relationship ends: the copy's end and `guard`. The vault entry outlives it.
    pub expires_at: Timestamp,
    /// The holder's vault entry.
    pub vault: Sealed,
    /// Whether that says who the holder is. One that does not never takes the place of one that may.
    pub names_holder: bool,
}

/// What a recording found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// The stamp it gave the member, never used before for it.
    pub stamp: Stamp,
    /// The entity's `stale`, read after the member was written.
    pub stale: Option<Stale>,
    /// The generation that a read that begins now is under: none above it was ever given out.
    pub generation: u64,
    /// The holder's own: reads of theirs that began at or before this time (and `guard`) are stale, read after the
    /// member and the holder's entry were written.
    pub revoked: Option<Timestamp>,
}

/// What a store compares before it drops a member. Only the store that gave it knows its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// The last invalidation of an entity, while reads that began before it may still arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale {
    /// Reads that began at or before this time (and `guard`) are stale.
    pub at: Timestamp,
    /// Reads under an earlier generation are stale.
    pub generation: u64,
}

/// What an invalidation writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaleMark {
    /// When the write's commit returned.
    pub at: Timestamp,
    /// How long the mark has to live: `horizon` + 2 `guard`.
    pub life: Duration,
}

/// An entity's `stale`, and the generation to give to a read that begins now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Staleness {
    /// `None` where no invalidation is within its life.
    pub stale: Option<Stale>,
    /// max(current, store clock in milliseconds), so that none returns after `stale` has expired (rule 4).
    pub generation: u64,
}

/// A member as a walk found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Who, as which variant.
    pub member: Member,
    /// What to compare when it is dropped.
    pub stamp: Stamp,
    /// When the relationship ends, to the store's resolution, never early.
    pub expires_at: Timestamp,
    /// How long ago it was recorded last, at least; zero where that is not known.
    pub age: Duration,
}

/// A step of a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The members found, in the order of (position, member).
    pub held: Vec<Held>,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
    /// What the store has read, so that it can tell whether all of it is still as it was.
    pub read: AsRead,
}

/// The parts of a store that hold the members of a page and no others, each with its number, as they were read. Only the store
/// that gave it knows its meaning; there may be none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AsRead(pub Vec<(u64, Vec<u8>)>);

/// Where a walk over all entities goes on. Only the store that gave it knows its meaning; it begins at the default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntityCursor(pub Box<[u8]>);

/// A step of a walk over all entities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityPage {
    /// Each once in this page; there may be none in one.
    pub entities: Vec<Entity>,
    /// Where to go on; `None` at the end.
    pub next: Option<EntityCursor>,
}

/// Why a store could not do it. All of these may pass; the work is to be tried again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Not reached, or it went away, or it took too long.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// It answered with an error.
    #[error("store refused: {0}")]
    Refused(String),
    /// It is no longer the one that it was: what was done on it does not count (rule 13).
    #[error("the index was lost: being looked at")]
    Lost,
    /// It holds something that this version does not understand.
    #[error("store holds an unreadable {0}")]
    Unreadable(&'static str),
}

/// Why a store is not this process's.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It was filled under another secret.
    #[error(
        "the store was filled under another secret (its fingerprint {theirs}, ours {ours}): give this process the same \
         secret, or an empty store"
    )]
    OtherSecret {
        /// The fingerprint in the store.
        theirs: String,
        /// The fingerprint of this process's secret.
        ours: String,
    },
    /// It could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}
