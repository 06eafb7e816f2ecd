//! The API beside decache: instances that read, fill caches and write, each with a clock of its own, and die at times.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    cache::Copy,
    kinds::{Reads, Told},
    message::{Message, send},
    trace::note,
    world::World,
};
use crate::{
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::{AccessToken, Entity},
    job::Job,
    judge::ReadTime,
    relations::Member,
    secret::HolderId,
};

/// A copy's first life.
pub(super) const PROVISIONAL: Duration = Duration::from_millis(200);
/// The `ttl` of every resource.
const TTL: Duration = Duration::from_secs(20);

/// An instance of the API died between two steps.
#[derive(Clone, Copy, Debug)]
struct Died;

/// What a user asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) entity: Entity,
    pub(super) token: &'static str,
    /// 0: the resource's template.
    pub(super) page: u64,
    /// Where the world is of a kind.
    pub(super) like: Option<&'static Reads>,
}

/// What a read has found in the database.
#[derive(Clone, Copy, Debug)]
struct Found {
    version: u64,
    session: u64,
}

/// One instance.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) world: Arc<World>,
    pub(super) clock: Clock,
    /// How many in a thousand of its steps are its last.
    pub(super) mortality: u64,
}

impl Api {
    /// A user reads. Whoever dies leaves everything as it is.
    pub(super) async fn read(self, wanted: Wanted) {
        let _: Result<(), Died> = self.answer(&wanted).await;
    }

    /// A user writes. What it commits is told in the end: the outbox sees to it.
    pub(super) async fn write(self, entity: Entity, author: u64) {
        let mut changed = vec![entity.clone()];
        if &*entity.resource_type == "Posts" {
            changed.push(Entity { resource_type: "Feeds".into(), id: author.to_string().into() });
        }
        self.world.network.linger().await;
        self.world.database.commit(&changed);
        note!(self.world.trace, "api: {} committed, author {author}", entity.id);
        let told = self.tell_write(&entity, author).await;
        if told.is_err() && holds(Clause::Outbox) {
            self.world.network.pause(60).await;
            let relay = Self { mortality: 0, ..self };
            // A relay that does not die is not cut short.
            let _: Result<(), Died> = relay.post(written(&entity, author, None)).await;
        }
    }

    /// A user loses the right to all that was read with a token until now.
    pub(super) async fn revoke(self, token: &'static str) {
        self.world.network.linger().await;
        let holder = self.world.config.keys.holder_id(&AccessToken::new(token));
        self.world.database.commit(&[Job::of_holder(holder)]);
        note!(self.world.trace, "api: {token}, {holder}, is revoked");
        let told = self.tell_revocation(token, holder).await;
        if told.is_err() && holds(Clause::Outbox) {
            self.world.network.pause(60).await;
            let relay = Self { mortality: 0, ..self };
            // A relay that does not die is not cut short.
            let _: Result<(), Died> = relay.post(revoked(token, None)).await;
        }
    }

    /// As an event, or as people do it.
    async fn tell_revocation(&self, token: &str, holder: HolderId) -> Result<(), Died> {
        self.pause(3).await?;
        let at = (!self.world.dice.chance(200)).then(|| self.clock.now());
        let as_event = self.world.dice.chance(600);
        self.pause(self.world.kind.map_or(3, |kind| kind.tell)).await?;
        self.post(if as_event { revoked(token, at) } else { Message::Revoke(holder) }).await
    }

    async fn tell_write(&self, entity: &Entity, author: u64) -> Result<(), Died> {
        self.pause(3).await?;
        let at = (!self.world.dice.chance(200)).then(|| self.clock.now());
        self.pause(self.world.kind.map_or(3, |kind| kind.tell)).await?;
        self.post(written(entity, author, at)).await
    }

    async fn answer(&self, wanted: &Wanted) -> Result<(), Died> {
        let world = &self.world;
        let began = self.clock.now();
        let named = self.name(wanted);
        let (key, _) = &named;
        let cache = world.dice.pick(&world.caches);
        if let Ok(Some(copy)) = cache.get(key).await {
            return self.hit(wanted, &copy, began).await;
        }
        let Some(read) = self.begin(wanted, began).await else { return Ok(()) };
        self.pause(2).await?;
        let lag = if world.has_guard(&wanted.entity) { world.lag() } else { Duration::ZERO };
        let version = world.database.version(&wanted.entity, lag);
        let session = world.database.version(&Job::of_holder(named.1.holder), lag);
        self.slow_fill(wanted).await?;
        let late = ReadTime { occurred_at: read.occurred_at.and(Some(self.clock.now())), ..read };
        let read = if holds(Clause::ReadTimeBeforeDatabase) { read } else { late };
        self.fill(wanted, named, Found { version, session }, read).await
    }

    /// What the read can tell of when it began, gathered before it looks in the database.
    async fn begin(&self, Wanted { entity, like, .. }: &Wanted, began: Timestamp) -> Option<ReadTime> {
        let told = like.map_or_else(|| self.world.told(entity), |like| *self.world.dice.pick(like.told));
        let (dated, generated) =
            (matches!(told, Told::Time | Told::Both), matches!(told, Told::Generation | Told::Both));
        let generation = match generated {
            false => None,
            true => match self.world.staleness(entity).await {
                Ok(staleness) => Some(staleness.generation),
                // It does not cache what it cannot tell of.
                Err(_) => return None,
            },
        };
        Some(ReadTime { occurred_at: dated.then_some(began), generation })
    }

    async fn slow_fill(&self, wanted: &Wanted) -> Result<(), Died> {
        let dice = &self.world.dice;
        let time = match wanted.like {
            Some(like) => dice.number(like.fill.clone()),
            None => dice.number(0..=if dice.chance(200) { 60 } else { 4 }),
        };
        self.world.network.take(time).await;
        self.survive()
    }

    /// Writes the copy for a short while, tells of it, and then gives it its full life.
    async fn fill(
        &self,
        wanted: &Wanted,
        (key, member): (String, Member),
        Found { version, session }: Found,
        read: ReadTime,
    ) -> Result<(), Died> {
        let (world, now) = (&self.world, self.world.clock.now());
        let life = *world.dice.pick(&[Duration::from_secs(5), Duration::from_secs(9), TTL]);
        let (id, ends_at) = (world.next_id(), now.after(life));
        let expires_at = if holds(Clause::ProvisionalLife) { now.after(PROVISIONAL) } else { ends_at };
        let entity = wanted.entity.clone();
        let copy = Copy { id, entity, member, version, session, read, expires_at, ends_at, raised: false };
        note!(world.trace, "api: copy {id} of {wanted:?} in version {version}, {read:?}");
        let told_life = if holds(Clause::LifeIsTold) { life } else { life / 2 };
        let told = event_of_read(wanted, read, (told_life != TTL).then_some(told_life));
        if !holds(Clause::PostAfterFill) {
            self.post(told.clone()).await?;
        }
        let mut filled = Vec::new();
        let in_front = usize::from(world.late_cache().is_some());
        for cache in &world.caches[..world.caches.len() - in_front] {
            // Where this fails the copy may stand there all the same, even later: for a short while.
            if cache.set(&key, copy.clone()).await.is_ok() {
                filled.push(cache);
            }
            self.pause(2).await?;
        }
        let posts_at = world.clock.now();
        if holds(Clause::PostAfterFill) {
            self.post(told).await?;
        }
        world.fill_late(&key, copy, life, posts_at);
        for cache in filled {
            self.pause(2).await?;
            // A copy that is not raised ends early.
            let _ = cache.raise(&key, id, ends_at).await;
        }
        Ok(())
    }

    /// A hit may be told of, too: with its copy's time, or as an API does that has not kept it, with its own.
    async fn hit(&self, wanted: &Wanted, copy: &Copy, began: Timestamp) -> Result<(), Died> {
        let dice = &self.world.dice;
        let left = copy.ends_at.since(self.world.clock.now());
        let (untold, as_kept) = self.world.kind.map_or((400, 500), |kind| (1000 - kind.hits, 0));
        let as_kept = if self.world.rebuilds() { 1000 } else { as_kept };
        if dice.chance(untold) || left.is_zero() || self.world.is_old(copy) {
            return Ok(());
        }
        let read = match (dice.chance(as_kept), self.world.has_guard(&wanted.entity)) {
            (true, _) => copy.read,
            (false, false) => match self.world.staleness(&wanted.entity).await {
                Ok(staleness) => ReadTime { occurred_at: None, generation: Some(staleness.generation) },
                Err(_) => return Ok(()),
            },
            (false, true) => ReadTime { occurred_at: Some(began), generation: None },
        };
        note!(self.world.trace, "api: hit on copy {}, told as {read:?}", copy.id);
        self.post(event_of_read(wanted, read, Some(left))).await
    }

    /// Posts until it is accepted; at times it arrives more than once.
    async fn post(&self, message: Message) -> Result<(), Died> {
        let world = &self.world;
        loop {
            self.pause(2).await?;
            let process = world.dice.pick(&world.processes);
            world.repeat(&message);
            let accepted = send(&world.network, process, message.clone()).await.is_ok();
            if accepted || !holds(Clause::PostUntilAccepted) {
                note!(world.trace, "api: accepted {message}");
                return Ok(());
            }
            world.network.pause(30).await;
        }
    }

    async fn pause(&self, longest: u64) -> Result<(), Died> {
        self.world.network.pause(longest).await;
        self.survive()
    }

    fn survive(&self) -> Result<(), Died> {
        if self.world.dice.chance(self.mortality) {
            note!(self.world.trace, "api: an instance dies");
            return Err(Died);
        }
        Ok(())
    }

    /// The copy's key, and who holds it as which variant.
    fn name(&self, wanted: &Wanted) -> (String, Member) {
        let config = &self.world.config;
        let token = AccessToken::new(wanted.token);
        let resource = config.resources.get(&wanted.entity.resource_type).unwrap();
        let variant = resource.variant(&wanted.entity, cache_key(wanted).as_deref(), &token).unwrap();
        let key = match cache_key(wanted) {
            Some(template) => template.replace("{access_token}", wanted.token),
            None => resource.copy_keys(&wanted.entity.id, &token).remove(0).0,
        };
        (key, Member { holder: config.keys.holder_id(&token), variant })
    }
}

/// A variant's key template.
fn cache_key(wanted: &Wanted) -> Option<String> {
    let Entity { resource_type, id } = &wanted.entity;
    let folder = resource_type.to_lowercase();
    (wanted.page > 0).then(|| format!("/{folder}/{id}?page={}&t={{access_token}}", wanted.page))
}

fn event_of_read(wanted: &Wanted, read: ReadTime, life: Option<Duration>) -> Message {
    event(&json!({
        "action_type": "Read",
        "resource_type": wanted.entity.resource_type,
        "entity_id": wanted.entity.id,
        "access_token": wanted.token,
        "occurred_at": read.occurred_at.map(|at| at.0),
        "generation": read.generation,
        "cache_key": cache_key(wanted),
        "expires_in": life.map(|life| life.as_secs_f64()),
    }))
}

fn written(entity: &Entity, author: u64, at: Option<Timestamp>) -> Message {
    event(&json!({
        "action_type": "Update",
        "resource_type": entity.resource_type,
        "entity_id": entity.id,
        "occurred_at": at.map(|at| at.0),
        "generation": at.map(|at| at.0),
        "payload": { "author_id": author },
    }))
}

fn revoked(token: &str, at: Option<Timestamp>) -> Message {
    event(&json!({
        "action_type": "Logout",
        "resource_type": "Sessions",
        "entity_id": 1,
        "access_token": token,
        "occurred_at": at.map(|at| at.0),
    }))
}

fn event(event: &Value) -> Message {
    Message::Event(event.to_string())
}
