//! Secrets and URLs come from files too, and print nowhere.

use super::File;
use crate::config::{caches::CacheTarget, secret::SecretConfig, store::StoreConfig};

const PASSWORD: &str = "tok-hunter2-hunter2-hunter2-hunter2";

#[test]
fn a_file_beside_a_secret_or_url_gives_its_content_without_white_space_around_it() {
    let file = File::new("");
    let (url, secret) =
        (file.beside("url", " redis://u:p@h:1/3\n"), file.beside("secret", &format!("{PASSWORD}\n")));
    let text = format!(
        "store: {{ kind: redis, url_file: {url} }}\nsecret: {{ value_file: {secret} }}\n\
         caches: [ {{ name: a, kind: redis, url_file: {url} }} ]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    let config = file.load(&[]).unwrap().config;
    assert!(matches!(&config.store, StoreConfig::Redis(redis) if redis.url.expose() == "redis://u:p@h:1/3"));
    assert!(matches!(&config.secret, SecretConfig::Value(value) if value.expose() == PASSWORD));
    let CacheTarget::Redis(cache) = &config.caches[0].target else { panic!("{:?}", config.caches[0]) };
    assert_eq!(cache.url.expose(), "redis://u:p@h:1/3");
}

#[test]
fn an_unusable_file_is_named_with_the_field_that_names_it() {
    let file = File::new("");
    let (empty, foreign, short) =
        (file.beside("empty", "\n"), file.beside("foreign", PASSWORD), file.beside("short", "tok-x"));
    let cases = [
        (format!("secret:\n  value_file: {empty}"), format!("F:2: secret.value_file: {empty} is empty")),
        (
            format!("secret:\n  value_file: {short}"),
            "F:2: secret.value_file: is too short: expected 32 characters".to_owned(),
        ),
        (
            "secret:\n  value_file: /nowhere".to_owned(),
            "F:2: secret.value_file: cannot read /nowhere: No such file".to_owned(),
        ),
        (
            format!("store:\n  kind: redis\n  url_file: {foreign}"),
            "F:3: store.url_file: expected redis://[user".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        let problem = &File::new(&text).problems(&[])[0];
        assert!(problem.starts_with(&expected), "{problem}");
        assert!(!problem.contains("tok-"), "{problem}");
    }
}

#[test]
fn no_secret_prints_with_the_configuration() {
    let url = format!("rediss://tok-user:{PASSWORD}@h:1/2");
    let text = format!(
        "store: {{ kind: redis, url: '{url}' }}\nsecret: {{ value: {PASSWORD} }}\n\
         caches: [ {{ name: a, kind: redis, url: '{url}' }}, {{ name: b, kind: redis, url: 'unix:///s?pass={PASSWORD}' }} ]\n"
    );
    let loaded = File::new(&text).load(&[("DECACHE__SECRET__VALUE", PASSWORD)]).unwrap();
    let printed = format!("{loaded:?}{loaded:#?}");
    assert!(!printed.contains("tok-"), "{printed}");
    assert!(printed.contains("rediss://h:1/2") && printed.contains("unix:///s"), "{printed}");
}

/// Wherever somebody put it by mistake.
#[test]
fn no_secret_prints_with_a_problem() {
    let texts = [
        format!("secret: {PASSWORD}"),
        format!("secret: [{PASSWORD}]"),
        format!("secret: {{ value: [{PASSWORD}] }}"),
        "secret: { value: tok-short }".to_owned(),
        format!("secret: {{ value: {PASSWORD}, value_file: x }}"),
        format!("store: redis://u:{PASSWORD}@h"),
        format!("store: {{ kind: redis, url: 'rediss://u:{PASSWORD}@h/#insecure' }}"),
        format!("store: {{ kind: redis, url: 'redis://u:{PASSWORD}@h', ca_file: x }}"),
        format!("store: {{ kind: redis, url: 'redis://u:{PASSWORD}@h:port' }}"),
        format!("store: {{ kind: redis, url: 'redis://u:{PASSWORD}@h/db' }}"),
        format!("store: {{ kind: redis, url: 'http://u:{PASSWORD}@h' }}"),
        format!("store: {{ kind: redis, url: {PASSWORD} }}"),
        format!("store: {{ url: 'redis://u:{PASSWORD}@h' }}"),
        format!("caches: 'redis://u:{PASSWORD}@h'"),
        format!("caches: ['redis://u:{PASSWORD}@h']"),
        format!("auth: {{ keys: {PASSWORD} }}"),
        format!("auth: {{ keys: [{PASSWORD}] }}"),
        format!("auth: {{ keys: [{{ name: a, hash: {PASSWORD}, scopes: [read] }}] }}"),
        format!("secret: {{ value: '{PASSWORD}"),
        PASSWORD.to_owned(),
    ];
    for text in texts {
        for problem in File::new(&text).problems(&[]) {
            assert!(!problem.contains("tok-"), "{problem}");
        }
    }
    for name in [
        "DECACHE__SECRET",
        "DECACHE__STORE",
        "DECACHE__AUTH",
        "DECACHE__STORE__URL",
        "DECACHE__SECRET__VALEU",
    ] {
        for problem in File::new("store: { kind: redis }").problems(&[(name, PASSWORD)]) {
            assert!(!problem.contains("tok-"), "{problem}");
        }
    }
}
