//! Relationships in Redis: the production store (DESIGN 6). The layout is described in `buckets.lua`.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use deadpool_redis::redis::{self, FromRedisValue, Pipeline, Value};
use futures_util::future::BoxFuture;

use super::{
    ClaimError, EntityCursor, EntityPage, Held, Holding, HoldingsPage, Marked, Member, Page, Position,
    Recorded, Recording, Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError, keys::Keys,
};
use crate::{
    clock::Timestamp,
    event::Entity,
    redis_pool::{PoolError, Pulse, RedisPool},
    secret::HolderId,
};

mod buckets;
mod holders;
mod look_up;
mod record;
mod remembered;
mod scripts;
mod vault;

use remembered::{Remembered, Tokens};
use scripts::Script;

/// What one call of a script may take, so that no other client of the Redis waits long.
const MEMBERS_PER_CALL: usize = 64;
const BUCKETS_PER_CALL: usize = 64;
const MERGES_PER_CALL: usize = 64;

/// The index in a Redis of its own, or beside other things under its prefix.
pub struct RedisStore {
    pool: RedisPool,
    keys: Keys,
    by_holder: bool,
    vault: Remembered,
    tokens: Tokens,
    /// The marker of the index that this process knows; `None` until it knows one.
    expected: RwLock<Option<Arc<str>>>,
}

impl RedisStore {
    /// A store behind `pool`, by holder too. No connection is made yet.
    pub fn new(pool: RedisPool, prefix: &str) -> Self {
        let (vault, tokens, expected) = (Remembered::default(), Tokens::default(), RwLock::default());
        Self { pool, keys: Keys::new(prefix), by_holder: true, vault, tokens, expected }
    }

    /// The same, by holder or not.
    pub fn by_holder(self, by_holder: bool) -> Self {
        Self { by_holder, ..self }
    }

    /// The beats of a process on this store's server.
    pub fn pulse(&self, process: &str) -> Pulse {
        Pulse::new(self.pool.clone(), self.keys.beat(process), Some(self.keys.marker()))
    }

    /// Does all of it, and then looks whether it is still the index that it was: otherwise nothing of it counts.
    async fn query<T: FromRedisValue>(&self, mut pipeline: Pipeline) -> Result<T, StoreError> {
        let expected = self.expected.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(expected) = expected else { return self.send(&pipeline).await };
        pipeline.cmd("GET").arg(self.keys.marker());
        let mut answers: Vec<Value> = self.send(&pipeline).await?;
        if read::<Option<String>>(answers.pop())?.as_deref() != Some(&*expected) {
            self.vault.forget();
            self.pool.suspect();
            return Err(StoreError::Lost);
        }
        T::from_redis_value(Value::Array(answers)).map_err(|_| StoreError::Unreadable("answer"))
    }

    async fn send<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StoreError> {
        match self.pool.query(pipeline).await {
            Err(PoolError::NoScript) => {
                self.pool.query::<()>(&scripts::load_all()).await?;
                Ok(self.pool.query(pipeline).await?)
            }
            result => Ok(result?),
        }
    }

    async fn call<T: FromRedisValue>(&self, call: redis::Cmd) -> Result<T, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(call);
        let (answer,) = self.query::<(T,)>(pipeline).await?;
        Ok(answer)
    }

    fn entity_call(&self, script: Script, entity: &Entity) -> redis::Cmd {
        script.call(&[self.keys.stale(entity), self.keys.buckets(entity)])
    }

    async fn forget_members(
        &self,
        entity: &Entity,
        members: &[(Member, Stamp)],
        linger: Duration,
    ) -> Result<usize, StoreError> {
        if members.is_empty() {
            return Ok(0);
        }
        let mut pipeline = redis::pipe();
        for chunk in members.chunks(MEMBERS_PER_CALL) {
            let mut call = self.entity_call(Script::Forget, entity);
            call.arg(seconds(linger));
            for (member, stamp) in chunk {
                call.arg(member.to_field()).arg(&stamp.0.to_be_bytes());
            }
            pipeline.add_command(call);
        }
        Ok(self.query::<Vec<usize>>(pipeline).await?.into_iter().sum())
    }

    async fn mark(&self, call: redis::Cmd, mark: StaleMark) -> Result<Stale, StoreError> {
        Ok(stale(self.call(with_mark(call, mark)).await?))
    }

    async fn mark_and_walk(
        &self,
        entity: &Entity,
        mark: StaleMark,
        limit: usize,
    ) -> Result<(Stale, Page), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(with_mark(self.entity_call(Script::Invalidate, entity), mark));
        pipeline.add_command(self.walk_call(entity, Position::default(), limit));
        let (marked, walked) = self.query(pipeline).await?;
        Ok((stale(marked), self.page_from(entity, Position::default(), limit, walked).await?))
    }

    async fn claim_for(&self, fingerprint: &str) -> Result<(), ClaimError> {
        let mut pipeline = redis::pipe();
        let key = self.keys.secret();
        pipeline.cmd("SET").arg(&key).arg(fingerprint).arg("NX").ignore().cmd("GET").arg(&key);
        let (theirs,): (String,) = self.query(pipeline).await?;
        if theirs == fingerprint {
            return Ok(());
        }
        Err(ClaimError::OtherSecret { theirs, ours: fingerprint.to_owned() })
    }

    async fn read_staleness(&self, entity: &Entity) -> Result<Staleness, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.keys.stale(entity)).cmd("TIME");
        let (record, (seconds, micros)): (Option<String>, (u64, u64)) = self.query(pipeline).await?;
        let now = seconds * 1000 + micros / 1000;
        staleness(record.as_deref(), now)
    }
}

impl Relations for RedisStore {
    fn claim<'a>(&'a self, fingerprint: &'a str) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(self.claim_for(fingerprint))
    }

    fn record<'a>(&'a self, batch: &'a [Recording]) -> BoxFuture<'a, Result<Vec<Recorded>, StoreError>> {
        Box::pin(self.record_batch(batch))
    }

    fn invalidate<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Stale, StoreError>> {
        Box::pin(self.mark(self.entity_call(Script::Invalidate, entity), mark))
    }

    fn invalidate_and_walk<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
        limit: usize,
    ) -> BoxFuture<'a, Result<(Stale, Page), StoreError>> {
        Box::pin(self.mark_and_walk(entity, mark, limit))
    }

    fn staleness<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<Staleness, StoreError>> {
        Box::pin(self.read_staleness(entity))
    }

    fn walk<'a>(
        &'a self,
        entity: &'a Entity,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(self.walk_from(entity, from, limit))
    }

    fn held<'a>(
        &'a self,
        members: &'a [(Entity, Member)],
    ) -> BoxFuture<'a, Result<Vec<Option<Held>>, StoreError>> {
        Box::pin(self.look_up(members))
    }

    fn entities<'a>(
        &'a self,
        from: &'a EntityCursor,
        limit: usize,
    ) -> BoxFuture<'a, Result<EntityPage, StoreError>> {
        Box::pin(self.scan_entities(from, limit))
    }

    fn forget<'a>(
        &'a self,
        entity: &'a Entity,
        members: &'a [(Member, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        Box::pin(self.forget_members(entity, members, linger))
    }

    fn forget_page<'a>(
        &'a self,
        entity: &'a Entity,
        page: &'a Page,
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        Box::pin(self.forget_buckets(entity, page, linger))
    }

    fn by_holder(&self) -> bool {
        self.by_holder
    }

    fn revoke<'a>(
        &'a self,
        holder: HolderId,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Timestamp, StoreError>> {
        Box::pin(async move {
            let call = Script::Invalidate.call(&[self.keys.stale_of_holder(holder)]);
            self.mark(call, mark).await.map(|stale| stale.at)
        })
    }

    fn entities_of<'a>(
        &'a self,
        holder: HolderId,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<HoldingsPage, StoreError>> {
        Box::pin(self.entries_from(holder, from, limit))
    }

    fn release<'a>(
        &'a self,
        holder: HolderId,
        holdings: &'a [(Holding, Stamp)],
        linger: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        Box::pin(self.release_entries(holder, holdings, linger))
    }

    fn vault<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        Box::pin(self.read_vault(holders))
    }

    fn tokens<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        Box::pin(self.read_tokens(holders))
    }

    fn compact<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut call = self.entity_call(Script::Compact, entity);
            call.arg(MERGES_PER_CALL);
            self.call(call).await
        })
    }

    /// Asks for a write of nothing, for a Redis that is full, or that has become a replica, answers PING as if all were
    /// well. It leaves nothing behind: the store may turn out to be another secret's.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SETRANGE").arg(self.keys.ping()).arg(0).arg("").ignore();
            self.query(pipeline).await
        })
    }
}

impl Marked for RedisStore {
    fn marker(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async {
            let mut pipeline = redis::pipe();
            pipeline.cmd("GET").arg(self.keys.marker());
            let (_, (marker,)) = self.pool.look(&pipeline).await?;
            Ok(marker)
        })
    }

    fn mark<'a>(
        &'a self,
        expected: Option<&'a str>,
        new: &'a str,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            let script = pipeline.cmd("EVAL").arg(include_str!("mark.lua")).arg(1).arg(self.keys.marker());
            script.arg(expected.unwrap_or_default()).arg(new);
            let (_, (marker,)) = self.pool.look(&pipeline).await?;
            Ok(marker)
        })
    }

    fn expect(&self, marker: &str) {
        let mut expected = self.expected.write().unwrap_or_else(PoisonError::into_inner);
        if expected.as_deref() != Some(marker) {
            self.vault.forget();
            *expected = Some(marker.into());
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Refused(detail) => Self::Refused(detail),
            PoolError::NoScript => Self::Refused("NOSCRIPT".to_owned()),
            PoolError::Unavailable(detail) => Self::Unavailable(detail),
        }
    }
}

/// What an entity's stale record says at a time of the store's clock, in milliseconds.
fn staleness(record: Option<&str>, now: u64) -> Result<Staleness, StoreError> {
    let Some(record) = record else { return Ok(Staleness { stale: None, generation: now }) };
    let mut numbers = record.split(' ').map(str::parse::<u64>);
    let (Some(Ok(generation)), Some(Ok(at)), Some(Ok(until))) =
        (numbers.next(), numbers.next(), numbers.next())
    else {
        return Err(StoreError::Unreadable("stale record"));
    };
    let stale = (until > now).then_some(Stale { at: Timestamp(at), generation });
    Ok(Staleness { stale, generation: generation.max(now) })
}

/// A member's value is its expiry in seconds and its stamp. It is compared whole: the microseconds of the stamp alone
/// come again after 71 minutes.
fn read_value(value: Option<Value>) -> Result<u64, StoreError> {
    let bytes: Vec<u8> = read(value)?;
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| StoreError::Unreadable("member"))?))
}

/// A call of a script that writes `stale`, with what it is to write.
fn with_mark(mut call: redis::Cmd, mark: StaleMark) -> redis::Cmd {
    call.arg(mark.at.0).arg(u64::try_from(mark.life.as_millis()).unwrap_or(u64::MAX));
    call
}

/// What such a script answers.
fn stale((at, generation): (u64, u64)) -> Stale {
    Stale { at: Timestamp(at), generation }
}

/// A time to linger, as scripts count it.
fn seconds(linger: Duration) -> String {
    linger.as_millis().div_ceil(1000).to_string()
}

fn ends_at(value: u64) -> Timestamp {
    Timestamp((value >> 32) * 1000)
}

/// `now_stamp` is the store's clock as a stamp.
fn held_as(member: Member, value: u64, now_stamp: u32) -> Held {
    let stamp = u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
    Held { member, stamp: Stamp(value), expires_at: ends_at(value), age: age(stamp, now_stamp) }
}

/// Stamps are microseconds modulo 2^32. What seems older than half of that may as well come of a clock that was set back.
fn age(stamp: u32, now: u32) -> Duration {
    let micros = now.wrapping_sub(stamp);
    Duration::from_micros(if micros <= u32::MAX / 2 { micros.into() } else { 0 })
}

fn read<T: FromRedisValue>(value: Option<Value>) -> Result<T, StoreError> {
    T::from_redis_value(value.unwrap_or(Value::Nil)).map_err(|_| StoreError::Unreadable("answer"))
}
