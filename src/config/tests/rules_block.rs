//! The rules block of DESIGN 4: as it stands it loads; as it circulates it is answered with where and what is right.

use std::time::Duration;

use super::{loaded, problems};
use crate::{
    config::{
        Config,
        rules::{FollowUpJob, FollowUpMatch, FollowUpRule},
    },
    job::JobType,
};

const DESIGN: &str = r#"job_scheduler:
  job_rules:
    - { action_type: "^(Read)$", resource_type: "Posts", topic: "pp-cache" }
    - { action_type: "^(Update|Delete)$", resource_type: "Posts", topic: "pp-cache" }
  enricher:
    topics:
      pp-cache:
        - match: { action_type: "Read", resource_type: "Posts" }
          key_fields: ['payload', 'expires', 'due', 'priority', 'job_type']
          job_properties: { superceedable: True, job_type: 'cache', priority: 1, due: 0, expires: 5 }
        - match: { action_type: "Update|Delete", resource_type: "Posts" }
          job_properties: { superceedable: True, job_type: 'invalidate', priority: 0 }
job_manager:
  job_rules:                       # after a job is done; templates over its fields
    - match: { job_type: "invalidate", resource_type: "Posts" }
      job: { job_type: invalidate, resource_type: "Feeds", entity_id: "{payload.author_id}", priority: 1 }
"#;

const RIGHT: &str = "inside job_scheduler these three lines stand like this, the topics inside topics:\n    job_rules:\n    \
                     enricher:\n      topics:";

#[test]
fn the_rules_of_the_existing_job_service_load_as_they_stand_with_everything_else_at_its_default() {
    let mut expected = Config::default();
    expected.rules.follow_ups.push(FollowUpRule {
        matches: FollowUpMatch {
            job_type: Some("invalidate".to_owned()),
            resource_type: Some("Posts".to_owned()),
            ..FollowUpMatch::default()
        },
        job: FollowUpJob {
            job_type: JobType::Invalidate,
            resource_type: "Feeds".to_owned(),
            entity_id: "{payload.author_id}".to_owned(),
            priority: 1,
            superceedable: true,
            due: Duration::ZERO,
        },
    });
    assert_eq!(loaded(DESIGN).config, expected);
}

#[test]
fn rules_of_ones_own_replace_the_default_ones_whole() {
    let rules = loaded("job_scheduler:\n  job_rules: []\n").config.rules;
    assert!(rules.job_rules.is_empty() && rules.topics.is_empty());
}

#[test]
fn supersedable_may_be_spelt_right() {
    assert_eq!(loaded(&DESIGN.replace("superceedable", "supersedable")).config, loaded(DESIGN).config);
}

#[test]
fn fractions_of_a_second_are_times() {
    let config = loaded(&DESIGN.replace("due: 0, expires: 5", "due: 0.25, expires: 1m")).config;
    let properties = &config.rules.topics["pp-cache"][0].job_properties;
    assert_eq!(properties.due, Duration::from_millis(250));
    assert_eq!(properties.expires, Some(Duration::from_secs(60)));
}

/// As it circulates: both keys indented as siblings of the rule items. No YAML parser takes it.
#[test]
fn enricher_and_topics_among_the_rule_items_are_answered_with_the_line_and_the_three_right_lines() {
    let both = "job_scheduler:\n  job_rules:\n    - { action_type: a, resource_type: b, topic: t }\n    enricher:\n    topics:\n      t: []\n";
    let nested = "job_scheduler:\n  job_rules:\n    - action_type: a\n      resource_type: b\n      topic: t\n\n    enricher:\n      topics:\n        t: []\n";
    for (text, line) in [(both, 4), (nested, 7)] {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        let expected =
            format!("F:{line}: job_scheduler: \"enricher:\" is indented as if it were one of the rule items");
        assert!(problems[0].starts_with(&expected), "{}", problems[0]);
        assert!(problems[0].ends_with(RIGHT), "{}", problems[0]);
    }
}

#[test]
fn topics_beside_enricher_is_one_problem_with_its_line_and_the_three_right_lines() {
    let text = DESIGN.replace("    topics:\n", "  topics:\n");
    let expected =
        format!("F:6: job_scheduler.topics: stands beside enricher and belongs inside it; {RIGHT}");
    assert_eq!(problems(&text), [expected]);
}

#[test]
fn enricher_and_topics_in_other_wrong_places_are_answered_with_the_three_right_lines() {
    let rule = "    - action_type: a\n      resource_type: b\n      topic: t\n";
    let cases = [
        (
            format!("job_scheduler:\n  job_rules:\n{rule}      enricher:\n        topics: {{}}\n"),
            "F:6: job_scheduler.job_rules[0].enricher: ",
        ),
        (
            format!("job_scheduler:\n  job_rules:\n{rule}      topics: {{}}\n"),
            "F:6: job_scheduler.job_rules[0].topics: ",
        ),
        ("job_scheduler: {}\nenricher:\n  topics: {}\n".to_owned(), "F:2: enricher: "),
        ("job_rules: []\n".to_owned(), "F:1: job_rules: "),
        (
            "job_scheduler:\n  enricher:\n    pp-cache: []\n".to_owned(),
            "F:3: job_scheduler.enricher.pp-cache: ",
        ),
        ("job_scheduler:\n  enricher:\n".to_owned(), "F:2: job_scheduler.enricher.topics: is missing"),
    ];
    for (text, place) in cases {
        let problem = &problems(&text)[0];
        assert!(problem.starts_with(place), "{problem}");
        assert!(problem.ends_with(RIGHT), "{problem}");
    }
}

#[test]
fn a_problem_that_is_found_by_compiling_gets_its_line() {
    let source = loaded(DESIGN).source;
    let place = |path| source.problem(path, "d").line;
    assert_eq!(place("job_scheduler.job_rules[1].action_type"), Some(4));
    assert_eq!(place("job_scheduler.enricher.topics.pp-cache[0].key_fields[2]"), Some(9));
    assert_eq!(place("job_scheduler.enricher.topics.pp-cache[1].job_properties.expires"), Some(12));
    assert_eq!(place("job_manager.job_rules[0].job.entity_id"), Some(16));
    assert_eq!(place("resources.Posts.cache_keys[0]"), None);
}
