use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    clock::{Tick, Timestamp},
    config::{
        resources::{ResourceConfig, ResourcesConfig},
        rules::{
            EnricherEntry, EventMatch, FollowUpJob, FollowUpMatch, FollowUpRule, JobProperties, JobRule,
            RulesConfig,
        },
    },
    event::Entity,
};

const AT: Accepted = Accepted { now: Timestamp(1_763_812_800_000), tick: Tick(5_000_000) };
const TOKEN: &str = "tok-alice";

/// Reads are cached and all else invalidates; `Posts` has keys per user, `Pages` has shared ones.
struct Setup {
    rules: RulesConfig,
    resources: ResourcesConfig,
}

impl Setup {
    fn new() -> Self {
        let entry = |action_type: &str, job_type, expires| EnricherEntry {
            matches: EventMatch { action_type: Some(action_type.to_owned()), resource_type: None },
            key_fields: vec![],
            job_properties: JobProperties {
                superceedable: true,
                job_type,
                priority: 3,
                due: Duration::from_secs(2),
                expires,
            },
        };
        let any = JobRule { action_type: ".*".into(), resource_type: ".*".into(), topic: "pp-cache".into() };
        let entries = vec![
            entry("Read", JobType::Cache, Some(Duration::from_secs(5))),
            entry(".*", JobType::Invalidate, None),
        ];
        let resource = |cache_key: &str| ResourceConfig {
            cache_keys: vec![cache_key.to_owned()],
            variant_patterns: Vec::new(),
            ttl: Duration::from_secs(300),
            guard: Duration::from_secs(2),
            horizon: Duration::from_secs(3600),
            recheck: Duration::ZERO,
            require_read_time: false,
        };
        Self {
            rules: RulesConfig {
                job_rules: vec![any],
                topics: [("pp-cache".to_owned(), entries)].into(),
                follow_ups: vec![],
                max_depth: 1,
            },
            resources: ResourcesConfig(
                [
                    ("Posts".to_owned(), resource("/posts/{entity_id}?access_token={access_token}")),
                    ("Pages".to_owned(), resource("/pages/{entity_id}")),
                ]
                .into(),
            ),
        }
    }

    fn with_key_fields(fields: &[&str]) -> Self {
        let mut setup = Self::new();
        for entry in setup.rules.topics.get_mut("pp-cache").unwrap() {
            entry.key_fields = fields.iter().map(|&field| field.to_owned()).collect();
        }
        setup
    }

    fn jobs(&self, event: &Value) -> Result<Vec<Job>, String> {
        let resources = Resources::compile(&self.resources, "decache:").unwrap();
        let rules = RuleSet::compile(&self.rules, &resources).unwrap();
        let holder_id = |token: &AccessToken| holder(token.expose());
        let enrichment = Enrichment { rules: &rules, resources: &resources, holder_id: &holder_id };
        let event = Event::parse(event.to_string().as_bytes(), AT.now).map_err(|error| error.0)?;
        enrichment.jobs(&event, AT).map_err(|error| error.0)
    }

    /// The one job of an event with these fields put over a read of post 42 by alice.
    fn job(&self, changes: &Value) -> Result<Job, String> {
        let mut event = json!({
            "action_type": "Read", "resource_type": "Posts", "entity_id": 42, "access_token": TOKEN,
            "occurred_at": 1_763_812_700_000_u64,
        });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let mut jobs = self.jobs(&event)?;
        assert_eq!(jobs.len(), 1);
        Ok(jobs.remove(0))
    }

    fn same_key(&self, one: &Value, other: &Value) -> bool {
        self.job(one).unwrap().key == self.job(other).unwrap().key
    }
}

fn holder(token: &str) -> HolderId {
    HolderId(*blake3::hash(token.as_bytes()).as_bytes().first_chunk().unwrap())
}

#[test]
fn a_read_becomes_a_cache_job_with_its_copy_and_times() {
    let job = Setup::new().job(&json!({"user_id": "alice", "generation": 7})).unwrap();
    assert_eq!(
        (job.job_type, &*job.topic, job.priority, job.superceedable),
        (JobType::Cache, "pp-cache", 3, true)
    );
    assert_eq!(job.entity, Entity::new("Posts", "42").unwrap());
    assert_eq!(job.ready_at, Tick(7_000_000));
    assert_eq!(job.expires_at, Some(Tick(12_000_000)), "it is not worth starting `expires` after it was due");
    assert_eq!(job.occurred_at, Some(Timestamp(1_763_812_700_000)));
    assert_eq!((job.generation, job.accepted_at, job.depth), (Some(7), AT.now, 0));
    let copy = job.copy.unwrap();
    assert_eq!((copy.holder, copy.token.expose()), (holder(TOKEN), TOKEN));
    assert_eq!(copy.user_id.as_deref(), Some("alice"));
    assert_eq!((copy.cache_key, copy.life), (None, Duration::from_secs(300)));
}

#[test]
fn an_invalidation_needs_no_token_and_is_dated_by_its_arrival() {
    let update = json!({"action_type": "Update", "access_token": null, "occurred_at": null});
    let job = Setup::new().job(&update).unwrap();
    assert_eq!((job.job_type, job.copy, job.expires_at), (JobType::Invalidate, None, None));
    assert_eq!(job.occurred_at, Some(AT.now));
    let dated = Setup::new().job(&json!({"action_type": "Update"})).unwrap();
    assert_eq!(dated.occurred_at, Some(Timestamp(1_763_812_700_000)));
}

#[test]
fn an_event_that_no_rule_matches_makes_no_job_whatever_its_resource() {
    let mut setup = Setup::new();
    setup.rules.job_rules[0].resource_type = "Posts".to_owned();
    let other = json!({"action_type": "Read", "resource_type": "Comments", "entity_id": 42});
    assert_eq!(setup.jobs(&other), Ok(vec![]));
}

#[test]
fn a_routed_event_of_an_unknown_resource_is_refused() {
    let error = Setup::new().job(&json!({"resource_type": "Comments"})).unwrap_err();
    assert_eq!(error, "resource_type Comments is routed by a rule, and has no entry in resources");
}

#[test]
fn the_events_life_of_a_copy_goes_before_the_resources() {
    let job = Setup::new().job(&json!({"expires_in": 1.5})).unwrap();
    assert_eq!(job.copy.unwrap().life, Duration::from_millis(1500));
}

#[test]
fn a_token_is_needed_where_a_key_is_made_of_it() {
    let error = Setup::new().job(&json!({"access_token": null})).unwrap_err();
    assert!(error.starts_with("access_token is missing"), "{error}");
    let variant =
        json!({"resource_type": "Pages", "access_token": null, "cache_key": "/pages/42?t={access_token}"});
    assert!(Setup::new().job(&variant).unwrap_err().starts_with("access_token is missing"));
}

#[test]
fn copies_without_a_token_in_their_key_have_one_shared_holder() {
    let shared =
        Setup::new().job(&json!({"resource_type": "Pages", "access_token": null})).unwrap().copy.unwrap();
    assert_eq!((shared.token.expose(), shared.holder), ("", holder("")));
    let own = Setup::new().job(&json!({"resource_type": "Pages"})).unwrap().copy.unwrap();
    assert_eq!(own.holder, holder(TOKEN));
}

#[test]
fn an_undated_read_is_taken_unless_the_resource_requires_a_time() {
    let undated = json!({"occurred_at": null});
    let mut setup = Setup::new();
    assert_eq!(setup.job(&undated).unwrap().occurred_at, None);
    setup.resources.0.get_mut("Posts").unwrap().require_read_time = true;
    assert!(setup.job(&undated).unwrap_err().starts_with("occurred_at is missing"));
    assert!(setup.job(&json!({"occurred_at": null, "generation": 7})).is_ok());
    assert!(setup.job(&json!({"occurred_at": null, "action_type": "Update"})).is_ok());
}

/// How long it has waited nobody knows then.
#[test]
fn a_read_from_further_ahead_than_clocks_may_be_apart_is_undated() {
    let began = |guard, ahead| {
        let mut setup = Setup::new();
        setup.resources.0.get_mut("Posts").unwrap().guard = Duration::from_millis(guard);
        setup.job(&json!({ "occurred_at": AT.now.0 + ahead })).unwrap().occurred_at
    };
    assert_eq!((began(2000, 2000), began(2000, 2001)), (Some(AT.now), None));
    assert_eq!((began(0, 250), began(0, 251)), (Some(AT.now), None), "an answer takes time, too");
    assert_eq!(began(5000, 5000), Some(AT.now), "another resource's clocks are closer");
    let write = Setup::new().job(&json!({ "action_type": "Update", "occurred_at": AT.now.0 + 3_600_000 }));
    assert_eq!(write.unwrap().occurred_at, Some(AT.now));
}

#[test]
fn a_variant_is_kept_and_a_foreign_key_refused_without_the_token_in_the_sentence() {
    let key = "/posts/42?page=2&access_token={access_token}";
    let job = Setup::new().job(&json!({"cache_key": key})).unwrap();
    assert_eq!(job.copy.unwrap().cache_key.as_deref(), Some(key));
    for foreign in [
        "/posts/421?access_token={access_token}",
        "decache:{Posts:42}:stale{access_token}",
        "/posts/42?page=2",
        "/posts/42?access_token=tok-alice&again={access_token}",
        "/posts/42?{tok-alice}",
    ] {
        let error = Setup::new().job(&json!({"cache_key": foreign})).unwrap_err();
        assert!(error.contains("cache_key") && !error.contains("tok-"), "{error}");
    }
}

#[test]
fn a_payload_is_kept_only_where_a_follow_up_may_ask_for_it() {
    let mut setup = Setup::new();
    let changes = |action_type| json!({"action_type": action_type, "payload": {"author_id": 7}});
    assert_eq!(setup.job(&changes("Update")).unwrap().payload, None);
    setup.rules.follow_ups.push(FollowUpRule {
        matches: FollowUpMatch { job_type: Some("invalidate".to_owned()), topic: None, resource_type: None },
        job: FollowUpJob {
            job_type: JobType::Invalidate,
            resource_type: "Pages".to_owned(),
            entity_id: "{payload.author_id}".to_owned(),
            priority: 0,
            superceedable: true,
            due: Duration::ZERO,
        },
    });
    assert_eq!(setup.job(&changes("Update")).unwrap().payload.unwrap()["author_id"], 7);
    assert_eq!(setup.job(&changes("Read")).unwrap().payload, None);
}

#[test]
fn a_cache_jobs_key_has_its_holder_and_variant_and_an_invalidations_has_not() {
    let setup = Setup::new();
    assert!(setup.same_key(&json!({}), &json!({"id": "2", "payload": {"a": 1}})));
    assert!(!setup.same_key(&json!({}), &json!({"access_token": "tok-bob"})));
    assert!(!setup.same_key(&json!({}), &json!({"cache_key": "/posts/42/x?t={access_token}"})));
    assert!(!setup.same_key(&json!({}), &json!({"entity_id": 43})));
    assert!(!setup.same_key(&json!({}), &json!({"action_type": "Update"})));
    let update = |token| json!({"action_type": "Update", "access_token": token});
    assert!(setup.same_key(&update(Some(TOKEN)), &update(None)));
}

#[test]
fn payload_as_a_key_field_is_the_event_without_its_times() {
    let setup = Setup::with_key_fields(&["payload", "expires", "due", "priority", "job_type"]);
    let one = json!({"id": "1", "payload": {"a": 1, "b": 2}});
    let later = json!({"id": "2", "payload": {"b": 2, "a": 1}, "occurred_at": null, "generation": 9, "expires_in": 7});
    assert!(setup.same_key(&one, &later));
    for other in [
        json!({"payload": {"a": 1, "b": 3}}),
        json!({"payload": {"a": 1, "b": 2}, "user_id": "alice"}),
        json!({"payload": {"a": 1, "b": 2}, "access_token": "tok-bob"}),
    ] {
        assert!(!setup.same_key(&one, &other), "{other}");
    }
    let write = |action_type| json!({"action_type": action_type});
    assert!(!setup.same_key(&write("Update"), &write("Delete")), "one job type, two action types");
    assert!(Setup::new().same_key(&write("Update"), &write("Delete")));
}

#[test]
fn a_payload_path_adds_just_that_field() {
    let setup = Setup::with_key_fields(&["payload.author.id"]);
    let payload = |author: Value, title| json!({"action_type": "Update", "payload": {"author": author, "title": title}});
    assert!(setup.same_key(&payload(json!({"id": 7}), "a"), &payload(json!({"id": 7}), "b")));
    assert!(!setup.same_key(&payload(json!({"id": 7}), "a"), &payload(json!({"id": 8}), "a")));
    assert!(!setup.same_key(&payload(json!({"id": "7"}), "a"), &payload(json!({"id": 7}), "a")));
    assert!(!setup.same_key(&payload(json!({}), "a"), &payload(json!({"id": ""}), "a")));
}

#[test]
fn no_job_prints_a_token() {
    let job = Setup::new().job(&json!({"payload": {"access_token": TOKEN}})).unwrap();
    assert!(!format!("{job:?}").contains("tok-"));
}

fn with_logout() -> Setup {
    let mut setup = Setup::new();
    let entries = setup.rules.topics.get_mut("pp-cache").unwrap();
    let mut logout = entries[1].clone();
    logout.matches.action_type = Some("Logout".to_owned());
    logout.job_properties.job_type = JobType::Revoke;
    entries.insert(0, logout);
    setup
}

#[test]
fn a_revocation_is_about_the_tokens_holder_whatever_the_event_is_about() {
    let setup = with_logout();
    let logout =
        json!({"action_type": "Logout", "resource_type": "Sessions", "entity_id": 1, "occurred_at": null});
    let job = setup.job(&logout).unwrap();
    assert_eq!((job.job_type, job.holder()), (JobType::Revoke, Some(holder(TOKEN))));
    assert_eq!((job.copy.clone(), job.expires_at, job.occurred_at), (None, None, Some(AT.now)));
    assert!(!format!("{job:?}").contains(TOKEN));
    let with = |field: &str, value: Value| {
        let mut event = logout.clone();
        event[field] = value;
        event
    };
    assert!(setup.same_key(&logout, &with("entity_id", json!(2))), "one holder, two sessions");
    assert!(!setup.same_key(&logout, &with("access_token", json!("tok-bob"))));
    let error = setup.job(&with("access_token", Value::Null)).unwrap_err();
    assert!(error.starts_with("access_token is missing: a rule makes a revoke job of this event"), "{error}");
}

#[test]
fn only_a_revocation_is_of_a_holder() {
    let read = Setup::new().job(&json!({})).unwrap();
    assert_eq!(read.holder(), None);
    let entity = Job::of_holder(holder(TOKEN));
    assert_eq!(Job { entity: entity.clone(), ..read.clone() }.holder(), None);
    assert_eq!(Job { entity, job_type: JobType::Revoke, ..read.clone() }.holder(), Some(holder(TOKEN)));
    assert_eq!(Job { job_type: JobType::Revoke, ..read }.holder(), None);
}
