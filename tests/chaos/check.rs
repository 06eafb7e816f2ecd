//! The outside check: the cache, the database, and who decache says holds what.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use deadpool_redis::redis::cmd;
use serde_json::Value;

use crate::{
    process::poll,
    stage::{POSTS, PROVISIONAL, Stage},
    users::Accepted,
};

/// A copy in the cache.
struct Copy {
    post: u64,
    user: String,
    response: Value,
    /// When it ends, in milliseconds since the epoch.
    ends: u64,
}

/// Fails, with all that is wrong, unless every copy is as fresh as the database and tracked to its end.
pub(crate) async fn check(stage: &Stage, accepted: &Accepted) {
    let copies = copies(stage).await;
    let posts = posts(stage).await;
    let holders = holders(stage).await;
    let mut faults = Vec::new();
    for Copy { post, user, response, ends } in &copies {
        if posts.get(post) != Some(&response["post"]) {
            faults.push(format!(
                "post {post} of {user} is stale: {} and not {:?}",
                response["post"],
                posts.get(post)
            ));
        }
        match holders.get(&(*post, user.clone())) {
            None => faults.push(format!("post {post} of {user} is not tracked")),
            Some(until) if until < ends => {
                faults.push(format!("post {post} of {user} is tracked for {} ms too short", ends - until));
            }
            Some(_) => {}
        }
    }
    let unwritten = accepted.copies.iter().filter(|(post, _)| *post > POSTS / 2).count();
    let kept = copies.iter().filter(|copy| copy.post > POSTS / 2).count();
    println!(
        "chaos: {} hits, {} misses, {} writes, {} requests cut off; {} copies live, {kept} of {unwritten} accepted ones of \
         posts that nobody writes; faults {}",
        accepted.hits,
        accepted.misses,
        accepted.writes,
        accepted.failed,
        copies.len(),
        faults.len(),
    );
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(
        kept * 10 >= unwritten * 9,
        "of copies of posts that nobody writes only {kept} of {unwritten} are there"
    );
    assert!(copies.len() > kept, "no copy of a written post lives: that is easily fresh");
}

/// Waits until no copy is left that has only its provisional life, and reads all others.
async fn copies(stage: &Stage) -> Vec<Copy> {
    let provisional = Duration::from_secs(PROVISIONAL);
    poll("copies that were not raised are gone", async || {
        let copies = all_copies(stage).await;
        let now = now();
        copies.iter().all(|copy| copy.ends > now + provisional.as_millis() as u64).then_some(copies)
    })
    .await
}

async fn all_copies(stage: &Stage) -> Vec<Copy> {
    let mut redis = stage.cache.connect().await;
    let keys: Vec<String> = cmd("KEYS").arg("/posts/*").query_async(&mut redis).await.unwrap();
    let mut copies = Vec::new();
    for key in keys {
        let (value, ends): (Option<String>, i64) = deadpool_redis::redis::pipe()
            .cmd("GET")
            .arg(&key)
            .cmd("PEXPIRETIME")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        let Some(value) = value else { continue };
        let copy: Value = serde_json::from_str(&value).unwrap();
        let (post, user) = key.strip_prefix("/posts/").unwrap().split_once("?access_token=tok-").unwrap();
        copies.push(Copy {
            post: post.parse().unwrap(),
            user: user.to_owned(),
            response: copy["response"].clone(),
            ends: u64::try_from(ends).unwrap(),
        });
    }
    copies
}

async fn posts(stage: &Stage) -> HashMap<u64, Value> {
    let mut redis = stage.database.connect().await;
    let rows: HashMap<u64, String> =
        cmd("HGETALL").arg("playerpro:posts").query_async(&mut redis).await.unwrap();
    rows.into_iter().map(|(id, post)| (id, serde_json::from_str(&post).unwrap())).collect()
}

/// Until when each user's copy of each post is tracked, in milliseconds since the epoch.
async fn holders(stage: &Stage) -> HashMap<(u64, String), u64> {
    let mut holders = HashMap::new();
    for post in 1..=POSTS {
        let page = stage.ask(&format!("/v1/entities/Posts/{post}/holders?limit=1000")).await;
        assert_eq!(page["next"], Value::Null);
        for holder in page["items"].as_array().unwrap() {
            let expires_at: jiff::Timestamp = holder["expires_at"].as_str().unwrap().parse().unwrap();
            let user = holder["user_id"].as_str().unwrap().to_owned();
            holders.insert((post, user), u64::try_from(expires_at.as_millisecond()).unwrap());
        }
    }
    holders
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, with its own clock")]
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
