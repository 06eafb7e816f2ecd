//! Overrides from the environment.

use std::time::Duration;

use super::File;
use crate::config::{Config, queue::Aging, secret::SecretConfig, server::ServerConfig, store::StoreConfig};

fn config(text: &str, env: &[(&str, &str)]) -> Config {
    File::new(text).load(env).unwrap_or_else(|error| panic!("{error}")).config
}

#[test]
fn a_variable_wins_over_the_file_and_the_default() {
    let env = [
        ("DECACHE__QUEUE__AGING", "strict"),
        ("DECACHE__SERVER__BIND", "[::1]:9000"),
        ("DECACHE__SERVER__LIMITS__BODY", "64KiB"),
        ("DECACHE__WORKERS__CONCURRENCY", "7"),
        ("DECACHE_CONFIG", "not ours"),
        ("PATH", "/bin"),
    ];
    let config = config("server: { bind: '127.0.0.1:1' }\nqueue: { aging: 2s, capacity: 5 }\n", &env);
    assert_eq!(config.server.bind.to_string(), "[::1]:9000");
    assert_eq!(config.server.limits.body, 65_536);
    assert_eq!((config.queue.aging, config.queue.capacity), (Aging::Strict, 5));
    assert_eq!(config.workers.concurrency, 7);
}

#[test]
fn a_variable_may_hold_a_list_or_a_section_and_reach_into_both() {
    let env = [
        (
            "DECACHE__CACHES",
            "[{name: a, kind: redis, url: 'redis://h1'}, {name: b, kind: redis, url: 'redis://h2'}]",
        ),
        ("DECACHE__CACHES__1__KEY_PREFIX", "x:"),
        ("DECACHE__RESOURCES__POSTS__TTL", "1m"),
        ("DECACHE__SERVER", "{grace: 1}"),
        ("DECACHE__SERVER__GRACE", "3"),
    ];
    let config = config("resources:\n  Posts: { cache_keys: [k], ttl: 5 }\n", &env);
    assert_eq!(config.caches.len(), 2);
    assert!(format!("{:?}", config.caches[1].target).contains("\"x:\""));
    assert_eq!(config.resources.0["Posts"].ttl, Duration::from_secs(60));
    assert_eq!(config.server, ServerConfig { grace: Duration::from_secs(3), ..ServerConfig::default() });
}

#[test]
fn the_default_file_takes_redis_from_the_environment() {
    let default = include_str!("../../../config/default.yaml");
    let config =
        config(default, &[("DECACHE__STORE__KIND", "redis"), ("DECACHE__STORE__URL", "redis://h:1/2")]);
    let StoreConfig::Redis(redis) = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(
        (redis.url.expose(), redis.url.server(), redis.pool_size),
        ("redis://h:1/2", "redis://h:1/2", 16)
    );
    assert_eq!(config.store.prefix(), Some("decache:"));
}

/// Whatever YAML would make of it: a comment, a mapping, a number, an anchor.
#[test]
fn a_secret_from_the_environment_is_taken_as_it_stands() {
    let tail = "0123456789".repeat(4);
    for secret in ["abc # ", "abc: ", "", "*", "&a ", "@", "%", "1e", "0x", "- ", "!t "] {
        let secret = format!("{secret}{tail}");
        let config = config("secret: { value_file: /nowhere }", &[("DECACHE__SECRET__VALUE", &secret)]);
        let SecretConfig::Value(value) = config.secret else { panic!("{secret}") };
        assert_eq!(value.expose(), secret);
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let cases = [
        (
            "DECACHE__QUEUE__CAPACITY",
            "many",
            "DECACHE__QUEUE__CAPACITY: queue.capacity: expected a number of jobs from 1 to 1000000000, found \"many\"",
        ),
        (
            "DECACHE__SERVER__BNID",
            "x",
            "DECACHE__SERVER__BNID: server.bnid: is not a known field: did you mean \"bind\"?",
        ),
        (
            "DECACHE__SERVR__BIND",
            "x",
            "DECACHE__SERVR__BIND: servr: is not a known field: did you mean \"server\"?",
        ),
        (
            "DECACHE__QUEUE",
            "[",
            "DECACHE__QUEUE: queue: expected a mapping of fields, found text that is not valid YAML: did not find",
        ),
        ("DECACHE__", "x", "DECACHE__: expected a name such as DECACHE__SERVER__BIND"),
        (
            "DECACHE__SERVER____BIND",
            "x",
            "DECACHE__SERVER____BIND: expected a name such as DECACHE__SERVER__BIND",
        ),
        (
            "DECACHE__AUTH__KEYS__3__NAME",
            "x",
            "DECACHE__AUTH__KEYS__3__NAME: auth.keys: expected the number of one of the 0 items, from 0, found \"3\"",
        ),
        (
            "DECACHE__QUEUE__CAPACITY__X",
            "1",
            "DECACHE__QUEUE__CAPACITY__X: queue.capacity: is a single value: it has no \"x\" in it",
        ),
        (
            "DECACHE__RESOURCES__USERS__TTL",
            "1",
            "DECACHE__RESOURCES__USERS__TTL: resources.users.cache_keys: is missing, and has no default",
        ),
        ("DECACHE__QUEUE__AGING", "", "DECACHE__QUEUE__AGING: queue.aging: expected a time"),
    ];
    let file = File::new("auth: { keys: [] }\nqueue: { capacity: 1 }\n");
    for (name, value, expected) in cases {
        let problems = file.problems(&[(name, value)]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{}", problems[0]);
    }
}
