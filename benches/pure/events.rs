//! From the bytes of an event to its jobs.

use std::{fs, hint::black_box};

use decache::{
    clock::{Tick, Timestamp},
    config::{self, Config},
    enrich::Enrichment,
    event::{AccessToken, Event, forms},
    job::Accepted,
    resource::Resources,
    rules::RuleSet,
    secret::{HolderId, Keys, Secret, VaultEntry},
};
use divan::{Bencher, counter::ItemsCount};

const NOW: Timestamp = Timestamp(1_763_812_800_000);
const AT: Accepted = Accepted { now: NOW, tick: Tick(0) };
/// Events of an array.
const BATCH: usize = 500;
/// Rules, and as many kinds of jobs in the topic, of which the last is the one that matches.
const RULES: [usize; 5] = [1, 10, 100, 1_000, 2_000];
const READ: &str = r#"{"action_type":"Read","resource_type":"Posts","entity_id":42,"access_token":"tok-00042","user_id":"user-42","occurred_at":1763812799000,"expires_in":300,"payload":{"author_id":7}}"#;

#[divan::bench]
fn parse_one() -> usize {
    forms::json(black_box(READ.as_bytes()), BATCH, NOW).unwrap().len()
}

#[divan::bench]
fn parse_array(bencher: Bencher<'_, '_>) {
    let array = format!("[{}]", vec![READ; BATCH].join(","));
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| forms::json(black_box(array.as_bytes()), BATCH, NOW).unwrap().len());
}

#[divan::bench(args = RULES)]
fn route(bencher: Bencher<'_, '_>, rules: usize) {
    let (rules, _) = compiled(rules, "[]");
    let event = event();
    bencher.bench_local(|| rules.route(black_box(&event)).len());
}

/// Routing is part of it: nothing is enriched without.
#[divan::bench(args = RULES)]
fn route_and_enrich(bencher: Bencher<'_, '_>, rules: usize) {
    enrich(bencher, compiled(rules, "[]"));
}

/// The same where the job's key holds the payload.
#[divan::bench]
fn route_and_enrich_with_payload_in_key(bencher: Bencher<'_, '_>) {
    enrich(bencher, compiled(1, "[payload]"));
}

fn enrich(bencher: Bencher<'_, '_>, (rules, resources): (RuleSet, Resources)) {
    let event = event();
    let enrichment =
        Enrichment { rules: &rules, resources: &resources, holder_id: &|_| HolderId(*b"holder id, 16 by") };
    bencher.bench_local(|| enrichment.jobs(black_box(&event), AT).unwrap());
}

#[divan::bench]
fn holder_id(bencher: Bencher<'_, '_>) {
    let (keys, token) = (keys(), AccessToken::new("tok-0123456789abcdef0123456789abcdef"));
    bencher.bench_local(|| keys.holder_id(black_box(&token)));
}

#[divan::bench]
fn seal_for_the_vault(bencher: Bencher<'_, '_>) {
    let (keys, token) = (keys(), AccessToken::new("tok-0123456789abcdef0123456789abcdef"));
    let (holder, entry) = (keys.holder_id(&token), VaultEntry { token, user_id: Some("user-42".into()) });
    bencher.bench_local(|| keys.seal(holder, black_box(&entry)));
}

#[divan::bench]
fn open_from_the_vault(bencher: Bencher<'_, '_>) {
    let (keys, token) = (keys(), AccessToken::new("tok-0123456789abcdef0123456789abcdef"));
    let holder = keys.holder_id(&token);
    let sealed = keys.seal(holder, &VaultEntry { token, user_id: Some("user-42".into()) });
    bencher.bench_local(|| keys.open(holder, black_box(&sealed)));
}

fn keys() -> Keys {
    Keys::derive(&Secret::from_text("a secret for benches, thirty-two bytes or more").unwrap())
}

fn event() -> Event {
    Event::parse(READ.as_bytes(), NOW).unwrap()
}

fn compiled(rules: usize, key_fields: &str) -> (RuleSet, Resources) {
    let Config { resources, rules, .. } = read(&configuration(rules, key_fields));
    let resources = Resources::compile(&resources, "decache:").unwrap();
    (RuleSet::compile(&rules, &resources).unwrap(), resources)
}

/// So many rules, of which the last is the one for reads of posts.
fn configuration(rules: usize, key_fields: &str) -> String {
    let resource_type = |n: usize| if n + 1 == rules { "Posts".to_owned() } else { format!("Others{n}") };
    let numbered =
        |line: &dyn Fn(String) -> String| -> String { (0..rules).map(resource_type).map(line).collect() };
    let resources = numbered(&|name| {
        format!(
            "  {name}: {{ cache_keys: [\"/{name}/{{entity_id}}?access_token={{access_token}}\"], ttl: 300 }}\n"
        )
    });
    let routes = numbered(&|name| {
        format!("    - {{ action_type: \"^(Read)$\", resource_type: \"{name}\", topic: \"pp-cache\" }}\n")
    });
    let kinds = numbered(&|name| {
        format!(
            "        - match: {{ action_type: \"Read\", resource_type: \"{name}\" }}\n          key_fields: {key_fields}\n          job_properties: {{ superceedable: true, job_type: cache, priority: 1 }}\n"
        )
    });
    format!(
        "resources:\n{resources}job_scheduler:\n  job_rules:\n{routes}  enricher:\n    topics:\n      pp-cache:\n{kinds}"
    )
}

fn read(text: &str) -> Config {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(file.path(), text).unwrap();
    config::load(Some(file.path()), std::iter::empty()).unwrap().config
}
