//! What the service finds when it is asked: relationships in the index, tokens in the vault, copies in the cache.

use std::time::Duration;

use decache::{
    clock::{Clock, Timestamp},
    event::{AccessToken, Entity},
    redis_pool::RedisPool,
    relations::{Member, Recording, Relations, Sealed, redis::RedisStore},
    secret::{HolderId, Keys, Secret, VaultEntry},
};

use crate::{
    ingest::config,
    machine::Redis,
    resp::{Pipeline, Raw},
};

/// The secret of the services that find it.
const SECRET: &str = "a secret for benchmarks, thirty-two bytes";
/// Relationships that are recorded together.
const TOGETHER: usize = 512;

/// The configuration of a service on what is written here.
pub(crate) fn config_of(redis: &Redis, store: &str) -> String {
    config(redis, store)
        .replace(r#"secret: { file: "FOLDER/secret" }"#, &format!(r#"secret: {{ value: "{SECRET}" }}"#))
}

/// Writes past the service, as it would.
pub(crate) struct Filler {
    pub(crate) pool: RedisPool,
    store: RedisStore,
    keys: Keys,
    expires_at: Timestamp,
}

/// A holder, and what the vault keeps of it.
pub(crate) type Known = (HolderId, Sealed);

impl Filler {
    pub(crate) fn new(redis: &Redis, by_holder: bool) -> Self {
        let pool = RedisPool::new(&redis.server.url(), 4, Duration::from_secs(60)).unwrap();
        Self {
            store: RedisStore::new(pool.clone(), "decache:").by_holder(by_holder),
            pool,
            keys: Keys::derive(&Secret::from_text(SECRET).unwrap()),
            expires_at: Clock::start().now().after(Duration::from_secs(3600)),
        }
    }

    pub(crate) fn known(&self, token: String) -> Known {
        let token = AccessToken::new(token);
        let holder = self.keys.holder_id(&token);
        (holder, self.keys.seal(holder, &VaultEntry { token, user_id: None }))
    }

    /// Records relationships, no two of one entity and holder in a row of [`TOGETHER`].
    pub(crate) async fn record(&self, relationships: impl Iterator<Item = (Entity, Known)>) {
        let mut batch = Vec::with_capacity(TOGETHER);
        for (entity, (holder, vault)) in relationships {
            batch.push(Recording {
                entity,
                member: Member { holder, variant: None },
                expires_at: self.expires_at,
                vault,
                names_holder: false,
            });
            if batch.len() == TOGETHER {
                self.store.record(&batch).await.unwrap();
                batch.clear();
            }
        }
        self.store.record(&batch).await.unwrap();
    }

    /// The first so many holders of an entity.
    pub(crate) async fn hold(&self, entity: &Entity, holders: usize) {
        self.record((0..holders).map(|holder| (entity.clone(), self.known(token(holder))))).await;
    }
}

pub(crate) fn entity(resource_type: &str, id: &str) -> Entity {
    Entity { resource_type: resource_type.into(), id: id.into() }
}

pub(crate) fn token(holder: usize) -> String {
    format!("tok-{holder:08}")
}

/// The copies of the first so many holders, of some hundred bytes each. `path` is what a key begins with.
pub(crate) fn copies(redis: &Redis, path: &str, holders: usize) {
    let mut raw = Raw::connect(redis.server.port);
    let body = [b'x'; 200];
    for first in (0..holders).step_by(1000) {
        let mut pipeline = Pipeline::default();
        for holder in first..(first + 1000).min(holders) {
            let key = format!("{path}?access_token={}", token(holder));
            pipeline.add(&[b"SET", key.as_bytes(), &body]);
        }
        raw.send(&pipeline);
    }
}
