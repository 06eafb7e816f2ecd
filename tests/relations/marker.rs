//! The marker of an index, on both stores; and what becomes of work on an index that was lost.

use std::time::Duration;

use decache::{
    clock::Clock,
    event::Entity,
    redis_pool::RedisPool,
    relations::{
        Marked, Member, Position, Recording, Relations, Sealed, StaleMark, StoreError, embedded::Embedded,
        redis::RedisStore,
    },
    secret::HolderId,
};

use crate::redis_server::RedisServer;

fn redis() -> (RedisServer, RedisStore) {
    let server = RedisServer::start();
    let pool = RedisPool::new(&server.url(), 8, Duration::from_secs(10)).unwrap();
    (server, RedisStore::new(pool, "decache:"))
}

async fn tell(server: &RedisServer, words: &[&str]) {
    let mut pipeline = deadpool_redis::redis::pipe();
    let command = pipeline.cmd(words[0]).ignore();
    for word in &words[1..] {
        command.arg(*word);
    }
    let pool = RedisPool::new(&server.url(), 1, Duration::from_secs(10)).unwrap();
    pool.query::<()>(&pipeline).await.unwrap();
}

async fn marks(store: &dyn Marked) {
    assert_eq!(store.marker().await.unwrap(), None);
    let texts: Vec<String> = (0..8).map(|n| format!("first-{n} 1 0")).collect();
    let there = futures_util::future::join_all(texts.iter().map(|text| store.mark(None, text))).await;
    let first = store.marker().await.unwrap().unwrap();
    assert!(
        there.into_iter().all(|there| there.unwrap() == first),
        "of several at once all learn which is right"
    );
    assert_eq!(store.mark(None, "late 1 0").await.unwrap(), first);
    assert_eq!(store.mark(Some("another 1 0"), "late 1 0").await.unwrap(), first);
    assert_eq!(store.mark(Some(&first), "second 2 2").await.unwrap(), "second 2 2");
    assert_eq!(store.marker().await.unwrap().as_deref(), Some("second 2 2"));
}

#[tokio::test]
async fn of_several_who_mark_an_index_at_once_one_is_right() {
    let (_server, store) = redis();
    marks(&store).await;
    let folder = tempfile::tempdir().unwrap();
    marks(&Embedded::open(folder.path(), Clock::start()).unwrap()).await;
}

#[tokio::test]
async fn nothing_that_is_done_on_a_lost_index_counts() {
    let (server, store) = redis();
    let entity = Entity { resource_type: "Posts".into(), id: "42".into() };
    let member = Member { holder: HolderId([1; 16]), variant: None };
    let now = Clock::start().now();
    let recording = Recording {
        entity: entity.clone(),
        member: member.clone(),
        expires_at: now.after(Duration::from_secs(300)),
        vault: Sealed(b"sealed".to_vec()),
        names_holder: false,
    };
    let mark = StaleMark { at: now, life: Duration::from_secs(300) };
    store.mark(None, "ours 1 0").await.unwrap();
    store.expect("ours 1 0");
    let stamp = store.record(std::slice::from_ref(&recording)).await.unwrap()[0].stamp;
    for lost in [vec!["FLUSHALL"], vec!["SET", "decache:index", "theirs 2 2"]] {
        tell(&server, &lost).await;
        let holders = [member.holder];
        let forgotten = [(member.clone(), stamp)];
        let results = [
            store.record(std::slice::from_ref(&recording)).await.map(drop),
            store.invalidate(&entity, mark).await.map(drop),
            store.walk(&entity, Position(0), 10).await.map(drop),
            store.forget(&entity, &forgotten, Duration::ZERO).await.map(drop),
            store.staleness(&entity).await.map(drop),
            store.vault(&holders).await.map(drop),
            store.compact(&entity).await.map(drop),
        ];
        assert!(
            results.iter().all(|result| matches!(result, Err(StoreError::Lost))),
            "{lost:?}: {results:?}"
        );
    }
    store.expect("theirs 2 2");
    store.record(&[recording]).await.unwrap();
}
