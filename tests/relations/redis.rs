//! The Redis store: the contract on a real server, and what its layout promises.

use std::time::Duration;

use deadpool_redis::redis;
use decache::{
    clock::Clock,
    event::Entity,
    redis_pool::RedisPool,
    relations::{Member, Position, Recording, Relations, Sealed, StaleMark, redis::RedisStore},
    secret::HolderId,
};

use crate::{contract::Opened, redis_server::RedisServer};

async fn opened() -> Opened {
    let server = RedisServer::start();
    (Box::new(store(&server)), Box::new(server))
}

mod contract {
    sentences!(super::opened);
}

fn store(server: &RedisServer) -> RedisStore {
    RedisStore::new(pool(server), "decache:")
}

fn pool(server: &RedisServer) -> RedisPool {
    RedisPool::new(&server.url(), 8, Duration::from_secs(10)).unwrap()
}

fn entity() -> Entity {
    Entity { resource_type: "Posts".into(), id: "42".into() }
}

fn recording(holder: u64, variant: Option<&str>) -> Recording {
    let id = *blake3::hash(&holder.to_be_bytes()).as_bytes().first_chunk().unwrap();
    Recording {
        entity: entity(),
        member: Member { holder: HolderId(id), variant: variant.map(Into::into) },
        expires_at: Clock::start().now().after(Duration::from_secs(300)),
        vault: Sealed(b"sealed".to_vec()),
        names_holder: false,
    }
}

async fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut pipeline = redis::pipe();
    let command = pipeline.cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    pool(server).query::<(T,)>(&pipeline).await.unwrap().0
}

async fn bucket_sizes(server: &RedisServer) -> Vec<usize> {
    let keys: Vec<String> = ask(server, &["KEYS", "decache:{Posts:42}:h:*"]).await;
    let mut sizes = Vec::new();
    for key in keys {
        assert_eq!(ask::<String>(server, &["OBJECT", "ENCODING", &key]).await, "listpack");
        assert!(ask::<i64>(server, &["PTTL", &key]).await > 0, "each bucket expires by itself");
        sizes.push(ask(server, &["HLEN", &key]).await);
    }
    sizes
}

#[tokio::test]
async fn a_token_that_was_met_is_known_without_the_vault() {
    let server = RedisServer::start();
    let (writer, reader) = (store(&server), store(&server));
    let recordings: Vec<_> = (0..3).map(|holder| recording(holder, None)).collect();
    let holders: Vec<_> = recordings.iter().map(|recording| recording.member.holder).collect();
    writer.record(&recordings[..2]).await.unwrap();
    let expected = [Some(recordings[0].vault.clone()), Some(recordings[1].vault.clone()), None];
    assert_eq!(reader.tokens(&holders).await.unwrap(), expected);
    let keys: Vec<String> = ask(&server, &["KEYS", "decache:{holder:*}:token"]).await;
    for key in keys {
        let _: u32 = ask(&server, &["DEL", &key]).await;
    }
    for store in [&writer, &reader] {
        assert_eq!(store.tokens(&holders).await.unwrap(), expected);
        assert_eq!(
            store.vault(&holders).await.unwrap(),
            [None, None, None],
            "whoever asks the vault is told what it has"
        );
    }
    // A writer that has found an entry missing writes it again.
    writer.record(&recordings).await.unwrap();
    assert!(writer.vault(&holders).await.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn buckets_stay_small_and_compact_as_an_entity_grows_and_are_given_back_as_it_shrinks() {
    let server = RedisServer::start();
    let store = store(&server);
    let all: Vec<Recording> = (0..20_000).map(|holder| recording(holder, None)).collect();
    for batch in all.chunks(512) {
        store.record(batch).await.unwrap();
    }
    let sizes = bucket_sizes(&server).await;
    assert_eq!(sizes.iter().sum::<usize>(), all.len());
    assert!(sizes.iter().all(|size| *size <= 160), "{sizes:?}");
    assert!(sizes.len() < all.len() / 40, "{} buckets", sizes.len());

    let mut from = Some(Position(0));
    while let Some(position) = from {
        let page = store.walk(&entity(), position, 512).await.unwrap();
        let members: Vec<_> = page.held.into_iter().map(|held| (held.member, held.stamp)).collect();
        assert_eq!(store.forget(&entity(), &members, Duration::ZERO).await.unwrap(), members.len());
        from = page.next;
    }
    while store.compact(&entity()).await.unwrap() {}
    let left: Vec<String> = ask(&server, &["KEYS", "decache:{Posts:42}:*"]).await;
    assert!(left.is_empty(), "nothing is left of an entity without holders: {left:?}");
}

#[tokio::test]
async fn a_holder_with_very_many_variants_fills_no_bucket() {
    let server = RedisServer::start();
    let store = store(&server);
    let all: Vec<Recording> =
        (0..2_000).map(|page| recording(1, Some(&format!("/p?page={page}&t={{access_token}}")))).collect();
    for batch in all.chunks(512) {
        store.record(batch).await.unwrap();
    }
    let sizes = bucket_sizes(&server).await;
    assert!(sizes.iter().all(|size| *size <= 160), "{sizes:?}");
}

/// How many buckets there are stands in the stale record. If that went before a bucket does, nobody would find its members.
async fn assert_stale_outlives_buckets(server: &RedisServer) {
    let keys: Vec<String> = ask(server, &["KEYS", "decache:{Posts:42}:h:*"]).await;
    let alone = keys == ["decache:{Posts:42}:h:1"];
    let stale: i64 = ask(server, &["PEXPIRETIME", "decache:{Posts:42}:stale"]).await;
    for key in keys {
        let bucket: i64 = ask(server, &["PEXPIRETIME", &key]).await;
        assert!(alone || bucket < stale, "{key} lives until {bucket}, the number of buckets until {stale}");
    }
}

#[tokio::test]
async fn the_number_of_buckets_outlives_the_last_member_whatever_lives_meet() {
    let server = RedisServer::start();
    let store = store(&server);
    let now = Clock::start().now();
    let mark = StaleMark { at: now, life: Duration::from_secs(1) };
    let mut next = 0;
    // Long lives before short ones, and the other way round, across splits, fan-outs and merges.
    for (count, life, fan_out) in [
        (1, 900, false),
        (140, 4, false),
        (300, 30, true),
        (1, 5_000, false),
        (400, 2, true),
        (200, 60, false),
    ] {
        let batch: Vec<Recording> = (next..next + count)
            .map(|holder| Recording {
                expires_at: now.after(Duration::from_secs(life)),
                ..recording(holder, None)
            })
            .collect();
        next += count;
        for part in batch.chunks(50) {
            store.record(part).await.unwrap();
            assert_stale_outlives_buckets(&server).await;
        }
        if !fan_out {
            continue;
        }
        store.invalidate(&entity(), mark).await.unwrap();
        assert_stale_outlives_buckets(&server).await;
        let page = store.walk(&entity(), Position(0), 60).await.unwrap();
        let members: Vec<_> = page.held.into_iter().map(|held| (held.member, held.stamp)).collect();
        store.forget(&entity(), &members, Duration::ZERO).await.unwrap();
        while store.compact(&entity()).await.unwrap() {
            assert_stale_outlives_buckets(&server).await;
        }
        assert_stale_outlives_buckets(&server).await;
    }
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_told_again() {
    let server = RedisServer::start();
    let store = store(&server);
    store.record(&[recording(1, None)]).await.unwrap();
    ask::<String>(&server, &["SCRIPT", "FLUSH"]).await;
    store.record(&[recording(2, None)]).await.unwrap();
    assert_eq!(store.walk(&entity(), Position(0), 10).await.unwrap().held.len(), 2);
}

#[tokio::test]
async fn the_generation_can_be_read_with_one_get() {
    let server = RedisServer::start();
    let store = store(&server);
    let mark = StaleMark { at: Clock::start().now(), life: Duration::from_secs(60) };
    let stale = store.invalidate(&entity(), mark).await.unwrap();
    let record: String = ask(&server, &["GET", "decache:{Posts:42}:stale"]).await;
    assert_eq!(record.split(' ').next().unwrap().parse(), Ok(stale.generation));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_serves_again_when_it_is_back() {
    let mut server = RedisServer::start();
    let store = store(&server);
    server.stop();
    assert!(store.record(&[recording(1, None)]).await.is_err());
    assert!(store.ping().await.is_err());
    server.restart();
    store.record(&[recording(1, None)]).await.unwrap();
}

/// `cargo bench --bench redis_memory` prints the figures for more sizes.
#[tokio::test]
async fn a_relationship_costs_few_bytes() {
    for (holders, most) in [(10, 48), (100, 36), (10_000, 36)] {
        let server = RedisServer::start();
        let store = store(&server);
        let all: Vec<Recording> = (0..holders).map(|holder| recording(holder, None)).collect();
        for batch in all.chunks(512) {
            store.record(batch).await.unwrap();
        }
        let keys: Vec<String> = ask(&server, &["KEYS", "decache:{Posts:42}:*"]).await;
        let mut bytes = 0;
        for key in &keys {
            bytes += ask::<u64>(&server, &["MEMORY", "USAGE", key, "SAMPLES", "0"]).await;
        }
        assert!(bytes <= holders * most, "{holders} holders: {} bytes each", bytes as f64 / holders as f64);
    }
}

fn of_holder(holder: u64, id: usize) -> Recording {
    let entity = Entity { resource_type: "Posts".into(), id: id.to_string().into() };
    Recording { entity, ..recording(holder, None) }
}

async fn keys(server: &RedisServer, pattern: &str) -> Vec<String> {
    ask(server, &["KEYS", pattern]).await
}

#[tokio::test]
async fn a_holder_of_very_many_entities_fills_no_bucket_and_leaves_nothing_behind() {
    let server = RedisServer::start();
    let store = store(&server);
    let holder = recording(1, None).member.holder;
    let all: Vec<Recording> = (0..5_000).map(|id| of_holder(1, id)).collect();
    for batch in all.chunks(512) {
        store.record(batch).await.unwrap();
    }
    let buckets = keys(&server, "decache:{holder:*}:entities:*").await;
    assert!(buckets.len() < all.len() / 40, "{} buckets", buckets.len());
    let stale: i64 = ask(&server, &["PEXPIRETIME", &format!("decache:{{holder:{holder}}}:stale")]).await;
    for key in buckets {
        let size: usize = ask(&server, &["HLEN", &key]).await;
        let encoding: String = ask(&server, &["OBJECT", "ENCODING", &key]).await;
        assert!(size <= 160 && encoding == "listpack", "{key} of {size} is a {encoding}");
        let ends: i64 = ask(&server, &["PEXPIRETIME", &key]).await;
        assert!(ends < stale, "{key} lives until {ends}, the number of buckets until {stale}");
    }

    let mut from = Some(Position(0));
    while let Some(position) = from {
        let page = store.entities_of(holder, position, 512).await.unwrap();
        let entries: Vec<_> = page.held.into_iter().map(|held| (held.holding, held.stamp)).collect();
        assert_eq!(store.release(holder, &entries, Duration::ZERO).await.unwrap(), entries.len());
        from = page.next;
    }
    assert!(keys(&server, "decache:{holder:*}:entities:*").await.is_empty());
}

#[tokio::test]
async fn a_holders_entries_end_by_themselves() {
    let server = RedisServer::start();
    let store = store(&server);
    let soon = Clock::start().now().after(Duration::from_secs(1));
    store.record(&[Recording { expires_at: soon, ..of_holder(1, 42) }]).await.unwrap();
    let key = keys(&server, "decache:{holder:*}:entities:*").await.remove(0);
    let ends: u64 = ask(&server, &["EXPIRETIME", &key]).await;
    assert_eq!(ends, soon.0.div_ceil(1000) + 1);
    let later = Recording { expires_at: soon.after(Duration::from_secs(60)), ..of_holder(1, 43) };
    store.record(&[later, of_holder(1, 44)]).await.unwrap();
    let later: u64 = ask(&server, &["EXPIRETIME", &key]).await;
    assert!(later > ends + 200, "the key lives as long as its last entry");
}

#[tokio::test]
async fn a_store_that_is_not_by_holder_keeps_nothing_of_holders() {
    let server = RedisServer::start();
    let store = store(&server).by_holder(false);
    let holder = recording(1, None).member.holder;
    let recorded = store.record(&[recording(1, None)]).await.unwrap();
    assert_eq!(recorded[0].revoked, None);
    assert_eq!(keys(&server, "decache:{holder:*").await, [format!("decache:{{holder:{holder}}}:token")]);
    assert_eq!(store.entities_of(holder, Position(0), 10).await.unwrap().held, []);
}

#[tokio::test]
async fn what_a_holder_holds_costs_few_bytes() {
    for (entities, most) in [(20, 40), (100, 36), (5_000, 36)] {
        let server = RedisServer::start();
        let store = store(&server);
        let all: Vec<Recording> = (0..entities).map(|id| of_holder(1, id)).collect();
        for batch in all.chunks(512) {
            store.record(batch).await.unwrap();
        }
        let mut bytes = 0;
        for key in keys(&server, "decache:{holder:*}:entities:*").await {
            bytes += ask::<usize>(&server, &["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await;
        }
        assert!(
            bytes <= entities * most,
            "{entities} entities: {} bytes each",
            bytes as f64 / entities as f64
        );
    }
}
