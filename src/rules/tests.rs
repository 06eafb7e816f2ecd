use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    clock::Timestamp,
    config::{
        resources::{ResourceConfig, ResourcesConfig},
        rules::{EnricherEntry, EventMatch, FollowUpJob, FollowUpMatch, FollowUpRule, JobRule, RulesConfig},
    },
    resource::Resources,
};

pub(super) fn resources(types: &[&str]) -> Resources {
    let config = |name: &&str| {
        let config = ResourceConfig {
            cache_keys: vec![format!("/{name}/{{entity_id}}?t={{access_token}}")],
            variant_patterns: Vec::new(),
            ttl: Duration::from_secs(300),
            guard: Duration::from_secs(2),
            horizon: Duration::from_secs(3600),
            recheck: Duration::ZERO,
            require_read_time: false,
        };
        ((*name).to_owned(), config)
    };
    Resources::compile(&ResourcesConfig(types.iter().map(config).collect()), "decache:").unwrap()
}

fn rule(action_type: &str, resource_type: &str, topic: &str) -> JobRule {
    JobRule { action_type: action_type.into(), resource_type: resource_type.into(), topic: topic.into() }
}

fn entry(action_type: Option<&str>, resource_type: Option<&str>, job_type: JobType) -> EnricherEntry {
    EnricherEntry {
        matches: EventMatch {
            action_type: action_type.map(str::to_owned),
            resource_type: resource_type.map(str::to_owned),
        },
        key_fields: vec![],
        job_properties: JobProperties {
            superceedable: true,
            job_type,
            priority: 0,
            due: Duration::ZERO,
            expires: None,
        },
    }
}

/// The rules of the contract's own example.
fn posts() -> RulesConfig {
    let reads = entry(Some("Read"), Some("Posts"), JobType::Cache);
    let writes = entry(Some("Update|Delete"), Some("Posts"), JobType::Invalidate);
    RulesConfig {
        job_rules: vec![
            rule("^(Read)$", "Posts", "pp-cache"),
            rule("^(Update|Delete)$", "Posts", "pp-cache"),
        ],
        topics: [("pp-cache".to_owned(), vec![reads, writes])].into(),
        follow_ups: vec![],
        max_depth: 4,
    }
}

fn event(action_type: &str, resource_type: &str) -> Event {
    let json =
        serde_json::json!({"action_type": action_type, "resource_type": resource_type, "entity_id": 42});
    Event::parse(json.to_string().as_bytes(), Timestamp(1_763_812_800_000)).unwrap()
}

/// The job types and topics that an event is routed to.
fn routed(config: &RulesConfig, action_type: &str, resource_type: &str) -> Vec<(String, JobType)> {
    let rules = RuleSet::compile(config, &resources(&["Posts"])).unwrap();
    let routes = rules.route(&event(action_type, resource_type));
    routes.iter().map(|route| (route.topic.to_string(), route.enricher.properties.job_type)).collect()
}

fn problems(config: &RulesConfig) -> Vec<String> {
    let problems = RuleSet::compile(config, &resources(&["Posts"])).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

fn warnings(config: &RulesConfig) -> Vec<String> {
    let rules = RuleSet::compile(config, &resources(&["Posts"])).unwrap();
    rules.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn events_go_where_rules_send_them_and_others_nowhere() {
    let posts = posts();
    assert_eq!(warnings(&posts), [""; 0]);
    assert_eq!(routed(&posts, "Read", "Posts"), [("pp-cache".to_owned(), JobType::Cache)]);
    assert_eq!(routed(&posts, "Delete", "Posts"), [("pp-cache".to_owned(), JobType::Invalidate)]);
    for (action_type, resource_type) in
        [("Read", "BlogPosts"), ("Reads", "Posts"), ("UpdateDelete", "Posts"), ("read", "Posts")]
    {
        assert_eq!(routed(&posts, action_type, resource_type), [], "{action_type} {resource_type}");
    }
}

#[test]
fn every_matching_rule_routes_and_a_topic_has_one_job() {
    let mut config = posts();
    config.job_rules.insert(0, rule(".*", "Posts", "audit"));
    config.job_rules.push(rule("Read", ".*", "pp-cache"));
    config.topics.insert("audit".to_owned(), vec![entry(None, None, JobType::Invalidate)]);
    assert_eq!(
        routed(&config, "Read", "Posts"),
        [("audit".to_owned(), JobType::Invalidate), ("pp-cache".to_owned(), JobType::Cache)]
    );
}

#[test]
fn in_a_topic_the_first_match_wins() {
    let mut config = posts();
    config.topics.get_mut("pp-cache").unwrap().insert(0, entry(Some("R.*"), None, JobType::Invalidate));
    assert_eq!(routed(&config, "Read", "Posts"), [("pp-cache".to_owned(), JobType::Invalidate)]);
}

#[test]
fn every_mistake_is_told_with_its_path() {
    let mut config = posts();
    config.job_rules[0].action_type = "^(Read".to_owned();
    config.job_rules[1].topic = "pp-cash".to_owned();
    config.job_rules.push(rule("^$", "A:B|C D", "pp-cache"));
    let entries = config.topics.get_mut("pp-cache").unwrap();
    entries[0].matches.resource_type = Some(r"\w{1000}".to_owned());
    entries[0].key_fields = vec!["payload".to_owned(), "author_id".to_owned()];
    entries[1].job_properties.expires = Some(Duration::from_secs(5));
    config.topics.insert("empty".to_owned(), vec![]);
    let problems = problems(&config);
    for (problem, expected) in problems.iter().zip([
        "job_scheduler.enricher.topics.empty: a topic needs at least one entry",
        "job_scheduler.enricher.topics.pp-cache[0].match.resource_type: the pattern is too large",
        "job_scheduler.enricher.topics.pp-cache[0].key_fields[1]: `author_id` is no field of a job",
        "job_scheduler.enricher.topics.pp-cache[1].job_properties.expires: only a job of type cache can expire",
        "job_scheduler.job_rules[0].action_type: the pattern does not compile: unclosed group",
        "job_scheduler.job_rules[1].topic: topic `pp-cash` has no enricher: add job_scheduler.enricher.topics.pp-cash",
        "job_scheduler.job_rules[2].action_type: `^$` can never match",
        "job_scheduler.job_rules[2].resource_type: `A:B|C D` can never match",
    ]) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
    assert_eq!(problems.len(), 8);
}

#[test]
fn what_comes_to_nothing_is_warned_of() {
    let mut config = posts();
    config.job_rules.push(rule("Create|Read", "Comments", "pp-cache"));
    config.topics.insert("unused".to_owned(), vec![entry(None, None, JobType::Invalidate)]);
    config.topics.get_mut("pp-cache").unwrap().push(entry(Some("Delete"), Some("Posts"), JobType::Cache));
    let warnings = warnings(&config);
    assert_eq!(
        warnings,
        [
            "job_scheduler.job_rules[2]: no match of topic `pp-cache` takes what this rule sends there: its events will \
             be ignored",
            "job_scheduler.job_rules[2].resource_type: `Comments` has no entry in resources: its events will be refused",
            "job_scheduler.enricher.topics.pp-cache[2].match: entry [1] takes everything that this one matches: the \
             first match wins",
            "job_scheduler.enricher.topics.unused: no rule of job_scheduler.job_rules sends events to this topic",
        ]
    );
}

#[test]
fn what_only_revokes_needs_no_entry_in_resources() {
    let mut config = posts();
    config.job_rules.push(rule("Logout", "Sessions", "pp-cache"));
    config.topics.get_mut("pp-cache").unwrap().push(entry(Some("Logout"), None, JobType::Revoke));
    assert_eq!(warnings(&config), [""; 0]);
    config.topics.get_mut("pp-cache").unwrap().push(entry(Some("Logout"), None, JobType::Invalidate));
    assert!(warnings(&config)[0].contains("`Sessions` has no entry in resources"));
}

#[test]
fn patterns_that_cannot_be_listed_are_not_warned_of() {
    let mut config = posts();
    config.job_rules = vec![rule(".+", "[A-Z]+.*", "pp-cache")];
    config.topics.get_mut("pp-cache").unwrap().push(entry(Some("[a-z]+"), None, JobType::Invalidate));
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn follow_ups_are_checked_too() {
    let follow_up = |matches: FollowUpMatch, job_type, resource_type: &str, entity_id: &str| FollowUpRule {
        matches,
        job: FollowUpJob {
            job_type,
            resource_type: resource_type.to_owned(),
            entity_id: entity_id.to_owned(),
            priority: 0,
            superceedable: true,
            due: Duration::ZERO,
        },
    };
    let any = FollowUpMatch::default;
    let unknown = FollowUpMatch { job_type: Some("invalid".to_owned()), ..any() };
    let config = RulesConfig {
        follow_ups: vec![
            follow_up(unknown, JobType::Invalidate, "Posts", "{entity_id}"),
            follow_up(any(), JobType::Cache, "A:B", "{author_id}"),
            follow_up(any(), JobType::Invalidate, "{payload}", ""),
            follow_up(
                FollowUpMatch { topic: Some("(".to_owned()), ..any() },
                JobType::Invalidate,
                "Posts",
                "1",
            ),
        ],
        ..posts()
    };
    let problems = problems(&config);
    for (problem, expected) in problems.iter().zip([
        "job_manager.job_rules[0].match.job_type: `invalid` matches no job type: there are cache, invalidate",
        "job_manager.job_rules[1].job.job_type: a follow-up has no user",
        "job_manager.job_rules[1].job.resource_type: resource_type must be",
        "job_manager.job_rules[1].job.entity_id: unknown placeholder {author_id}: the known ones are {entity_id}",
        "job_manager.job_rules[2].job.resource_type: unknown placeholder {payload}",
        "job_manager.job_rules[2].job.entity_id: entity_id must not be empty",
        "job_manager.job_rules[3].match.topic: the pattern does not compile",
    ]) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
    assert_eq!(problems.len(), 7);

    let config =
        RulesConfig { follow_ups: vec![follow_up(any(), JobType::Invalidate, "Feeds", "1")], ..posts() };
    assert_eq!(
        warnings(&config),
        [
            "job_manager.job_rules[0].job.resource_type: `Feeds` has no entry in resources: the follow-up will be skipped"
        ]
    );
}

#[test]
fn a_follow_up_of_cache_jobs_alone_is_warned_of() {
    let follow_up = |job_type: &str| FollowUpRule {
        matches: FollowUpMatch { job_type: Some(job_type.to_owned()), ..FollowUpMatch::default() },
        job: FollowUpJob {
            job_type: JobType::Invalidate,
            resource_type: "Posts".to_owned(),
            entity_id: "1".to_owned(),
            priority: 0,
            superceedable: true,
            due: Duration::ZERO,
        },
    };
    let config = RulesConfig { follow_ups: vec![follow_up("cache|revoke"), follow_up("cache")], ..posts() };
    let expected = "job_manager.job_rules[1].match.job_type: nothing follows a cache job: this rule never comes to anything";
    assert_eq!(warnings(&config), [expected]);
    let rules = RuleSet::compile(&config, &resources(&["Posts"])).unwrap();
    assert!(!rules.has_follow_up(JobType::Cache, "pp-cache", "Posts"));
    assert!(rules.has_follow_up(JobType::Revoke, "pp-cache", "Posts"));
}

#[test]
fn no_rules_at_all_ignore_every_event() {
    let config = RulesConfig { job_rules: vec![], topics: BTreeMap::new(), follow_ups: vec![], max_depth: 0 };
    assert_eq!(routed(&config, "Read", "Posts"), []);
}
