//! Looking members up, and finding the entities that have any.

use deadpool_redis::redis::{self, Value};

use super::{MEMBERS_PER_CALL, RedisStore, Script, held_as, read, read_value};
use crate::{
    event::Entity,
    relations::{EntityCursor, EntityPage, Held, Member, StoreError},
};

impl RedisStore {
    pub(super) async fn look_up(
        &self,
        members: &[(Entity, Member)],
    ) -> Result<Vec<Option<Held>>, StoreError> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for chunk in members.chunks(MEMBERS_PER_CALL) {
            pipeline.add_command(self.held_call(chunk));
        }
        let answers: Vec<Vec<Value>> = self.query(pipeline).await?;
        let mut held = Vec::with_capacity(members.len());
        for (chunk, answer) in members.chunks(MEMBERS_PER_CALL).zip(answers) {
            let mut answer = answer.into_iter();
            let (now, now_stamp): (u64, u32) = (read(answer.next())?, read(answer.next())?);
            for ((_, member), value) in chunk.iter().zip(answer) {
                let found = match value {
                    Value::Nil => None,
                    value => Some(held_as(member.clone(), read_value(Some(value))?, now_stamp)),
                };
                held.push(found.filter(|held| held.expires_at.0 > now * 1000));
            }
        }
        (held.len() == members.len()).then_some(held).ok_or(StoreError::Unreadable("answer to a look-up"))
    }

    /// One call for members of several entities; those of one that stand together share its keys.
    fn held_call(&self, members: &[(Entity, Member)]) -> redis::Cmd {
        let entities: Vec<&[(Entity, Member)]> = members.chunk_by(|a, b| a.0 == b.0).collect();
        let keys: Vec<String> = entities
            .iter()
            .flat_map(|members| [self.keys.stale(&members[0].0), self.keys.buckets(&members[0].0)])
            .collect();
        let mut call = Script::Held.call(&keys);
        for members in entities {
            call.arg(members.len());
            for (_, member) in members {
                call.arg(member.to_field());
            }
        }
        call
    }

    /// An entity with members has its first bucket, or where these are more than one, its stale record.
    pub(super) async fn scan_entities(
        &self,
        from: &EntityCursor,
        limit: usize,
    ) -> Result<EntityPage, StoreError> {
        let cursor = match &*from.0 {
            [] => 0,
            bytes => u64::from_be_bytes(bytes.try_into().map_err(|_| StoreError::Unreadable("cursor"))?),
        };
        let mut pipeline = redis::pipe();
        let scan = pipeline.cmd("SCAN").arg(cursor).arg("MATCH").arg(self.keys.entities_pattern());
        scan.arg("COUNT").arg(limit.max(1));
        let ((next, keys),): ((u64, Vec<Vec<u8>>),) = self.query(pipeline).await?;
        let mut entities: Vec<Entity> = keys.iter().filter_map(|key| self.keys.entity_of(key)).collect();
        entities.sort();
        entities.dedup();
        let next = (next != 0).then(|| EntityCursor(next.to_be_bytes().into()));
        Ok(EntityPage { entities, next })
    }
}
