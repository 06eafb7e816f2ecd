use serde_json::{Value, json};

use super::*;
use crate::{
    clock::{Tick, Timestamp},
    config::Config,
    resource::Resources,
    rules::RuleSet,
    secret::HolderId,
};

const AT: Accepted = Accepted { now: Timestamp(1_763_812_800_000), tick: Tick(5_000_000) };

const POSTS: &str = r#"
resources:
  Posts: { cache_keys: ["/posts/{entity_id}?access_token={access_token}"], ttl: 300 }
  Feeds: { cache_keys: ["/feeds/{entity_id}?access_token={access_token}"], ttl: 60 }
job_scheduler:
  job_rules:
    - { action_type: "^(Read)$", resource_type: "Posts", topic: "pp-cache" }
    - { action_type: "^(Update|Delete)$", resource_type: "Posts", topic: "pp-cache" }
    - { action_type: "Logout", resource_type: ".*", topic: "logout" }
    - { action_type: "Like", resource_type: "Posts", topic: "logout" }
  enricher:
    topics:
      pp-cache:
        - match: { action_type: "Read", resource_type: "Posts" }
          key_fields: ['payload', 'expires', 'job_type']
          job_properties: { superceedable: True, job_type: 'cache', priority: 1, due: 0.5, expires: 5 }
        - match: { action_type: "Update|Delete", resource_type: "Posts" }
          job_properties: { superceedable: True, job_type: 'invalidate', priority: 0 }
        - job_properties: { job_type: 'invalidate', priority: 3 }
      logout:
        - match: { action_type: "Logout" }
          job_properties: { job_type: 'revoke' }
job_manager:
  max_depth: 3
  job_rules:
    - match: { job_type: "invalidate", resource_type: "Posts" }
      job: { job_type: invalidate, resource_type: "Feeds", entity_id: "{payload.author_id}", priority: 1, due: 2 }
    - match: { resource_type: "Feeds" }
      job: { job_type: invalidate, resource_type: "Posts", entity_id: "{payload.pinned}" }
"#;

fn explain(config: &str, knows_secret: bool, events: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decache.yaml");
    std::fs::write(&file, config).unwrap();
    let Config { resources, rules, .. } =
        crate::config::load(Some(&file), std::iter::empty()).unwrap().config;
    let resources = Resources::compile(&resources, "").unwrap();
    let rules = RuleSet::compile(&rules, &resources).unwrap();
    let holder_id = |_: &_| HolderId([7; 16]);
    let enrichment = Enrichment { rules: &rules, resources: &resources, holder_id: &holder_id };
    let events = crate::event::forms::json(events.to_string().as_bytes(), 10, AT.now).unwrap();
    let jobs: Vec<_> = events
        .iter()
        .flatten()
        .filter_map(|event| enrichment.jobs(event, AT).ok())
        .flatten()
        .map(|job| format!("{:032x}", job.key.0))
        .collect();
    let explained = Explainer { enrichment, at: AT, knows_secret }.explain(events);
    let text = explained.iter().flat_map(lines).collect::<Vec<_>>().join("\n");
    let told = serde_json::to_value(&explained).unwrap();
    assert!(!text.contains("tok-") && !told.to_string().contains("tok-"), "{text} {told}");
    let keys = told.as_array().unwrap().iter().flat_map(|event| event["jobs"].as_array().unwrap().clone());
    let keys: Vec<_> = keys.filter_map(|job| job["key"].as_str().map(str::to_owned)).collect();
    assert!(!knows_secret || keys == jobs, "the keys are those of the real jobs");
    json!({ "events": told, "text": text })
}

fn of(event: &Value) -> Value {
    let mut told = explain(POSTS, true, event);
    told["events"][0].take()
}

fn event(action_type: &str) -> Value {
    json!({
        "id": "e-1", "action_type": action_type, "resource_type": "Posts", "entity_id": 42, "access_token": "tok-alice",
        "payload": { "author_id": 7 },
    })
}

#[test]
fn every_rule_says_whether_it_matches_and_which_field_does_not() {
    let told = of(&event("Read"));
    assert_eq!(
        (&told["event_id"], &told["outcome"], &told["entity_id"]),
        (&json!("e-1"), &json!("accepted"), &json!("42"))
    );
    let of_rules: Vec<_> =
        told["rules"].as_array().unwrap().iter().map(|it| (&it["matched"], &it["mismatches"])).collect();
    let no = |fields: Value| (json!(false), fields);
    for (index, (matched, mismatches)) in [
        (json!(true), json!([])),
        no(json!(["action_type"])),
        no(json!(["action_type"])),
        no(json!(["action_type"])),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(of_rules[index], (matched, mismatches), "{index}");
    }
    assert_eq!(told["rules"][0]["action_type"], "^(Read)$");
    let other = of(&json!({ "action_type": "Write", "resource_type": "Blogs", "entity_id": 1 }));
    assert_eq!(other["rules"][0]["mismatches"], json!(["action_type", "resource_type"]));
    assert_eq!(other["rules"][2]["mismatches"], json!(["action_type"]));
}

#[test]
fn a_topic_says_which_entry_wins_why_earlier_ones_do_not_and_that_later_ones_are_not_tried() {
    let told = of(&event("Update"));
    let topic = &told["topics"][0];
    assert_eq!((&topic["topic"], &topic["won"]), (&json!("pp-cache"), &json!(1)));
    let outcomes: Vec<_> = topic["matches"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["no_match", "won", "not_tried"]);
    assert_eq!(topic["matches"][0]["mismatches"], json!(["action_type"]));
    assert_eq!(topic["matches"][2]["action_type"], Value::Null);
}

#[test]
fn a_job_is_told_as_it_would_be_queued_with_the_tokens_place_left_open() {
    let told = of(&event("Read"));
    let job = &told["jobs"][0];
    for (field, expected) in [
        ("job_type", json!("cache")),
        ("topic", json!("pp-cache")),
        ("priority", json!(1)),
        ("due", json!(0.5)),
        ("expires", json!(5.0)),
        ("superceedable", json!(true)),
        ("life", json!(300.0)),
        ("holder", json!("07".repeat(16))),
        ("cache_keys", json!(["/posts/42?access_token={access_token}"])),
        ("follow_ups", json!([])),
        (
            "key_fields",
            json!([
                "job_type",
                "topic",
                "resource_type",
                "entity_id",
                "holder",
                "cache_key",
                "payload",
                "expires"
            ]),
        ),
    ] {
        assert_eq!(job[field], expected, "{field}");
    }
    let mut variant = event("Read");
    variant["cache_key"] = json!("/posts/42?page=2&access_token={access_token}");
    assert_eq!(
        of(&variant)["jobs"][0]["cache_keys"],
        json!(["/posts/42?page=2&access_token={access_token}"])
    );
    let logout = of(&event("Logout"));
    assert_eq!(
        (&logout["jobs"][0]["resource_type"], &logout["jobs"][0]["cache_keys"]),
        (&json!("holder"), &json!([]))
    );
}

#[test]
fn what_would_follow_is_told_to_its_end_with_what_is_skipped_for_want_of_a_field() {
    let told = of(&event("Update"));
    let [feeds, posts] = told["jobs"][0]["follow_ups"].as_array().unwrap().as_slice() else {
        panic!("{told}")
    };
    assert_eq!(
        (&feeds["depth"], &feeds["job"]["entity_id"], &feeds["job"]["due"]),
        (&json!(1), &json!("7"), &json!(2.0))
    );
    assert_eq!((&posts["matched"], &posts["mismatches"]), (&json!(false), &json!(["resource_type"])));
    let skipped = &feeds["job"]["follow_ups"][1];
    assert_eq!(
        (&skipped["skipped"], &skipped["missing"]),
        (&json!("missing_field"), &json!(["payload.pinned"]))
    );
    assert_eq!(told["jobs"][0]["key_fields"].as_array().unwrap().last().unwrap(), "payload.pinned");
}

#[test]
fn rules_that_go_in_a_circle_are_told_down_to_the_depth_that_cuts_them_off() {
    let mut circle = event("Update");
    circle["payload"]["pinned"] = json!("42");
    let mut at = of(&circle)["jobs"][0].take();
    let mut depth = 0;
    loop {
        let next =
            at["follow_ups"].as_array().unwrap().iter().find(|it| it["matched"] == true).cloned().unwrap();
        match next.get("job") {
            Some(job) => (at, depth) = (job.clone(), depth + 1),
            None => break assert_eq!(next["skipped"], "depth"),
        }
    }
    assert_eq!(depth, 3);
}

#[test]
fn very_many_follow_ups_are_cut_short_and_it_says_so() {
    let rule = "    - { match: { resource_type: Posts }, job: { job_type: invalidate, resource_type: Posts, entity_id: 1 } }\n";
    let (before, _) = POSTS.split_once("  job_rules:\n    - match: { job_type").unwrap();
    let told = explain(&format!("{before}  job_rules:\n{}", rule.repeat(12)), true, &event("Update"));
    assert!(told["text"].as_str().unwrap().contains("(more follow-ups are left out)"), "{told}");
    assert!(told.to_string().matches("\"depth\":").count() <= 100);
}

#[test]
fn an_event_that_makes_no_job_says_why() {
    let detail = |event: &Value| of(event)["detail"].as_str().unwrap().to_owned();
    let ignored = of(&event("Share"));
    assert_eq!((&ignored["outcome"], &ignored["jobs"]), (&json!("ignored"), &json!([])));
    assert!(detail(&event("Share")).starts_with("none of the 4 rules matches"));
    assert!(detail(&event("Like")).starts_with("no match takes it in any topic that it goes to (logout)"));
    let none = explain("job_scheduler: { job_rules: [], enricher: { topics: {} } }", true, &event("Read"));
    assert!(none["events"][0]["detail"].as_str().unwrap().starts_with("there are no rules"), "{none}");
    let mut no_token = event("Read");
    no_token.as_object_mut().unwrap().remove("access_token");
    let rejected = of(&no_token);
    assert_eq!((&rejected["outcome"], &rejected["topics"][0]["won"]), (&json!("rejected"), &json!(0)));
    assert!(rejected["detail"].as_str().unwrap().starts_with("access_token is missing"));
    let unreadable = of(&json!([{ "tok-alice": 1 }]));
    assert_eq!((&unreadable["outcome"], unreadable.get("action_type")), (&json!("rejected"), None));
}

#[test]
fn without_the_secret_holder_ids_and_keys_are_left_out() {
    let told = explain(POSTS, false, &json!([event("Read"), event("Logout")]));
    let (read, logout) = (&told["events"][0]["jobs"][0], &told["events"][1]["jobs"][0]);
    assert_eq!(
        (&read["holder"], &read["key"], &logout["entity_id"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(told["text"].as_str().unwrap().contains("(known with the secret)"));
}

#[test]
fn the_table_has_its_columns_one_below_the_other() {
    let text = explain(POSTS, true, &event("Update"))["text"].as_str().unwrap().to_owned();
    let head: Vec<_> = text.lines().take(5).collect();
    assert_eq!(
        head,
        [
            "event 0: Update Posts 42",
            "  accepted: jobs: 1",
            "  job_scheduler.job_rules",
            "    [0]  action_type ^(Read)$           resource_type Posts  -> pp-cache  no: action_type does not match",
            "    [1]  action_type ^(Update|Delete)$  resource_type Posts  -> pp-cache  matches",
        ]
    );
    for expected in [
        "  job_scheduler.enricher.topics.pp-cache",
        "  job: invalidate Posts 42, in pp-cache",
        "    copies         /posts/42?access_token={access_token}",
        "    job_manager.job_rules[0], depth 1: invalidate Feeds 7, in pp-cache",
        "      job_manager.job_rules[1]: skipped, missing_field payload.pinned",
        "    job_manager.job_rules[1]: no: resource_type does not match",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
    }
}
