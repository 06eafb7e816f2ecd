//! Regular expressions that are bombs: refused when the configuration is read, or harmless when they run.

use std::process::Command;

use serde_json::json;

use crate::{
    process,
    service::{Service, event},
};

fn rules(action_type: &str) -> String {
    let action_type = serde_json::to_string(action_type).expect("a string");
    format!(
        "job_scheduler:\n  job_rules:\n    - {{ action_type: {action_type}, resource_type: \"Posts\", topic: t }}\n  \
         enricher:\n    topics:\n      t:\n        - match: {{ action_type: {action_type}, resource_type: Posts }}\n          \
         job_properties: {{ job_type: invalidate }}\n"
    )
}

#[test]
fn a_pattern_that_compiles_to_too_much_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("decache.yaml");
    for bomb in [
        "a{1000}{1000}".to_owned(),
        r"\w{1000}{1000}{1000}".to_owned(),
        format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}a{}", "(?:".repeat(10_000), "){2}".repeat(10_000)),
        "x|".repeat(1 << 19),
        r"\pL".repeat(100_000),
    ] {
        std::fs::write(&config, rules(&bomb)).expect("the configuration");
        let checked = Command::new(process::decache()).args(["check", "--config"]).arg(&config).output();
        let checked = checked.expect("decache runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(1), "{}: {said}", &bomb[..20.min(bomb.len())]);
        let named =
            said.lines().any(|line| line.contains("job_scheduler.job_rules[0].action_type: the pattern"));
        assert!(named, "{}", &said[..500.min(said.len())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_backtracks_elsewhere_does_not_here() {
    for pattern in ["(a*)*b", "(a|a)*b", "(a|aa)+$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
        let service = Service::start("", &rules(&format!("{pattern}|(Read)"))).await;
        let worst = format!("{}!", "a".repeat(63));
        let batch: Vec<String> = (0..1000).map(|_| event(&json!({ "action_type": worst }))).collect();
        let answer = service.post(&format!("[{}]", batch.join(","))).await;
        assert_eq!(answer.status, 202, "{pattern}: {}", answer.body);
        assert_eq!(answer.json()["accepted"], 1000);
        service.serves_others().await;
    }
}
