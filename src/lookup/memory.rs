//! A small index in memory, for the tests of what only reads one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, ready};

use crate::{
    clock::Timestamp,
    event::{AccessToken, Entity},
    lookup::Lookup,
    relations::{
        AsRead, ClaimError, EntityCursor, EntityPage, Held, HeldEntity, Holding, HoldingsPage, Member, Page,
        Position, Recorded, Recording, Relations, Sealed, Stale, StaleMark, Staleness, Stamp, StoreError,
    },
    secret::{HolderId, Keys, Secret, VaultEntry},
};

/// Members in the order of a walk; buckets of 2^28 positions.
#[derive(Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    members: BTreeMap<(Entity, Position, Member), Timestamp>,
    stale: BTreeMap<Entity, Stale>,
    vault: BTreeMap<HolderId, Sealed>,
    revoked: BTreeMap<HolderId, Timestamp>,
    not_by_holder: bool,
    away: bool,
}

impl Memory {
    /// From now on it answers nothing but errors.
    pub(crate) fn go_away(&self) {
        self.0.lock().unwrap().away = true;
    }

    /// As if `store.by_holder` were off.
    pub(crate) fn forget_holders(&self) {
        self.0.lock().unwrap().not_by_holder = true;
    }

    fn answer<T: Send + 'static>(
        &self,
        with: impl FnOnce(&mut State) -> T,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let mut state = self.0.lock().unwrap();
        let answer = if state.away {
            Err(StoreError::Unavailable("connection refused".to_owned()))
        } else {
            Ok(with(&mut state))
        };
        Box::pin(ready(answer))
    }
}

impl Relations for Memory {
    fn claim<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(ready(Ok(())))
    }

    fn record<'a>(&'a self, batch: &'a [Recording]) -> BoxFuture<'a, Result<Vec<Recorded>, StoreError>> {
        self.answer(|state| {
            let record = |new: &Recording| {
                state.vault.insert(new.member.holder, new.vault.clone());
                let at = (new.entity.clone(), new.member.position(), new.member.clone());
                state.members.insert(at, new.expires_at);
                let stale = state.stale.get(&new.entity).copied();
                let generation = stale.map_or(1, |stale| stale.generation);
                let revoked = state.revoked.get(&new.member.holder).copied();
                Recorded { stamp: Stamp(0), stale, generation, revoked }
            };
            batch.iter().map(record).collect()
        })
    }

    fn invalidate<'a>(
        &'a self,
        entity: &'a Entity,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Stale, StoreError>> {
        self.answer(|state| {
            let stale = Stale { at: mark.at, generation: mark.at.0 };
            state.stale.insert(entity.clone(), stale);
            stale
        })
    }

    fn staleness<'a>(&'a self, entity: &'a Entity) -> BoxFuture<'a, Result<Staleness, StoreError>> {
        self.answer(|state| {
            let stale = state.stale.get(entity).copied();
            Staleness { stale, generation: stale.map_or(1, |stale| stale.generation) }
        })
    }

    fn walk<'a>(
        &'a self,
        entity: &'a Entity,
        from: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.answer(|state| {
            let (mut held, mut bucket) = (Vec::new(), u64::from(from.0 >> 28));
            let of_entity = |key: &(Entity, Position, Member)| key.0 == *entity;
            while bucket < 16 && (held.is_empty() || held.len() < limit) {
                let in_bucket = state
                    .members
                    .iter()
                    .filter(|(key, _)| of_entity(key) && u64::from(key.1.0 >> 28) == bucket);
                held.extend(in_bucket.map(|(key, expires_at)| Held {
                    member: key.2.clone(),
                    stamp: Stamp(0),
                    expires_at: *expires_at,
                    age: Duration::ZERO,
                }));
                bucket += 1;
            }
            Page { held, next: u32::try_from(bucket << 28).ok().map(Position), read: AsRead::default() }
        })
    }

    fn held<'a>(
        &'a self,
        members: &'a [(Entity, Member)],
    ) -> BoxFuture<'a, Result<Vec<Option<Held>>, StoreError>> {
        self.answer(|state| {
            let held = |(entity, member): &(Entity, Member)| {
                let expires_at = *state.members.get(&(entity.clone(), member.position(), member.clone()))?;
                Some(Held { member: member.clone(), stamp: Stamp(0), expires_at, age: Duration::ZERO })
            };
            members.iter().map(held).collect()
        })
    }

    fn entities<'a>(
        &'a self,
        _: &'a EntityCursor,
        _: usize,
    ) -> BoxFuture<'a, Result<EntityPage, StoreError>> {
        self.answer(|state| {
            let mut entities: Vec<Entity> = state.members.keys().map(|(entity, ..)| entity.clone()).collect();
            entities.dedup();
            EntityPage { entities, next: None }
        })
    }

    fn forget<'a>(
        &'a self,
        entity: &'a Entity,
        members: &'a [(Member, Stamp)],
        _: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        self.answer(|state| {
            let mut forget = |member: &Member| {
                state.members.remove(&(entity.clone(), member.position(), member.clone())).is_some()
            };
            members.iter().filter(|(member, _)| forget(member)).count()
        })
    }

    fn by_holder(&self) -> bool {
        !self.0.lock().unwrap().not_by_holder
    }

    fn revoke<'a>(
        &'a self,
        holder: HolderId,
        mark: StaleMark,
    ) -> BoxFuture<'a, Result<Timestamp, StoreError>> {
        self.answer(|state| *state.revoked.entry(holder).insert_entry(mark.at).get())
    }

    /// A page a position.
    fn entities_of<'a>(
        &'a self,
        holder: HolderId,
        from: Position,
        _: usize,
    ) -> BoxFuture<'a, Result<HoldingsPage, StoreError>> {
        self.answer(|state| {
            let mut all: Vec<_> = state
                .members
                .iter()
                .filter(|((_, _, member), _)| member.holder == holder)
                .map(|((entity, _, member), expires_at)| {
                    let holding = Holding { entity: entity.clone(), variant: member.variant.clone() };
                    let held = HeldEntity { holding, stamp: Stamp(0), expires_at: *expires_at };
                    (held.holding.position(), held)
                })
                .filter(|(position, _)| *position >= from)
                .collect();
            all.sort_by(|(a, one), (b, other)| (a, &one.holding).cmp(&(b, &other.holding)));
            let first = all.first().map(|(position, _)| *position);
            let next = all.iter().map(|(position, _)| *position).find(|position| Some(*position) != first);
            let here = all.into_iter().filter(|(position, _)| Some(*position) == first);
            HoldingsPage { held: here.map(|(_, held)| held).collect(), next }
        })
    }

    fn release<'a>(
        &'a self,
        _: HolderId,
        _: &'a [(Holding, Stamp)],
        _: Duration,
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        self.answer(|_| 0)
    }

    fn vault<'a>(
        &'a self,
        holders: &'a [HolderId],
    ) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        self.answer(|state| holders.iter().map(|holder| state.vault.get(holder).cloned()).collect())
    }

    fn compact<'a>(&'a self, _: &'a Entity) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.answer(|_| false)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.answer(|_| ())
    }
}

/// An index in memory, the keys to its vault, and a lookup over both.
pub(crate) struct Index {
    pub(crate) relations: Arc<Memory>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) lookup: Lookup,
}

impl Index {
    pub(crate) fn new() -> Self {
        let secret = Secret::from_text("a secret that only these tests know").unwrap();
        let (relations, keys) = (Arc::new(Memory::default()), Arc::new(Keys::derive(&secret)));
        let lookup = Lookup::new(Arc::<Memory>::clone(&relations), Arc::clone(&keys));
        Self { relations, keys, lookup }
    }

    /// Records that `user` holds a copy. Every user's token is `tok-<user>`.
    pub(crate) async fn record(&self, entity: &Entity, user: &str, variant: Option<&str>) -> Member {
        let token = AccessToken::new(format!("tok-{user}"));
        let member = Member { holder: self.keys.holder_id(&token), variant: variant.map(Into::into) };
        let vault = self.keys.seal(member.holder, &VaultEntry { token, user_id: Some(user.into()) });
        let entity = entity.clone();
        let recording = Recording {
            entity,
            member: member.clone(),
            expires_at: Timestamp(1_000),
            vault,
            names_holder: true,
        };
        self.relations.record(&[recording]).await.unwrap();
        member
    }
}
