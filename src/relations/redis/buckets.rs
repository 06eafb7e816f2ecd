//! Whole buckets: how a walk reads them, and how a fan-out drops them.

use std::{collections::HashSet, time::Duration};

use deadpool_redis::redis::{self, Value};

use super::{BUCKETS_PER_CALL, RedisStore, held_as, read, scripts::Script};
use crate::{
    event::Entity,
    relations::{AsRead, Held, Member, Page, Position, StoreError},
};

/// A field of 16 bytes and its value of 8.
const ENTRY: usize = 24;
/// Buckets that one call compares and drops, so that no other client of the Redis waits long.
const DROPPED_PER_CALL: usize = 8;

/// Whole buckets, as a walk reads them.
pub(super) struct Buckets {
    read: Vec<(u64, Content)>,
    /// The store's clock in seconds.
    now: u64,
    /// The store's clock as a stamp.
    now_stamp: u32,
    /// Where the next bucket begins.
    pub(super) next: Option<Position>,
}

/// What a bucket holds.
enum Content {
    /// Fields of 16 bytes, each with its value.
    Whole(Vec<u8>),
    /// Fields of any length, each followed by its value.
    Apart(Vec<Vec<u8>>),
}

impl Buckets {
    /// The living fields, each with its value.
    pub(super) fn living(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let entries = self.read.iter().flat_map(|(_, content)| content.entries());
        let now = self.now;
        entries.filter(move |(_, value)| value >> 32 > now)
    }

    fn from_answer(answer: Vec<Value>) -> Result<Self, StoreError> {
        let mut answer = answer.into_iter();
        let (now, behind): (u64, u64) = (read(answer.next())?, read(answer.next())?);
        let now_stamp = read(answer.next())?;
        let mut buckets = Vec::with_capacity(answer.len() / 2);
        while let Some(number) = answer.next() {
            let content = match answer.next() {
                Some(Value::BulkString(whole)) => Content::Whole(whole),
                apart => Content::Apart(read(apart)?),
            };
            buckets.push((read(Some(number))?, content));
        }
        Ok(Self { read: buckets, now, now_stamp, next: u32::try_from(behind).ok().map(Position) })
    }

    /// The contents by which the buckets can be dropped, where nothing lives in them but members that are on the page.
    fn into_read(self, page: usize) -> AsRead {
        let count = self.living().count();
        let whole = |(number, content)| match content {
            Content::Whole(whole) => Some((number, whole)),
            Content::Apart(apart) => apart.is_empty().then(|| (number, Vec::new())),
        };
        let all: Option<Vec<_>> = self.read.into_iter().map(whole).collect();
        let mut buckets = all.filter(|_| count == page).unwrap_or_default();
        buckets.retain(|(_, content)| !content.is_empty());
        AsRead(buckets)
    }
}

impl Content {
    fn entries(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let (whole, apart): (&[u8], &[Vec<u8>]) = match self {
            Self::Whole(whole) => (whole, &[]),
            Self::Apart(apart) => (&[], apart),
        };
        let apart = apart.chunks_exact(2).map(|entry| (&*entry[0], value_of(&entry[1])));
        entries(whole).chain(apart)
    }
}

fn entries(whole: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    whole.chunks_exact(ENTRY).map(|entry| (&entry[..ENTRY - 8], value_of(&entry[ENTRY - 8..])))
}

/// What is no value has expired.
fn value_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

impl RedisStore {
    pub(super) async fn walk_from(
        &self,
        entity: &Entity,
        from: Position,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let walked = self.call(self.walk_call(entity, from, limit)).await?;
        self.page_from(entity, from, limit, walked).await
    }

    /// Reads whole buckets from a position on.
    pub(super) fn walk_call(&self, entity: &Entity, from: Position, limit: usize) -> redis::Cmd {
        reading(self.entity_call(Script::Walk, entity), from, limit)
    }

    /// The page that such a call has found. A stretch of empty buckets is no page, so that is walked over.
    pub(super) async fn page_from(
        &self,
        entity: &Entity,
        from: Position,
        limit: usize,
        walked: Vec<Value>,
    ) -> Result<Page, StoreError> {
        let mut page = page_of(Buckets::from_answer(walked)?, from)?;
        while let (true, Some(next)) = (page.held.is_empty(), page.next) {
            let walked = self.call(self.walk_call(entity, next, limit)).await?;
            page = page_of(Buckets::from_answer(walked)?, next)?;
        }
        Ok(page)
    }

    pub(super) async fn read_buckets(
        &self,
        call: redis::Cmd,
        from: Position,
        limit: usize,
    ) -> Result<Buckets, StoreError> {
        Buckets::from_answer(self.call(reading(call, from, limit)).await?)
    }

    /// A bucket that is as it was read goes as a whole: a comparison of all of its members with their stamps, in one step
    /// (DESIGN 7, rule 6). In another one each member is compared by itself.
    pub(super) async fn forget_buckets(
        &self,
        entity: &Entity,
        page: &Page,
        linger: Duration,
    ) -> Result<usize, StoreError> {
        let AsRead(buckets) = &page.read;
        if buckets.is_empty() || !linger.is_zero() {
            let members: Vec<_> = page.held.iter().map(|held| (held.member.clone(), held.stamp)).collect();
            return self.forget_members(entity, &members, linger).await;
        }
        let prefix = self.keys.buckets(entity);
        let mut pipeline = redis::pipe();
        for chunk in buckets.chunks(DROPPED_PER_CALL) {
            let keys: Vec<String> = chunk.iter().map(|(number, _)| format!("{prefix}:{number}")).collect();
            let mut call = Script::Drop.call(&keys);
            for (_, content) in chunk {
                call.arg(content);
            }
            pipeline.add_command(call);
        }
        let others: Vec<Vec<usize>> = self.query(pipeline).await?;
        let mut left = HashSet::new();
        for (chunk, others) in buckets.chunks(DROPPED_PER_CALL).zip(others) {
            let others = others.into_iter().filter_map(|place| chunk.get(place.checked_sub(1)?));
            left.extend(others.flat_map(|(_, content)| entries(content)));
        }
        let is_left = |held: &&Held| left.contains(&(&held.member.holder.0[..], held.stamp.0));
        let members: Vec<_> =
            page.held.iter().filter(is_left).map(|held| (held.member.clone(), held.stamp)).collect();
        let dropped = page.held.len() - members.len();
        Ok(dropped + self.forget_members(entity, &members, linger).await?)
    }
}

/// A call of a script that reads buckets, with where it begins and how much is enough.
fn reading(mut call: redis::Cmd, from: Position, limit: usize) -> redis::Cmd {
    call.arg(from.0).arg(limit).arg(BUCKETS_PER_CALL);
    call
}

fn page_of(buckets: Buckets, from: Position) -> Result<Page, StoreError> {
    let mut held = Vec::new();
    for (field, value) in buckets.living() {
        let member = Member::from_field(field).ok_or(StoreError::Unreadable("member"))?;
        // A bucket may hold what stands before the position.
        if member.position() >= from {
            held.push(held_as(member, value, buckets.now_stamp));
        }
    }
    sort(&mut held);
    Ok(Page { next: buckets.next, read: buckets.into_read(held.len()), held })
}

/// In the order of (position, member). A member that is no variant stands where its holder's id says.
fn sort(held: &mut [Held]) {
    if held.iter().all(|held| held.member.variant.is_none()) {
        held.sort_unstable_by_key(|held| held.member.holder);
    } else {
        held.sort_by_cached_key(|held| (held.member.position(), held.member.clone()));
    }
}
