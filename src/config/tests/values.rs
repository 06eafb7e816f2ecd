//! Mistakes in what a file says: values of another kind, out of bounds, or that do not go together.

use super::{File, assert_each};

#[test]
fn a_value_of_another_kind_is_answered_with_what_is_expected_and_what_was_found() {
    assert_each(&[
        (
            "queue:\n  capacity: many\n",
            "F:2: queue.capacity: expected a number of jobs from 1 to 1000000000, found \"many\"",
        ),
        (
            "queue:\n  capacity: 0\n",
            "F:2: queue.capacity: expected a number of jobs from 1 to 1000000000, found 0",
        ),
        ("queue:\n  capacity: 99999999999999999999999\n", "F:2: queue.capacity: expected a number of jobs"),
        (
            "queue:\n  max_bytes: 5MB\n",
            "F:2: queue.max_bytes: expected bytes (1048576) or a size with its unit (64KiB,",
        ),
        (
            "queue:\n  aging: lax\n",
            "F:2: queue.aging: expected a time for each level of priority, in seconds or with a unit",
        ),
        (
            "server:\n  bind: localhost\n",
            "F:2: server.bind: expected an IP address and a port such as 127.0.0.1:8080",
        ),
        (
            "server:\n  grace: -1\n",
            "F:2: server.grace: expected seconds (5, 0.5) or a time with its unit (250ms, 2s, 5m, 1h), up to 366 days, found -1",
        ),
        (
            "server:\n  limits:\n    batch: 0\n",
            "F:3: server.limits.batch: expected a number of events from 1 to",
        ),
        (
            "server:\n  limits:\n    body_read_time: 0\n",
            "F:3: server.limits.body_read_time: expected more than zero seconds",
        ),
        (
            "server:\n  allow_unauthenticated: 'yes'\n",
            "F:2: server.allow_unauthenticated: expected true or false, found text",
        ),
        (
            "workers: { concurrency: 0 }\n",
            "F:1: workers.concurrency: expected a number of workers from 1 to 1024, found 0",
        ),
        ("workers: { batch: 0 }\n", "F:1: workers.batch: expected a number of jobs from 1 to 65536, found 0"),
        (
            "workers: { max_attempts: 1.5 }\n",
            "F:1: workers.max_attempts: expected a number of attempts from 1 to 1000, found 1.5",
        ),
        (
            "journal:\n  level: fast\n",
            "F:2: journal.level: expected fsync or buffered or none, found \"fast\"",
        ),
        ("store:\n  kind: mysql\n", "F:2: store.kind: expected embedded or redis, found \"mysql\""),
        ("log: { format: 3 }\n", "F:1: log.format: expected a word, found a number"),
        ("server: 5\n", "F:1: server: expected a mapping of fields, found a number"),
        ("server: [a]\n", "F:1: server: expected a mapping of fields, found a list"),
        ("caches: { name: a }\n", "F:1: caches: expected a list, found a mapping"),
        ("[a]\n", "F: expected a mapping of sections: server, auth,"),
        ("queue:\n  capacity: !big 5\n", "F:2: queue.capacity: a YAML tag"),
    ]);
}

#[test]
fn a_rule_with_a_wrong_or_missing_field_is_named_by_its_place_in_the_list() {
    let rules = |item: &str| {
        format!(
            "job_scheduler:\n  job_rules:\n    - {{ action_type: a, resource_type: b, topic: t }}\n    - {item}\n"
        )
    };
    let entry = |properties: &str| {
        format!(
            "job_scheduler:\n  enricher:\n    topics:\n      t:\n        - job_properties: {properties}\n"
        )
    };
    let at = "F:5: job_scheduler.enricher.topics.t[0].job_properties";
    let cases = [
        (
            rules("{ action_type: a, resource_type: b }"),
            "F:4: job_scheduler.job_rules[1].topic: is missing".to_owned(),
        ),
        (
            rules("{ action_type: 5, resource_type: b, topic: t }"),
            "F:4: job_scheduler.job_rules[1].action_type: expected text, found a number".to_owned(),
        ),
        (
            rules("just text"),
            "F:4: job_scheduler.job_rules[1]: expected a mapping of fields, found text".to_owned(),
        ),
        (
            entry("{ job_type: evict }"),
            format!("{at}.job_type: expected a job type, cache, invalidate or revoke, found \"evict\""),
        ),
        (entry("{ priority: 1 }"), format!("{at}.job_type: is missing")),
        (
            entry("{ job_type: cache, priority: 70000 }"),
            format!("{at}.priority: expected a priority from 0 to 65535, found 70000"),
        ),
        (
            entry("{ job_type: cache, superceedable: true, supersedable: true }"),
            format!("{at}: has superceedable under both of its spellings"),
        ),
        (entry("{ job_type: cache, expires: soon }"), format!("{at}.expires: expected seconds")),
        (
            "job_manager: { max_depth: 0 }".to_owned(),
            "F:1: job_manager.max_depth: expected a number of jobs that follow".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert_each(&[(&text, &expected)]);
    }
}

#[test]
fn fields_that_do_not_go_together_are_refused() {
    let hash = "ab".repeat(32);
    let keys = |second: &str| {
        format!("auth:\n  keys:\n    - {{ name: a, hash: {hash}, scopes: [read] }}\n    - {second}\n")
    };
    let other = "cd".repeat(32);
    let owned = [
        (
            keys(&format!("{{ name: a, hash: {other}, scopes: [read] }}")),
            "F:4: auth.keys[1].name: is the name of auth.keys[0] too",
        ),
        (
            keys(&format!("{{ name: b, hash: {hash}, scopes: [read] }}")),
            "F:4: auth.keys[1].hash: is the hash of auth.keys[0] too",
        ),
        (
            keys(&format!("{{ name: b, hash: {other}, scopes: [] }}")),
            "F:4: auth.keys[1].scopes: is empty: expected some of",
        ),
        (
            keys(&format!("{{ name: b, hash: {other}, scopes: [write] }}")),
            "F:4: auth.keys[1].scopes[0]: expected ingest or read or admin, found \"write\"",
        ),
        (
            keys("{ name: b, hash: abc, scopes: [read] }"),
            "F:4: auth.keys[1].hash: expected 64 hex digits, as `decache hash-key`",
        ),
    ];
    for (text, expected) in &owned {
        assert_each(&[(text, expected)]);
    }
    let posts = "resources:\n  Posts:\n    cache_keys: ['decache:{entity_id}']\n    ttl: 1\nstore: { kind: redis, url: 'redis://h' }\n";
    assert_each(&[
        ("server:\n  bind: 0.0.0.0:80\n", "F:2: server.bind: without auth.keys expected a loopback address"),
        (
            "workers:\n  backoff: { base: 2, cap: 1 }\n",
            "F:2: workers.backoff.cap: is below workers.backoff.base",
        ),
        ("log: { filter: 'a=b=c' }\n", "F:1: log.filter: expected a filter such as info"),
        ("store:\n  kind: redis\n", "F:1: store.url: is missing: expected redis://"),
        ("store:\n  kind: redis\n  url: localhost:6379\n", "F:3: store.url: expected redis://"),
        (
            "store:\n  kind: redis\n  url: redis://h\n  url_file: x\n",
            "F:4: store.url_file: stands beside url",
        ),
        (
            "store:\n  url: redis://h\n",
            "F:2: store.url: belongs to kind: redis, and this store's kind is embedded",
        ),
        (
            "store:\n  kind: redis\n  url: redis://h\n  path: d\n",
            "F:4: store.path: belongs to kind: embedded",
        ),
        (
            "store:\n  kind: redis\n  url: redis://h\n  prefix: '{x}:'\n",
            "F:4: store.prefix: expected what keys begin with",
        ),
        (posts, "F:3: resources.Posts.cache_keys[0]: begins with store.prefix \"decache:\""),
        (
            "caches:\n  - { name: a, kind: redis, url: 'redis://h' }\n  - { name: a, kind: redis, url: 'redis://h' }\n",
            "F:3: caches[1].name: is the name of caches[0] too",
        ),
        ("caches:\n  - { name: a, kind: redis }\n", "F:2: caches[0].url: is missing"),
        (
            "caches:\n  - { name: '', kind: redis, url: 'redis://h' }\n",
            "F:2: caches[0].name: expected a name",
        ),
    ]);
}

#[test]
fn a_resource_has_its_keys_and_times_in_bounds() {
    assert_each(&[
        ("resources:\n  Posts: { ttl: 1 }\n", "F:2: resources.Posts.cache_keys: is missing"),
        ("resources:\n  Posts: { cache_keys: [k] }\n", "F:2: resources.Posts.ttl: is missing"),
        ("resources:\n  Posts: { cache_keys: [], ttl: 1 }\n", "F:2: resources.Posts.cache_keys: is empty"),
        (
            "resources:\n  Posts: { cache_keys: [k, ''], ttl: 1 }\n",
            "F:2: resources.Posts.cache_keys[1]: expected a key's template",
        ),
        (
            "resources:\n  Posts: { cache_keys: [k], ttl: 0 }\n",
            "F:2: resources.Posts.ttl: expected more than zero",
        ),
        (
            "resources:\n  Posts: { cache_keys: [k], ttl: 8785h }\n",
            "F:2: resources.Posts.ttl: expected more than zero",
        ),
        (
            "resources:\n  Posts: { cache_keys: [k], ttl: 1, guard: -2 }\n",
            "F:2: resources.Posts.guard: expected seconds",
        ),
        (
            "resources:\n  Posts: { cache_keys: [k], ttl: 1, guard: 5, horizon: 5 }\n",
            "F:2: resources.Posts.horizon: is not above guard",
        ),
        (
            "resources:\n  Posts: { cache_keys: [k], ttl: 1, recheck: 1ms }\n",
            "F:2: resources.Posts.recheck: expected 10ms at least",
        ),
        ("journal:\n  replication_window: 400h\n", "F:2: journal.replication_window: expected 1h at most"),
        (
            "resources:\n  My Posts: { cache_keys: [k], ttl: 1 }\n",
            "F:2: resources.My Posts: expected a resource type",
        ),
    ]);
}

#[test]
fn keys_or_an_explicit_word_open_the_service_to_the_network() {
    let hash = "ab".repeat(32);
    let with_key = format!(
        "server: {{ bind: '0.0.0.0:80' }}\nauth: {{ keys: [ {{ name: a, hash: {hash}, scopes: [ingest] }} ] }}\n"
    );
    for text in [with_key.as_str(), "server: { bind: '[::]:80', allow_unauthenticated: true }\n"] {
        assert!(File::new(text).load(&[]).is_ok(), "{text}");
    }
}
