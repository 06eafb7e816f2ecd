use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    clock::{Tick, Timestamp},
    config::rules::{FollowUpMatch, RulesConfig},
    rules::tests::resources,
};

const AT: Accepted = Accepted { now: Timestamp(1_763_812_800_000), tick: Tick(5_000_000) };

fn rule(of: &str, resource_type: &str, entity_id: &str) -> FollowUpRule {
    FollowUpRule {
        matches: FollowUpMatch {
            job_type: Some("invalidate".to_owned()),
            topic: None,
            resource_type: Some(of.to_owned()),
        },
        job: FollowUpJob {
            job_type: JobType::Invalidate,
            resource_type: resource_type.to_owned(),
            entity_id: entity_id.to_owned(),
            priority: 1,
            superceedable: true,
            due: Duration::from_secs(2),
        },
    }
}

fn rules(follow_ups: Vec<FollowUpRule>) -> RuleSet {
    let config = RulesConfig { follow_ups, max_depth: 3, ..RulesConfig::default() };
    RuleSet::compile(&config, &resources(&["Posts", "Feeds"])).unwrap()
}

fn done(payload: &Value) -> Job {
    let (topic, entity) = (Arc::from("pp-cache"), Entity::new("Posts", "42").unwrap());
    Job {
        id: JobId::new(AT.now),
        key: JobKey::of(JobType::Invalidate, &topic, &entity).finish(),
        job_type: JobType::Invalidate,
        topic,
        entity,
        priority: 0,
        superceedable: true,
        ready_at: Tick(1),
        expires_at: None,
        occurred_at: Some(Timestamp(1_763_812_700_000)),
        generation: Some(7),
        accepted_at: Timestamp(1_763_812_701_000),
        copy: None,
        payload: payload.as_object().cloned().map(Arc::new),
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}

fn follow(rules: &RuleSet, job: &Job) -> FollowUps {
    rules.follow_ups(job, &resources(&["Posts", "Feeds"]), AT)
}

fn skipped(rules: &RuleSet, payload: &Value) -> Vec<SkipReason> {
    let follow_ups = follow(rules, &done(payload));
    assert_eq!(follow_ups.jobs, []);
    follow_ups.skipped.iter().map(|skipped| skipped.reason).collect()
}

#[test]
fn a_follow_up_is_made_of_the_jobs_fields_and_inherits_its_times() {
    let parent = done(&json!({"author_id": 7}));
    let follow_ups = follow(&rules(vec![rule("Posts", "Feeds", "{payload.author_id}")]), &parent);
    let [job] = follow_ups.jobs.as_slice() else { panic!("{follow_ups:?}") };
    assert_eq!(follow_ups.skipped, []);
    assert_eq!(job.entity, Entity::new("Feeds", "7").unwrap());
    assert_eq!((job.job_type, &*job.topic, job.priority), (JobType::Invalidate, "pp-cache", 1));
    assert_eq!((job.occurred_at, job.accepted_at), (parent.occurred_at, parent.accepted_at));
    assert_eq!((job.ready_at, job.expires_at), (Tick(7_000_000), None));
    assert_eq!((job.generation, job.depth), (None, 1));
    assert_eq!(job.payload, parent.payload);
    assert_ne!(job.id, parent.id);
}

#[test]
fn only_matching_rules_make_follow_ups() {
    let mut of_cache = rule("Posts", "Feeds", "1");
    of_cache.matches.job_type = Some("cache".to_owned());
    let mut of_topic = rule("Posts", "Feeds", "1");
    of_topic.matches.topic = Some("pp".to_owned());
    let follow_ups = follow(&rules(vec![of_cache, of_topic, rule("Feeds", "Posts", "1")]), &done(&json!({})));
    assert_eq!(follow_ups, FollowUps::default());
}

#[test]
fn places_are_filled_once_and_nested_fields_are_found() {
    let parent = done(&json!({"a": {"b": "{entity_id}"}}));
    let set = rules(vec![rule("Posts", "{resource_type}", "{{{entity_id}}}:{payload.a.b}")]);
    assert_eq!(follow(&set, &parent).jobs[0].entity, Entity::new("Posts", "{42}:{entity_id}").unwrap());
}

#[test]
fn a_follow_up_that_cannot_be_made_is_skipped_with_its_reason() {
    let by_author = rules(vec![rule("Posts", "Feeds", "{payload.author_id}")]);
    assert_eq!(skipped(&by_author, &json!({})), [SkipReason::MissingField]);
    assert_eq!(skipped(&by_author, &json!({"author_id": null})), [SkipReason::MissingField]);
    for wrong in
        [json!(1.5), json!(true), json!([7]), json!({}), json!(""), json!("a\nb"), json!("x".repeat(1025))]
    {
        assert_eq!(skipped(&by_author, &json!({"author_id": wrong})), [SkipReason::InvalidField]);
    }
    let by_type = rules(vec![rule("Posts", "{payload.type}", "1")]);
    assert_eq!(skipped(&by_type, &json!({"type": "A:B"})), [SkipReason::InvalidField]);
    assert_eq!(skipped(&by_type, &json!({"type": "Comments"})), [SkipReason::UnknownResource]);
}

#[test]
fn one_rule_that_is_skipped_does_not_keep_others_from_following() {
    let set = rules(vec![rule("Posts", "Feeds", "{payload.author_id}"), rule("Posts", "Feeds", "all")]);
    let follow_ups = follow(&set, &done(&json!({})));
    assert_eq!(follow_ups.skipped, [Skipped { rule: 0, reason: SkipReason::MissingField }]);
    assert_eq!(follow_ups.jobs.len(), 1);
}

#[test]
fn a_circle_ends_at_the_depth_that_is_allowed() {
    let circle = rules(vec![rule("Posts", "Feeds", "{entity_id}"), rule("Feeds", "Posts", "{entity_id}")]);
    let (mut job, mut made) = (done(&json!({})), 0);
    loop {
        let follow_ups = follow(&circle, &job);
        match follow_ups.jobs.into_iter().next() {
            Some(next) => (job, made) = (next, made + 1),
            None => {
                assert_eq!(follow_ups.skipped[0].reason, SkipReason::Depth);
                break;
            }
        }
    }
    assert_eq!(made, 3);
}

#[test]
fn a_follow_up_has_the_key_of_the_same_invalidation_in_its_topic() {
    let job = &follow(&rules(vec![rule("Posts", "Feeds", "7")]), &done(&json!({}))).jobs[0];
    assert_eq!(job.key, JobKey::of(JobType::Invalidate, "pp-cache", &job.entity).finish());
}

#[test]
fn follow_ups_that_differ_in_what_follows_them_do_not_supersede_each_other() {
    let rules = rules(vec![
        rule("Posts", "Feeds", "{payload.author_id}"),
        rule("Feeds", "Posts", "group-{payload.group_id}"),
    ]);
    let feed = |group: u64, note: &str| {
        let payload = json!({ "author_id": 7, "group_id": group, "note": note });
        follow(&rules, &done(&payload)).jobs.remove(0)
    };
    assert_eq!(feed(1, "a").entity, feed(2, "a").entity);
    assert_ne!(feed(1, "a").key, feed(2, "a").key, "posts of two groups follow");
    assert_eq!(feed(1, "a").key, feed(1, "b").key, "nothing that follows takes the note");
}
