//! Mistakes in how a file is written: its line, its path, and what would be right.

use super::{File, assert_each, problems};

/// Each text, and how its only problem begins.
#[test]
fn a_key_that_stands_twice_is_refused_at_every_level() {
    let twice = "stands here a second time: keep one of the two";
    let cases = [
        ("queue: {}\nlog: {}\nqueue: {}\n", "F:3: queue"),
        ("queue:\n  capacity: 1\n  finished: 2\n  capacity: 3\n", "F:4: queue.capacity"),
        (
            "resources:\n  Posts: { cache_keys: [k], ttl: 1 }\n  Posts: { cache_keys: [k], ttl: 1 }\n",
            "F:3: resources.Posts",
        ),
        (
            "job_scheduler:\n  job_rules:\n    - topic: a\n      topic: a\n",
            "F:4: job_scheduler.job_rules[0].topic",
        ),
        (
            "job_scheduler:\n  enricher:\n    topics:\n      a: []\n      a: []\n",
            "F:5: job_scheduler.enricher.topics.a",
        ),
    ];
    for (text, place) in cases {
        assert_eq!(problems(text), [format!("{place}: {twice}")]);
    }
}

#[test]
fn an_unknown_field_is_answered_with_the_closest_known_one() {
    assert_each(&[
        ("server:\n  bnd: x\n", "F:2: server.bnd: is not a known field: did you mean \"bind\"?"),
        ("queue:\n  Capacity: 1\n", "F:2: queue.Capacity: is not a known field: did you mean \"capacity\"?"),
        ("worker: {}\n", "F:1: worker: is not a known field: did you mean \"workers\"?"),
        ("my_server: {}\n", "F:1: my_server: is not a known field: expected server, auth, secret, store,"),
        (
            "log:\n  format: json\n  colour: true\n",
            "F:3: log.colour: is not a known field: expected format, filter",
        ),
        (
            "job_manager:\n  job_rules:\n    - job: { job_type: cache, resource_type: a, entity_id: b, pirority: 1 }\n",
            "F:3: job_manager.job_rules[0].job.pirority: is not a known field: did you mean \"priority\"?",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_cache_of_any_kind_is_told_with_its_place() {
    let cache = |rest: &str| format!("caches:\n  - {{ name: a, {rest} }}\n");
    let cases = [
        ("kind: cdn", "kind: expected redis, http or pubsub, found \"cdn\""),
        ("kind: http", "url: is missing: expected http://host[:port]{key}"),
        ("kind: http, url: 'http://{entity_id}/'", "url: expected http://host[:port]/path"),
        (
            "kind: http, url: 'http://h{key}', key_prefix: x",
            "key_prefix: belongs to a cache of kind redis or pubsub",
        ),
        (
            "kind: http, url: 'http://h{key}', headers: { Content-Length: '1' }",
            "headers.Content-Length: is for the connection itself to say",
        ),
        (
            "kind: http, url: 'http://h{key}', headers: { x: '{nothing}' }",
            "headers.x: unknown placeholder {nothing}",
        ),
        (
            "kind: http, url: 'http://h{key}', deleted_on: [302]",
            "deleted_on: expected statuses from 200 to 299",
        ),
        (
            "kind: http, url: 'http://h{key}', purge_all: { url: 'http://h{key}' }",
            "purge_all: is about everything",
        ),
        ("kind: http, url: 'http://h{key}', ca_file: x", "ca_file: belongs to an https:// URL"),
        ("kind: http, url: 'http://h{key}', health: 'x'", "health: expected http://host"),
        ("kind: pubsub", "url: is missing: expected redis://"),
        ("kind: pubsub, url: 'redis://h', channel: ''", "channel: expected a channel's name"),
        ("kind: redis, url: 'redis://h', method: PURGE", "method: belongs to a cache of kind http"),
    ];
    for (rest, detail) in cases {
        let (text, expected) = (cache(rest), format!("F:2: caches[0].{detail}"));
        assert_each(&[(&*text, &*expected)]);
    }
}

#[test]
fn one_cache_may_not_be_owed_all_of_the_queue() {
    let with = |queue: &str, owed: &str| {
        format!("queue: {{ {queue} }}\ncaches:\n  - {{ name: a, kind: redis, url: 'redis://h', {owed} }}\n")
    };
    let (too_many, none) = (with("capacity: 100", "owed: 51"), with("", "owed: 0"));
    assert_each(&[
        (&too_many, "F:3: caches[0].owed: expected half of queue.capacity at most: 50 jobs"),
        (&none, "F:3: caches[0].owed: expected a number of jobs from 1 to"),
    ]);
    for (text, owed) in
        [(with("", ""), 100_000), (with("capacity: 100", ""), 50), (with("capacity: 100", "owed: 7"), 7)]
    {
        assert_eq!(super::loaded(&text).config.caches[0].owed, owed, "{text}");
    }
}

#[test]
fn text_that_is_no_yaml_is_answered_with_its_line() {
    assert_each(&[
        ("server:\n  bind: [1\nqueue: {}\n", "F:3: not valid YAML: "),
        ("server:\n\tbind: x\n", "F:2: not valid YAML: "),
        ("server: {}\n---\nserver: {}\n", "F:3: not valid YAML: a second document begins here"),
        ("  server: {}\nqueue: {}\n", "F:2: not valid YAML: "),
        ("queue:\n  5: x\n", "F:2: not valid YAML: "),
    ]);
}

#[test]
fn several_mistakes_are_all_told_each_once() {
    let text = "queue:\n  capacity: many\n  max_byte: 5\n  finished: -1\n\
                job_scheduler:\n  job_rules:\n    - { action_type: 1, resource_type: 2, topic: t }\n    \
                - { action_type: a, resource_type: b, topic: t }\n    - { action_type: a, resource_type: b, topc: t }\nlogs: {}\n";
    let mut places: Vec<_> =
        problems(text).iter().map(|problem| problem.splitn(4, ':').take(3).collect::<String>()).collect();
    places.sort();
    let expected = [
        "F10 logs",
        "F2 queue.capacity",
        "F3 queue.max_byte",
        "F4 queue.finished",
        "F7 job_scheduler.job_rules[0].action_type",
        "F7 job_scheduler.job_rules[0].resource_type",
        "F9 job_scheduler.job_rules[2].topc",
    ];
    assert_eq!(places, expected);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let file = File::new("");
    std::fs::remove_file(file.path()).unwrap();
    assert!(file.problems(&[])[0].starts_with("F: cannot read the configuration: No such file"));
}

/// Whatever is left of a file, there is an answer: a configuration, or problems with a place.
#[test]
fn a_file_that_lost_a_line_or_its_end_is_answered() {
    let lines: Vec<_> = include_str!("../../../config/default.yaml").lines().collect();
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().join("\n");
        for text in [lines[..at].join("\n"), without] {
            if let Err(error) = File::new(&text).load(&[]) {
                assert!(error.problems.iter().all(|problem| problem.line.is_some()), "line {at}: {error}");
            }
        }
    }
}

#[test]
fn where_very_many_things_are_wrong_all_are_told_and_the_first_with_their_lines() {
    let text: String = (0..200).map(|number| format!("unknown{number}: 1\n")).collect();
    let problems = problems(&text);
    assert_eq!(problems.len(), 200);
    let with_line =
        |told: &String| told.strip_prefix("F:").is_some_and(|it| it.starts_with(char::is_numeric));
    assert!(problems[..50].iter().all(with_line), "{problems:?}");
    assert!(!problems[50..].iter().any(with_line), "each line costs a reading of the whole text");
}
