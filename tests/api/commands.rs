//! The commands beside `serve`, by what they print and the code that they exit with.

use std::process::Command;

use serde_json::json;

use crate::{
    process,
    support::{Setup, TestApp, run},
};

#[test]
fn check_finds_a_good_configuration_good() {
    let setup = Setup::embedded();
    let (code, output, error) = run(setup.command(&["check"]), "");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(output.ends_with("decache.yaml: ok\n"), "{output}");
    assert!(!setup.directory().join("data").exists(), "it makes nothing");
}

#[test]
fn check_warns_of_what_is_hardly_meant() {
    let topics = json!({ "enricher": { "topics": { "unused": [{ "job_properties": { "job_type": "invalidate" } }] } } });
    let (code, output, _) = run(Setup::embedded().with("job_scheduler", topics).command(&["check"]), "");
    assert_eq!(code, Some(0));
    assert!(output.starts_with("warning: ") && output.contains("topics.unused"), "{output}");
}

#[test]
fn hash_key_prints_a_hash_for_a_good_key_and_refuses_a_weak_one() {
    let setup = Setup::embedded();
    let hash = |key: &str| run(setup.command(&["hash-key"]), key);
    let (code, output, error) = hash("abcdefghijklmnopqrstuvwxyz\n");
    let expected = "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73\n";
    assert_eq!((code, output.as_str(), error.as_str()), (Some(0), expected, ""));
    for weak in ["", "secret\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "correct horse battery staple"] {
        let (code, output, error) = hash(weak);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{weak}");
        assert!(error.contains("openssl rand -base64 32"), "{error}");
        assert!(weak.trim().is_empty() || !error.contains(weak.trim()), "a key is not repeated: {error}");
    }
}

#[tokio::test]
async fn healthcheck_tells_whether_the_service_takes_events() {
    let mut app = TestApp::embedded().await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    let check = |app: &TestApp| {
        let mut command = app.setup.command(&["healthcheck"]);
        command.env("DECACHE__SERVER__BIND", &address);
        run(command, "")
    };
    assert_eq!(check(&app), (Some(0), "ok\n".to_owned(), String::new()));
    assert!(app.process.terminate().await.success());
    let (code, output, error) = check(&app);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains(&format!("cannot connect to {address}")), "{error}");
}

#[test]
fn what_is_no_command_is_answered_with_those_that_are() {
    let decache = |arguments: &[&str]| {
        let mut command = Command::new(process::decache());
        command.args(arguments);
        run(command, "")
    };
    let (code, _, error) = decache(&["server"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("'serve'"), "{error}");
    let (code, output, _) = decache(&["--help"]);
    assert_eq!(code, Some(0));
    for command in [
        "serve",
        "check",
        "explain",
        "reconcile",
        "hash-key",
        "healthcheck",
        "holders",
        "invalidate",
        "dead",
        "status",
        "completions",
    ] {
        assert!(output.contains(command), "{output}");
    }
    assert_eq!(decache(&["--version"]).1, format!("decache {}\n", env!("CARGO_PKG_VERSION")));
}
