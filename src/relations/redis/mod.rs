//! Relationships in Redis: the production store (DESIGN 6). The layout is described in `buckets.lua`.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use deadpool_redis::redis::{self, FromRedisValue, Pipeline, Value};
use futures_util::future::BoxFuture;

use super::{
    ClaimError, EntityCursor, EntityPage, Held, Marked, Member, Page, Position, Recorded, Recording,
    Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError, keys::Keys,
};
use crate::{
    clock::Timestamp,
    event::Entity,
    redis_pool::{PoolError, Pulse, RedisPool},
    secret::HolderId,
};

mod look_up;
mod scripts;

use scripts::Script;

/// A vault entry outlives its last relationship by this much.
const VAULT_OUTLIVES: Duration = Duration::from_secs(60);
/// What one call of a script may take, so that no other client of the Redis waits long.
const MEMBERS_PER_CALL: usize = 64;
const BUCKETS_PER_CALL: usize = 64;
const MERGES_PER_CALL: usize = 64;
const KEYS_PER_MGET: usize = 128;

/// The index in a Redis of its own, or beside other things under its prefix.
pub struct RedisStore {
    pool: RedisPool,
    keys: Keys,
    /// The marker of the index that this process knows; `None` until it knows one.
    expected: RwLock<Option<Arc<str>>>,
}

impl RedisStore {
    /// A store behind `pool`. No connection is made yet.
    pub fn new(pool: RedisPool, prefix: &str) -> Self {
        Self { pool, keys: Keys::new(prefix), expected: RwLock::default() }
    }

    /// The beats of a process on this store's server.
    pub fn pulse(&self, process: &str) -> Pulse {
        Pulse::new(self.pool.clone(), self.keys.beat(process), Some(self.keys.marker()))
    }

    /// Does all of it, and then looks whether it is still the index that it was: otherwise nothing of it counts.
    async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StoreError> {
        let expected = self.expected.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(expected) = expected else { return self.send(pipeline).await };
        let mut marked = pipeline.clone();
        marked.cmd("GET").arg(self.keys.marker());
        let mut answers: Vec<Value> = self.send(&marked).await?;
        if read::<Option<String>>(answers.pop())?.as_deref() != Some(&*expected) {
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
        let (answer,) = self.query::<(T,)>(&pipeline).await?;
        Ok(answer)
    }

    fn entity_call(&self, script: Script, entity: &Entity) -> redis::Cmd {
        script.call(&[self.keys.stale(entity), self.keys.buckets(entity)])
    }

    fn vault_call(&self, batch: &[&Recording]) -> redis::Cmd {
        let keys: Vec<String> =
            batch.iter().map(|recording| self.keys.vault(recording.member.holder)).collect();
        let mut call = Script::Vault.call(&keys);
        for recording in batch {
            let expires = recording.expires_at.after(VAULT_OUTLIVES).0;
            call.arg(&recording.vault.0).arg(expires).arg(u8::from(recording.names_holder));
        }
        call
    }

    /// One call for members of several entities; those of one entity stand together.
    fn record_call(&self, batch: &[&Recording]) -> redis::Cmd {
        let entities: Vec<&[&Recording]> = batch.chunk_by(|a, b| a.entity == b.entity).collect();
        let keys: Vec<String> = entities
            .iter()
            .flat_map(|members| [self.keys.stale(&members[0].entity), self.keys.buckets(&members[0].entity)])
            .collect();
        let mut call = Script::Record.call(&keys);
        for members in entities {
            call.arg(members.len());
            for recording in members {
                call.arg(recording.member.to_field()).arg(recording.expires_at.0.div_ceil(1000));
            }
        }
        call
    }

    async fn record_batch(&self, batch: &[Recording]) -> Result<Vec<Recorded>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by(|a, b| batch[*a].entity.cmp(&batch[*b].entity));
        let sorted: Vec<&Recording> = order.iter().map(|index| &batch[*index]).collect();
        let mut pipeline = redis::pipe();
        for chunk in sorted.chunks(MEMBERS_PER_CALL) {
            pipeline.add_command(self.vault_call(chunk)).ignore();
        }
        for chunk in sorted.chunks(MEMBERS_PER_CALL) {
            pipeline.add_command(self.record_call(chunk));
        }
        let answers: Vec<Vec<Vec<Value>>> = self.query(&pipeline).await?;
        let mut recorded = vec![None; batch.len()];
        let entities =
            answers.into_iter().flatten().map(recorded_of_entity).collect::<Result<Vec<_>, _>>()?;
        for (index, found) in order.into_iter().zip(entities.into_iter().flatten()) {
            recorded[index] = Some(found);
        }
        recorded.into_iter().collect::<Option<_>>().ok_or(StoreError::Unreadable("answer to a recording"))
    }

    async fn walk_page(&self, entity: &Entity, from: Position, limit: usize) -> Result<Page, StoreError> {
        let mut call = self.entity_call(Script::Walk, entity);
        call.arg(from.0).arg(limit).arg(BUCKETS_PER_CALL);
        let mut answer = self.call::<Vec<Value>>(call).await?.into_iter();
        let (now, behind): (u64, u64) = (read(answer.next())?, read(answer.next())?);
        let now_stamp: u32 = read(answer.next())?;
        let mut held = Vec::with_capacity(answer.len() / 2);
        while let Some(field) = answer.next() {
            let found = read_held(field, answer.next(), Some(now_stamp))?;
            // A bucket may hold what is dead, and what stands before the position.
            if found.expires_at.0 > now * 1000 && found.member.position() >= from {
                held.push(found);
            }
        }
        held.sort_by_cached_key(|held| (held.member.position(), held.member.clone()));
        Ok(Page { held, next: u32::try_from(behind).ok().map(Position) })
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
        let linger = linger.as_millis().div_ceil(1000).to_string();
        let mut pipeline = redis::pipe();
        for chunk in members.chunks(MEMBERS_PER_CALL) {
            let mut call = self.entity_call(Script::Forget, entity);
            call.arg(&linger);
            for (member, stamp) in chunk {
                call.arg(member.to_field()).arg(&stamp.0.to_be_bytes());
            }
            pipeline.add_command(call);
        }
        Ok(self.query::<Vec<usize>>(&pipeline).await?.into_iter().sum())
    }

    async fn claim_for(&self, fingerprint: &str) -> Result<(), ClaimError> {
        let mut pipeline = redis::pipe();
        let key = self.keys.secret();
        pipeline.cmd("SET").arg(&key).arg(fingerprint).arg("NX").ignore().cmd("GET").arg(&key);
        let (theirs,): (String,) = self.query(&pipeline).await?;
        if theirs == fingerprint {
            return Ok(());
        }
        Err(ClaimError::OtherSecret { theirs, ours: fingerprint.to_owned() })
    }

    async fn read_staleness(&self, entity: &Entity) -> Result<Staleness, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.keys.stale(entity)).cmd("TIME");
        let (record, (seconds, micros)): (Option<String>, (u64, u64)) = self.query(&pipeline).await?;
        let now = seconds * 1000 + micros / 1000;
        let Some(record) = record else { return Ok(Staleness { stale: None, generation: now }) };
        let mut numbers = record.split(' ').map(str::parse);
        let (Some(Ok(generation)), Some(Ok(at)), Some(Ok(until))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return Err(StoreError::Unreadable("stale record"));
        };
        let until: u64 = until;
        let stale = (until > now).then_some(Stale { at: Timestamp(at), generation });
        Ok(Staleness { stale, generation: generation.max(now) })
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
        Box::pin(async move {
            let mut call = self.entity_call(Script::Invalidate, entity);
            call.arg(mark.at.0).arg(u64::try_from(mark.life.as_millis()).unwrap_or(u64::MAX));
            let (at, generation): (u64, u64) = self.call(call).await?;
            Ok(Stale { at: Timestamp(at), generation })
        })
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
        Box::pin(async move {
            let mut page = self.walk_page(entity, from, limit).await?;
            // A stretch of empty buckets is no page.
            while let (true, Some(next)) = (page.held.is_empty(), page.next) {
                page = self.walk_page(entity, next, limit).await?;
            }
            Ok(page)
        })
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

    fn vault<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        Box::pin(async move {
            if holders.is_empty() {
                return Ok(Vec::new());
            }
            let mut pipeline = redis::pipe();
            for chunk in holders.chunks(KEYS_PER_MGET) {
                pipeline
                    .cmd("MGET")
                    .arg(chunk.iter().map(|holder| self.keys.vault(*holder)).collect::<Vec<_>>());
            }
            let entries: Vec<Vec<Option<Vec<u8>>>> = self.query(&pipeline).await?;
            Ok(entries.into_iter().flatten().map(|entry| entry.map(Sealed)).collect())
        })
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
            self.query(&pipeline).await
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
        *self.expected.write().unwrap_or_else(PoisonError::into_inner) = Some(marker.into());
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

/// The answer for one entity: `stale`, the generation of a read that begins now, then the value of each member.
fn recorded_of_entity(answer: Vec<Value>) -> Result<Vec<Recorded>, StoreError> {
    let mut answer = answer.into_iter();
    let (at, of_stale): (Option<u64>, u64) = (read(answer.next())?, read(answer.next())?);
    let generation = read(answer.next())?;
    let stale = at.map(|at| Stale { at: Timestamp(at), generation: of_stale });
    let recorded = |value| Ok(Recorded { stamp: Stamp(read_value(Some(value))?), stale, generation });
    answer.map(recorded).collect()
}

/// A member's value is its expiry in seconds and its stamp. It is compared whole: the microseconds of the stamp alone
/// come again after 71 minutes.
fn read_value(value: Option<Value>) -> Result<u64, StoreError> {
    let bytes: Vec<u8> = read(value)?;
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| StoreError::Unreadable("member"))?))
}

/// `now_stamp` is the store's clock as a stamp, where it was asked along; else the age is not known.
fn read_held(field: Value, value: Option<Value>, now_stamp: Option<u32>) -> Result<Held, StoreError> {
    let field: Vec<u8> = read(Some(field))?;
    let member = Member::from_field(&field).ok_or(StoreError::Unreadable("member"))?;
    let value = read_value(value)?;
    let stamp = u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
    Ok(Held {
        member,
        stamp: Stamp(value),
        expires_at: Timestamp((value >> 32) * 1000),
        age: now_stamp.map(|now| age(stamp, now)).unwrap_or_default(),
    })
}

/// Stamps are microseconds modulo 2^32. What seems older than half of that may as well come of a clock that was set back.
fn age(stamp: u32, now: u32) -> Duration {
    let micros = now.wrapping_sub(stamp);
    Duration::from_micros(if micros <= u32::MAX / 2 { micros.into() } else { 0 })
}

fn read<T: FromRedisValue>(value: Option<Value>) -> Result<T, StoreError> {
    T::from_redis_value(value.unwrap_or(Value::Nil)).map_err(|_| StoreError::Unreadable("answer"))
}
