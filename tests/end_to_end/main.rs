//! The main job, seen from outside: an API that caches per user in a real Redis, decache beside it with an index in
//! another, each a process of its own. After a write no user's copy is left, and nobody else's is touched.

#[path = "../support/example.rs"]
mod example;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;
#[path = "../support/redis_view.rs"]
mod redis_view;
mod stage;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream};
use process::poll;
use serde_json::json;
use stage::{API_USER, GUARD, PROVISIONAL, Stage, copy_key, token};

const USERS: usize = 200;
const POSTS: u64 = 20;
const FEW_POSTS: u64 = 4;
const FEW_USERS: usize = 20;
/// Requests under way at the same time.
const CONCURRENCY: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_empties_its_post_of_every_users_copy_and_touches_nobody_elses() {
    let mut stage = Stage::set().await;
    let users: BTreeSet<String> = (0..USERS).map(|n| format!("user-{n:03}")).collect();
    everybody_reads(&stage, &users, POSTS).await;
    let mut copies = stage.cache().keys().await;
    assert_eq!(
        copies,
        every_key(&users),
        "one copy per user and post, under the documented key, and nothing else"
    );
    for key in copies.iter().take(USERS) {
        let left = stage.cache().ttl(key).await;
        assert!(left > PROVISIONAL, "{key} was not raised to its full life: {left:?} left");
    }
    for post in 1..=POSTS {
        stage.wait_for_holders(post, &users).await;
    }

    stage.put(7, "alice").await;
    stage.wait_until_gone(7).await;
    copies.retain(|key| !key.starts_with("/posts/7?"));
    assert_eq!(copies.len(), 19 * USERS);
    stage.wait_for_holders(7, &BTreeSet::new()).await;
    assert_eq!(stage.cache().keys().await, copies, "a PUT removed more than its post's copies");

    stage.delete(12, "alice").await;
    stage.wait_until_gone(12).await;
    copies.retain(|key| !key.starts_with("/posts/12?"));
    stage.wait_for_holders(12, &BTreeSet::new()).await;
    assert_eq!(stage.cache().keys().await, copies, "a DELETE removed more than its post's copies");
    stage.wait_for_holders(13, &users).await;

    assert_no_token_is_anywhere(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_began_before_a_write_loses_its_copy_even_if_its_event_comes_after() {
    let mut stage = Stage::set().await;
    assert_eq!(stage.read(1, "alice").await, "miss");
    let began = now();
    stage.put(1, "bob").await;
    let written = now();
    stage.wait_until_gone(1).await;

    // The copy of a read that was under way while bob wrote: it comes into the cache, and to decache's ears, only now.
    stage.cache().set(&copy_key(1, "late"), "the old post").await;
    stage.post_read(1, "late", began).await;
    stage.wait_until_gone(1).await;
    stage.wait_for_holders(1, &BTreeSet::new()).await;

    // One that began safely after the write is no different but for its time. It stays.
    let after = written + millis(GUARD) + 1;
    poll("the guard after the write is over", async || (now() > after).then_some(())).await;
    stage.cache().set(&copy_key(1, "new"), "the new post").await;
    stage.post_read(1, "new", after).await;
    stage.wait_for_holders(1, &BTreeSet::from(["new".to_owned()])).await;
    assert_eq!(stage.cache().keys().await, BTreeSet::from([copy_key(1, "new")]));

    assert_no_token_is_anywhere(&mut stage).await;
}

/// Of the two hundred users one is logged out, while reads of theirs are under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_removes_one_users_copies_and_touches_nobody_elses() {
    let mut stage = Stage::set().await;
    let users: BTreeSet<String> = (0..USERS).map(|n| format!("user-{n:03}")).collect();
    everybody_reads(&stage, &users, FEW_POSTS).await;
    let mut copies = stage.cache().keys().await;
    assert_eq!(copies.len(), users.len() * usize::try_from(FEW_POSTS).expect("few"));

    let (leaver, began) = ("user-007", now());
    // A copy that comes into the cache during the revocation, and whose event comes only after it.
    let (cache, late) = (stage.cache(), copy_key(9, leaver));
    let (revoked, ()) = tokio::join!(stage.revoke(leaver), cache.set(&late, "an old post"));
    assert_eq!(revoked["matched"], FEW_POSTS, "{revoked}");
    assert_eq!(revoked["deleted"], FEW_POSTS, "{revoked}");
    stage.post_read(9, leaver, began).await;
    stage.wait_until_gone(9).await;
    copies.retain(|key| !key.ends_with(&token(leaver)));
    assert_eq!(copies.len(), (USERS - 1) * usize::try_from(FEW_POSTS).expect("few"));
    assert_eq!(stage.cache().keys().await, copies);
    let others: BTreeSet<String> = users.iter().filter(|user| *user != leaver).cloned().collect();
    for post in 1..=FEW_POSTS {
        stage.wait_for_holders(post, &others).await;
    }

    // Who logs in again with the same token is served, and tracked, as before.
    let after = now() + millis(GUARD) + 1;
    poll("the guard after the logout is over", async || (now() > after).then_some(())).await;
    assert_eq!(stage.read(1, leaver).await, "miss");
    stage.wait_for_holders(1, &users).await;
    copies.insert(copy_key(1, leaver));
    assert_eq!(stage.cache().keys().await, copies);

    assert_no_token_is_anywhere(&mut stage).await;
}

/// Each process keeps copies of its own in front of the Redis that they share. Only by the channel can it know of a write.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_empties_the_memory_of_every_process_and_touches_nobody_elses_copies() {
    let mut stage = Stage::with_memories().await;
    let users: BTreeSet<String> = (0..FEW_USERS).map(|n| format!("user-{n:03}")).collect();
    for post in 1..=2 {
        stage.all_read(post, &users, |read| *read == ("memory".to_owned(), 1)).await;
    }
    stage.put(1, "alice").await;
    stage.all_read(1, &users, |(_, version)| *version == 2).await;
    for (api, user) in (0..2).flat_map(|api| users.iter().map(move |user| (api, user))) {
        assert_eq!(stage.read_from(api, 2, user).await, ("memory".to_owned(), 1), "{user} at {api}");
    }
    stage.all_read(1, &users, |read| *read == ("memory".to_owned(), 2)).await;
    // With decache gone nobody would tell of a write, and nothing is served from memory any more.
    assert_no_token_is_anywhere(&mut stage).await;
    stage.all_read(2, &users, |(found, _)| found == "hit").await;
}

/// Its subscription breaks, and what has to go is told while it is not there to hear it.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_hear_the_channel_serves_nothing_that_it_may_have_missed() {
    let mut stage = Stage::with_memories().await;
    let alice = BTreeSet::from(["alice".to_owned()]);
    stage.all_read(1, &alice, |(found, _)| found == "memory").await;
    stage.cache().tell(&["ACL", "SETUSER", API_USER, "resetchannels"]).await;
    stage.all_read(1, &alice, |(found, _)| found == "hit").await;
    stage.put(1, "bob").await;
    stage.wait_until_gone(1).await;
    for api in 0..2 {
        let (found, version) = stage.read_from(api, 1, "alice").await;
        assert_eq!((found == "memory", version), (false, 2), "process {api}");
    }
    stage.cache().tell(&["ACL", "SETUSER", API_USER, "allchannels"]).await;
    stage.all_read(1, &alice, |read| *read == ("memory".to_owned(), 2)).await;
    stage.put(1, "bob").await;
    stage.all_read(1, &alice, |(_, version)| *version == 3).await;
    assert_no_token_is_anywhere(&mut stage).await;
}

/// Everybody reads the first so many posts.
async fn everybody_reads(stage: &Stage, users: &BTreeSet<String>, posts: u64) {
    let reads = (1..=posts).flat_map(|post| users.iter().map(move |user| (post, user)));
    let reads = stream::iter(reads).map(async |(post, user)| {
        assert_eq!(stage.read(post, user).await, "miss", "{user} has not read post {post} before");
    });
    reads.buffer_unordered(CONCURRENCY).collect::<()>().await;
}

fn every_key(users: &BTreeSet<String>) -> BTreeSet<String> {
    (1..=POSTS).flat_map(|post| users.iter().map(move |user| copy_key(post, user))).collect()
}

/// Stops decache and looks for tokens in all that it has said and stored.
async fn assert_no_token_is_anywhere(stage: &mut Stage) {
    let metrics = stage.metrics().await;
    assert!(metrics.contains("decache_"), "these are not the metrics: {metrics}");
    let stored = stage.index().everything().await;
    assert!(!stored.is_empty(), "the index is somewhere else");
    let status = stage.decache.terminate().await;
    assert!(status.success(), "decache ended with {status}:\n{}", stage.decache.output());

    let secret = token("");
    assert!(!metrics.contains(&secret), "a token in the metrics");
    assert!(!stage.decache.output().contains(&secret), "a token in decache's output");
    for bytes in stored {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a token in the index: {}", String::from_utf8_lossy(&bytes));
    }
}

/// Wall-clock time in milliseconds.
#[expect(clippy::disallowed_methods, reason = "an API's clock, which is not decache's")]
fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a time that fits")
}

/// The event of a read, as an API posts it.
fn read_event(post: u64, user: &str, occurred_at: u64) -> serde_json::Value {
    json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": post,
        "access_token": token(user), "user_id": user, "occurred_at": occurred_at,
    })
}
