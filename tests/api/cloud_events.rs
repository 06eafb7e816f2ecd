//! CloudEvents from a sender that nobody here wrote: their Python SDK.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{TestApp, run};

/// Where `scripts/test` installs what is not Rust.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/checkers/bin/python");
const SENDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/cloud_events.py");

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_sends_is_taken_in_every_mode() {
    assert!(
        Path::new(PYTHON).exists(),
        "this test wants the CloudEvents SDK; install it with scripts/test, or with: python3 -m venv target/checkers && \
         target/checkers/bin/pip install -r scripts/requirements.txt"
    );
    let app = TestApp::embedded().await;
    let mut sender = Command::new(PYTHON);
    sender.arg(SENDER).arg(format!("{}/v1/events", app.url));
    let (code, output, error) = run(sender, "");
    assert_eq!(code, Some(0), "{output}{error}");
    let answers: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 5, "{output}");
    for answer in answers {
        let jobs = answer["body"]["jobs"].as_array().unwrap();
        assert!(answer["status"] == 200 && jobs.iter().all(|job| job["outcome"] == "done"), "{answer}");
        assert!(jobs[0]["event_id"].as_str().unwrap().starts_with("e-"), "{answer}");
    }
    for subject in ["structured", "text", "batch-1", "batch-2", "binary Ł/1", "untyped"] {
        let holders = app.holders("Posts", subject).await.success(200);
        assert_eq!(holders["items"][0]["user_id"], "alice", "{subject}");
    }
}
