//! The commands that ask a running service: what they print for people and for scripts, and what they exit with.

use serde_json::{Value, json};

use crate::{
    letters::with_letters,
    redis_server::RedisServer,
    support::{Setup, TestApp, read, run, token},
};

const OPERATOR: &str = "b3BlcmF0b3JzIGtleSBmb3IgdGVzdHM";
const READER: &str = "cmVhZGVycyBrZXkgZm9yIHRlc3RzIDE";

type Ended = (Option<i32>, String, String);

/// Runs a command in a thread of its own, so that what the test serves meanwhile goes on.
async fn decache(app: &TestApp, arguments: &[&str]) -> Ended {
    asked(app, &[&["--url", &app.url], arguments].concat(), None).await
}

async fn asked(app: &TestApp, arguments: &[&str], key: Option<&str>) -> Ended {
    let (options, command) = arguments.split_at(2);
    let (name, rest) = command.split_at(1);
    let mut process = app.setup.command(&[name, options, rest].concat());
    if let Some(key) = key {
        process.env("DECACHE_KEY", key);
    }
    tokio::task::spawn_blocking(move || run(process, "")).await.unwrap()
}

/// Runs a command that reads `input`.
async fn typed(app: &TestApp, arguments: &[&str], input: &str) -> Ended {
    let process = app.setup.command(&[&arguments[..1], &["--url", &app.url], &arguments[1..]].concat());
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || run(process, &input)).await.unwrap()
}

async fn printed(app: &TestApp, arguments: &[&str]) -> String {
    let (code, output, error) = decache(app, arguments).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{arguments:?}: {output}");
    output
}

async fn told(app: &TestApp, arguments: &[&str]) -> Value {
    let options = arguments.iter().position(|it| *it == "--").unwrap_or(arguments.len());
    let (options, ids) = arguments.split_at(options);
    serde_json::from_str(&printed(app, &[options, &["--json"], ids].concat()).await).unwrap()
}

#[tokio::test]
async fn holders_shows_who_holds_an_entity_and_until_when() {
    let app = TestApp::embedded().await;
    app.done(&json!([read(42, "alice"), read(42, "bob")])).await;
    let shown = printed(&app, &["holders", "Posts", "42"]).await;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "Posts 42: holders 2, no invalidation remembered");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["HOLDER", "USER", "EXPIRES"]);
    let alice = app.holder_of("alice").await;
    let row = lines.iter().find(|line| line.starts_with(&alice)).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("alice"));
    // A holder id may have these digits, too.
    assert_eq!(lines[2].find("  20"), lines[3].find("  20"), "aligned: {shown}");

    let view = told(&app, &["holders", "Posts", "42"]).await;
    assert_eq!(
        (&view["holders"], &view["entity_id"], &view["next"]),
        (&json!(2), &json!("42"), &Value::Null)
    );
    assert_eq!(view["items"], app.holders("Posts", "42").await.success(200)["items"]);
    assert!(!shown.contains(&token("alice")) && !view.to_string().contains(&token("alice")));
    assert_eq!(printed(&app, &["holders", "Posts", "43"]).await.lines().count(), 1, "nobody");
}

#[tokio::test]
async fn holder_shows_what_a_holder_holds_by_its_id_or_by_its_token() {
    let app = TestApp::embedded().await;
    app.done(&json!([read(42, "alice"), read(43, "alice"), read(42, "bob")])).await;
    let alice = app.holder_of("alice").await;
    let shown = printed(&app, &["holder", &alice]).await;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], format!("{alice}: holds 2 copies"));
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["TYPE", "ENTITY", "EXPIRES"]);
    assert_eq!(lines[2].find("  20"), lines[3].find("  20"), "aligned: {shown}");
    assert!(shown.contains("Posts  42") && shown.contains("Posts  43"), "{shown}");

    let view = told(&app, &["holder", &alice]).await;
    let listed = app.get(&format!("/v1/holders/{alice}/entities")).await.success(200);
    assert_eq!(
        (&view["holder"], &view["items"], &view["next"]),
        (&json!(alice), &listed["items"], &Value::Null)
    );
    let some = told(&app, &["holder", &alice, "--limit", "1"]).await;
    let rest = told(&app, &["holder", &alice, "--cursor", some["next"].as_str().unwrap()]).await;
    let both = [some["items"].as_array().unwrap().as_slice(), rest["items"].as_array().unwrap()].concat();
    assert_eq!(Value::from(both), view["items"]);
    let some = printed(&app, &["holder", &alice, "--limit", "1"]).await;
    assert!(
        some.starts_with(&format!("{alice}: holds 1 copy, and more\n"))
            && some.contains("\n... and more: --cursor "),
        "{some}"
    );

    let (code, output, error) = typed(&app, &["holder", "-"], &format!("{}\n", token("alice"))).await;
    assert_eq!((code, output.as_str(), error.as_str()), (Some(0), shown.as_str(), ""));
    let (code, output, _) = typed(&app, &["holder", "-"], "tok-of-nobody").await;
    assert_eq!(
        (code, output.ends_with(": holds nothing that decache knows of\n")),
        (Some(0), true),
        "{output}"
    );
    let (code, output, error) = decache(&app, &["holder", &token("alice")]).await;
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains("no holder id") && !error.contains(&token("alice")), "{error}");
}

#[tokio::test]
async fn revoke_removes_what_a_holder_has() {
    let (index, mut cache) = (RedisServer::start(), RedisServer::start());
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    app.done(&json!([read(42, "alice"), read(43, "alice"), read(42, "bob")])).await;
    let alice = app.holder_of("alice").await;
    let done = printed(&app, &["revoke", &alice]).await;
    assert_eq!(done.lines().nth(1).unwrap().split_whitespace().next(), Some("2"), "{done}");
    assert_eq!((app.count("42").await, app.count("43").await), (1, 0));
    assert_eq!(told(&app, &["revoke", &alice]).await["matched"], 0);
    let (code, output, _) = typed(&app, &["revoke", "-", "--wait", "0"], &token("bob")).await;
    assert_eq!((code, output.as_str()), (Some(0), "accepted: 1 revocation, kept until it is done\n"));
    app.done(&read(44, "carol")).await;
    let carol = app.holder_of("carol").await;
    cache.stop();
    let (code, _, error) = decache(&app, &["revoke", &carol, "--wait", "1"]).await;
    assert_eq!((code, error.contains("not done within 1 s")), (Some(4), true), "{error}");
    cache.restart();
    app.in_trouble(&[]).await;
}

#[tokio::test]
async fn ids_that_urls_rewrite_are_asked_for_as_they_are() {
    let app = TestApp::embedded().await;
    for id in [".", "..", "a/b", "?x=1&y", "ä +%", "-1"] {
        app.done(&read(id, "alice")).await;
        let view = told(&app, &["holders", "Posts", "--", id]).await;
        assert_eq!((&view["entity_id"], &view["holders"]), (&json!(id), &json!(1)));
        let answer = told(&app, &["invalidate", "Posts", "--", id]).await;
        assert_eq!(answer["matched"], 1, "{id}");
    }
}

#[tokio::test]
async fn pages_are_followed_up_to_a_bound_and_from_a_cursor() {
    let app = TestApp::embedded().await;
    let reads: Vec<Value> = (0..1203).map(|user| read(42, &format!("user{user}"))).collect();
    app.done(&reads.into()).await;
    let all = told(&app, &["holders", "Posts", "42", "--limit", "5000"]).await;
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next"]), (1203, &Value::Null));
    let some = told(&app, &["holders", "Posts", "42", "--limit", "1100"]).await;
    assert_eq!(some["items"].as_array().unwrap().len(), 1100);
    let next = some["next"].as_str().unwrap();
    let rest = told(&app, &["holders", "Posts", "42", "--cursor", next]).await;
    let both = [some["items"].as_array().unwrap().as_slice(), rest["items"].as_array().unwrap()].concat();
    assert_eq!(Value::from(both), all["items"]);
    let shown = printed(&app, &["holders", "Posts", "42", "--limit", "3"]).await;
    assert!(shown.lines().count() == 6 && shown.contains("... and more: --cursor "), "{shown}");
    assert_eq!(decache(&app, &["holders", "Posts", "42", "--limit", "0"]).await.0, Some(2));
}

#[tokio::test]
async fn what_a_name_would_do_to_a_terminal_is_shown_and_not_done() {
    let app = TestApp::embedded().await;
    let mut event = read("a\u{202e}b", "alice");
    event["user_id"] = "x\u{202e}y".into();
    app.done(&event).await;
    let shown = printed(&app, &["holders", "Posts", "a\u{202e}b"]).await;
    assert!(shown.contains(r"x\u{202e}y") && !shown.contains('\u{202e}'), "{shown}");
}

#[tokio::test]
async fn invalidate_counts_first_and_removes_then() {
    let app = TestApp::embedded().await;
    app.done(&json!([read(42, "alice"), read(42, "bob"), read(43, "alice")])).await;
    let dry = printed(&app, &["invalidate", "Posts", "42", "43", "--dry-run"]).await;
    assert!(dry.ends_with("dry run: 3 relationships matched, nothing removed\n"), "{dry}");
    assert_eq!(told(&app, &["invalidate", "Posts", "42", "--dry-run"]).await["matched"], 2);
    assert_eq!(app.count("42").await, 2);
    let done = printed(&app, &["invalidate", "Posts", "42"]).await;
    assert_eq!(done.lines().nth(1).unwrap().split_whitespace().next(), Some("2"), "{done}");
    assert_eq!((app.count("42").await, app.count("43").await), (0, 1));
    let shown = printed(&app, &["holders", "Posts", "42"]).await;
    assert!(shown.starts_with("Posts 42: holders 0, last invalidated 20"), "{shown}");
    let accepted = printed(&app, &["invalidate", "Posts", "43", "--wait", "0"]).await;
    assert_eq!(accepted, "accepted: 1 invalidation, kept until it is done\n");
}

#[tokio::test]
async fn an_invalidation_that_waits_for_a_cache_is_told_as_not_done() {
    let (index, mut cache) = (RedisServer::start(), RedisServer::start());
    let app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    app.done(&read(42, "alice")).await;
    cache.stop();
    let (code, output, error) = decache(&app, &["invalidate", "Posts", "42", "--wait", "1"]).await;
    assert_eq!((code, output.as_str()), (Some(4), "accepted: 1 invalidation, kept until it is done\n"));
    assert!(error.contains("not done within 1 s"), "{error}");
    app.in_trouble(&["cache:api", "invalidations"]).await;
    let status = printed(&app, &["status"]).await;
    assert!(status.starts_with("status         degraded\n"), "{status}");
    assert!(status.contains(" cache:api: ") && status.contains(" invalidations: 1 wait"), "{status}");
    let status = told(&app, &["status"]).await;
    assert_eq!((&status["readiness"]["status"], &status["queue"]["dead"]), (&json!("degraded"), &json!(0)));
    cache.restart();
    app.in_trouble(&[]).await;
}

#[tokio::test]
async fn dead_letters_are_listed_with_what_helps_and_tried_again_or_discarded() {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let (app, ids) = with_letters(&index, &cache, 4).await;
    let shown = printed(&app, &["dead"]).await;
    assert_eq!(shown.lines().count(), 6, "{shown}");
    assert!(
        ids.iter().all(|id| shown.contains(id))
            && shown.contains("\nstore_refused: the index answered with an error")
    );
    let listed = told(&app, &["dead", "list", "--reason", "store_refused"]).await;
    assert_eq!(listed["items"], app.jobs("?state=dead").await.success(200)["items"]);
    assert_eq!(told(&app, &["dead", "list", "--reason", "no_resource"]).await["items"], json!([]));
    assert_eq!(decache(&app, &["dead", "list", "--reason", "bad_luck"]).await.0, Some(2));
    assert_eq!(decache(&app, &["dead", "retry"]).await.0, Some(2), "all of them are not meant by nothing");

    assert_eq!(printed(&app, &["dead", "retry", &ids[0]]).await, format!("retried {}\n", ids[0]));
    app.job_once(&ids[0], "done", |job| job["state"] == "done").await;
    let (code, output, error) = decache(&app, &["dead", "discard", "none", &ids[1]]).await;
    assert_eq!((code, output), (Some(1), format!("discarded {}\n", ids[1])));
    assert!(error.contains("none: ") && error.contains("no job has this id"), "{error}");
    assert_eq!(
        told(&app, &["dead", "retry", "--reason", "store_refused", "--topic", "other"]).await["retried"],
        0
    );
    let settled = told(&app, &["dead", "retry", "--reason", "store_refused"]).await;
    assert_eq!(settled, json!({ "retried": 2, "remaining": 0 }));
    assert_eq!(printed(&app, &["dead"]).await, "no dead letters\n");
    assert_eq!(printed(&app, &["dead", "discard", "--reason", "store_refused"]).await, "0 discarded\n");
}

#[tokio::test]
async fn a_key_comes_from_a_file_or_the_environment_and_refusals_are_explained() {
    let setup = Setup::embedded();
    let keys = [("operator", OPERATOR, vec!["read", "admin"]), ("reader", READER, vec!["read"])];
    let keys = keys.map(|(name, key, scopes)| {
        let (_, hash, _) = run(setup.command(&["hash-key"]), key);
        json!({ "name": name, "hash": hash.trim(), "scopes": scopes })
    });
    let mut app = TestApp::start(setup.with("auth", json!({ "keys": keys }))).await;
    let file = app.setup.file("key", &format!("{OPERATOR}\n"));
    let with_file = ["invalidate", "Posts", "42", "--key-file", file.to_str().unwrap()];
    printed(&app, &with_file).await;
    let url = app.url.clone();
    let (code, _, error) = asked(&app, &["--url", &url, "status"], Some(OPERATOR)).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let (code, output, error) = decache(&app, &["status"]).await;
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains("answers 401") && error.contains("--key-file FILE, or DECACHE_KEY"), "{error}");
    let (code, _, error) = asked(&app, &["--url", &url, "invalidate", "Posts", "42"], Some(READER)).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("answers 403") && error.contains("admin") && !error.contains(READER), "{error}");
    let (code, _, error) = asked(&app, &["--url", &url, "dead", "retry", "some-id"], Some(READER)).await;
    assert_eq!((code, error.contains("answers 403")), (Some(1), true), "{error}");
    app.use_key(Some(OPERATOR));
}

#[tokio::test]
async fn without_a_url_the_configuration_says_where_the_service_is() {
    let mut app = TestApp::embedded().await;
    let bind = app.url.strip_prefix("http://").unwrap().to_owned();
    let holders = |app: &TestApp| {
        let mut process = app.setup.command(&["holders", "Posts", "42"]);
        process.env("DECACHE__SERVER__BIND", &bind);
        run(process, "")
    };
    assert_eq!(holders(&app).0, Some(0));
    assert!(app.process.terminate().await.success());
    let (code, output, error) = holders(&app);
    assert_eq!((code, output.as_str()), (Some(3), ""));
    assert!(error.contains(&format!("cannot connect to {bind}")), "{error}");
    let (code, _, error) = decache(&app, &["status"]).await;
    assert_eq!(code, Some(3));
    assert!(error.contains(&bind) && error.contains("not reached"), "{error}");
    assert_eq!(decache(&app, &["holders", "Posts"]).await.0, Some(2));
    let (code, _, error) = asked(&app, &["--url", "http://u:p@host", "status"], None).await;
    assert_eq!(code, Some(2), "{error}");
    app.start_again().await;
}

#[test]
fn shells_are_told_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, error) = run(Setup::embedded().command(&["completions", shell]), "");
        assert_eq!((code, error.as_str()), (Some(0), ""));
        for word in
            ["holders", "holder", "revoke", "invalidate", "dry-run", "discard", "completions", "key-file"]
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let (_, script, _) = run(Setup::embedded().command(&["completions", "bash"]), "");
    let mut bash = std::process::Command::new("bash");
    bash.args(["-n"]);
    assert_eq!(run(bash, &script), (Some(0), String::new(), String::new()), "bash reads it");
}

#[test]
fn whoever_reads_only_the_first_lines_gets_them_and_no_complaint() {
    let setup = Setup::embedded();
    let event = setup.file(
        "event.json",
        &json!({ "action_type": "Update", "resource_type": "Posts", "entity_id": 42 }).to_string(),
    );
    let mut explain = setup.command(&["explain"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = explain.arg(event).stdout(writer).output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}
