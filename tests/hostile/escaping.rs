//! Values that try to break out of a Redis command, a key or a URL.

use deadpool_redis::redis::{self, Client};
use serde_json::json;

use crate::{
    redis_server::RedisServer,
    service::{Service, event},
};

/// decache with index and cache in one Redis, so that whatever breaks out of either is seen.
async fn start(redis: &RedisServer) -> Service {
    let url = redis.url();
    let more = format!(
        "store: {{ kind: redis, url: \"{url}\" }}\ncaches: [ {{ name: api, kind: redis, url: \"{url}\" }} ]\n"
    );
    Service::start("", &more).await
}

fn ask<T: redis::FromRedisValue>(redis: &RedisServer, command: &redis::Cmd) -> T {
    let mut connection =
        Client::open(redis.url()).and_then(|client| client.get_connection()).expect("a Redis");
    command.query(&mut connection).expect("an answer")
}

fn set(redis: &RedisServer, key: &str) {
    ask::<()>(redis, redis::cmd("SET").arg(key).arg("a copy"));
}

fn exists(redis: &RedisServer, key: &str) -> bool {
    ask(redis, redis::cmd("EXISTS").arg(key))
}

#[tokio::test(flavor = "multi_thread")]
async fn line_breaks_and_other_controls_are_refused_wherever_they_stand() {
    let service = Service::start("", "").await;
    for control in ["\r\n", "\n", "\r", "\0", "\u{1b}", "\u{7f}", "\u{85}"] {
        let text = format!("42{control}DEL /posts/1?access_token=tok-bob{control}");
        for field in
            ["id", "entity_id", "access_token", "user_id", "action_type", "resource_type", "cache_key"]
        {
            for body in [
                event(&json!({ field: text })),
                event(&json!({ "entity_id": null, "payload": { "entity_id": text } })),
            ] {
                let answer = service.post(&body).await;
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (422, "no-valid-event"),
                    "{field} {control:?}"
                );
                assert!(!answer.body.contains("tok-bob"), "{}", answer.body);
            }
        }
        let entities = json!({ "entities": [{ "resource_type": "Posts", "entity_id": text }] });
        let answer = service.post_to("/v1/invalidations", "", &entities.to_string()).await;
        assert_eq!(answer.problem(), "invalid-entity");
    }
    for escape in ["%0d%0a", "%0A", "%00", "%1b", "%7F", "%C2%85", "%ff"] {
        for path in [
            format!("/v1/entities/Posts/42{escape}DEL"),
            format!("/v1/entities/Posts/42{escape}DEL/holders"),
            format!("/v1/entities?resource_type=Posts&entity_id=42{escape}DEL"),
            format!("/v1/entities/Posts{escape}/42"),
            format!("/v1/holders?resource_type=Posts&entity_id=42&cursor={escape}"),
        ] {
            let answer = service.get(&path).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            assert!(!answer.head.contains("\r\ndel"), "{}", answer.head);
        }
    }
    service.serves_others().await;
}

/// Ids that are Redis protocol, patterns, Lua, key formats of decache's own, or templates.
const IDS: [&str; 16] = [
    "*",
    "4?",
    "[0-9]*",
    "*1 $8 FLUSHALL",
    "$-1",
    "42' FLUSHALL '",
    "\"; redis.call('FLUSHALL') --",
    "}:stale",
    "{holder:00000000000000000000000000000000}:token",
    "decache:{Posts:42}:stale",
    "%7D:h:0",
    "{access_token}",
    "{{entity_id}}",
    "42?access_token=tok-bob",
    "../43",
    "42 /posts/43?access_token=tok-bob",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_id_deletes_its_own_copy_and_nothing_else() {
    let redis = RedisServer::start();
    let service = start(&redis).await;
    let bystanders =
        ["/posts/42?access_token=tok-bob", "/posts/43?access_token=tok-bob", "/posts/", "*", "canary"];
    bystanders.iter().for_each(|key| set(&redis, key));
    for id in IDS {
        let own = format!("/posts/{id}?access_token=tok-alice");
        set(&redis, &own);
        let answer =
            service.post_to("/v1/events", "Prefer: wait=30\r\n", &event(&json!({ "entity_id": id }))).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
        let entity = json!({ "entities": [{ "resource_type": "Posts", "entity_id": id }] });
        let answer = service.post_to("/v1/invalidations", "Prefer: wait=30\r\n", &entity.to_string()).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
        assert_eq!(answer.json()["deleted"], 1, "{id}: {}", answer.body);
        assert!(!exists(&redis, &own), "{id}");
    }
    for key in bystanders {
        assert!(exists(&redis, key), "{key} is gone");
    }
    let keys: Vec<String> = ask(&redis, redis::cmd("KEYS").arg("*"));
    for key in keys.iter().filter(|key| !bystanders.contains(&key.as_str())) {
        assert!(key.starts_with("decache:"), "{key} is nobody's");
    }
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_and_a_cache_key_reach_no_further_than_their_own_copy() {
    let redis = RedisServer::start();
    let service = start(&redis).await;
    let bystanders =
        ["/posts/42?access_token=tok-bob", "/posts/43?access_token=tok-bob", "decache:secret", "canary"];
    service.serves_others().await;
    bystanders.iter().filter(|key| **key != "decache:secret").for_each(|key| set(&redis, key));
    for token in ["*", "tok-alice canary", "{entity_id}", "tok-\" canary \"", "$6 canary"] {
        let own = format!("/posts/42?access_token={token}");
        set(&redis, &own);
        let read = event(&json!({ "access_token": token }));
        assert_eq!(service.post_to("/v1/events", "Prefer: wait=30\r\n", &read).await.status, 200, "{token}");
        let write = event(&json!({ "action_type": "Update" }));
        assert_eq!(service.post_to("/v1/events", "Prefer: wait=30\r\n", &write).await.status, 200, "{token}");
        assert!(!exists(&redis, &own), "{token}");
    }
    for cache_key in [
        "canary{access_token}",
        "{access_token}",
        "decache:secret?{access_token}",
        "/posts/43?access_token={access_token}",
        "/posts/421?access_token={access_token}",
        "/posts/42",
        "/posts/42?access_token=tok-bob",
        "/posts/42?a={access_token}&b={entity_id}",
        "/posts/42?{",
    ] {
        let answer = service.post(&event(&json!({ "cache_key": cache_key }))).await;
        assert_eq!(answer.status, 422, "{cache_key}: {}", answer.body);
    }
    for key in bystanders {
        assert!(exists(&redis, key), "{key} is gone");
    }
}
