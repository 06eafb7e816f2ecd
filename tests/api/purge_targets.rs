//! Purge targets that misbehave: each is tried again by itself and holds nothing else up.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, update},
};

/// What is said to a purge; an empty one closes the connection, `None` says nothing.
pub(crate) type Answer = Option<&'static str>;

pub(crate) const PURGED: Answer = Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

/// A server that answers each request on a connection of its own. It ends with the test's process.
pub(crate) struct Target {
    pub(crate) address: String,
    answer: Arc<Mutex<Answer>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Target {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answer, heads) = (Arc::new(Mutex::new(answer)), Arc::<Mutex<Vec<String>>>::default());
        let (answers, seen) = (answer.clone(), heads.clone());
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (answers, seen) = (answers.clone(), seen.clone());
                thread::spawn(move || serve(connection, &answers, &seen));
            }
        });
        Self { address, answer, heads }
    }

    /// Answers so from now on.
    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// How many requests began with this.
    pub(crate) fn asked(&self, beginning: &str) -> usize {
        self.heads.lock().unwrap().iter().filter(|head| head.starts_with(beginning)).count()
    }
}

fn serve(mut connection: TcpStream, answer: &Mutex<Answer>, heads: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match connection.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    heads.lock().unwrap().push(String::from_utf8(head).unwrap());
    let answer = *answer.lock().unwrap();
    match answer {
        Some(answer) => drop(connection.write_all(answer.as_bytes())),
        // Until decache has had enough.
        None => drop(connection.read(&mut [0])),
    }
}

#[tokio::test]
async fn a_target_that_fails_is_tried_again_and_holds_up_no_other_cache() {
    let cases: [(Answer, &str); 6] = [
        (Some("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "answers 500"),
        (Some("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"), "answers 405"),
        (
            Some("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            "answers 302: redirects are not followed",
        ),
        (Some(""), "the answer broke off"),
        (Some("no HTTP at all\r\n\r\n"), "the answer broke off"),
        (None, "no answer in time"),
    ];
    for (answer, error) in cases {
        let (target, server) = (Target::start(answer), RedisServer::start());
        let setup = Setup::embedded().with("caches", json!([
            { "name": "proxy", "kind": "http", "url": format!("http://{}{{key}}", target.address), "timeout": "200ms" },
            { "name": "api", "kind": "redis", "url": server.url() },
        ]));
        let (app, cache) = (TestApp::start(setup).await, RedisView::of(&server.url()));
        cache.set(&copy_key("42", "alice"), "the post").await;
        app.done(&read(42, "alice")).await;
        let job =
            app.post_events(&update(42)).await.success(202)["jobs"][0]["id"].as_str().unwrap().to_owned();
        let failed = |job: &Value| job["attempts"].as_u64() > Some(1);
        let job_now = app.job_once(&job, error, failed).await;
        assert_eq!(job_now["last_error"], format!("cache proxy: cache unavailable: {error}"));
        assert!(cache.keys().await.is_empty(), "{error}: the other cache is emptied meanwhile");
        assert_eq!(app.count("42").await, 1, "{error}: what may still be there is not forgotten");
        target.answers(PURGED);
        app.job_once(&job, "done", |job| job["state"] == "done").await;
        assert_eq!(app.count("42").await, 0);
    }
}

#[tokio::test]
async fn a_purge_that_names_no_holder_is_made_once_and_carries_the_secret_of_its_file() {
    let target = Target::start(PURGED);
    let setup = Setup::embedded();
    let key = setup.file("key", "key-of-decache\n");
    let app = TestApp::start(setup.with("caches", json!([{
        "name": "proxy", "kind": "http", "method": "DELETE", "url": format!("http://{}/tags/{{resource_type}}-{{entity_id}}", target.address),
        "headers_file": { "X-Purge-Key": key },
    }])))
    .await;
    app.done(&json!([read("a/b", "alice"), read("a/b", "bob"), read("a/b", "carol")])).await;
    app.done(&update("a/b")).await;
    let heads = target.heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("DELETE /tags/Posts-a%2Fb HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains("x-purge-key: key-of-decache\r\n"), "{heads:?}");
}

/// Past what it may be owed nothing waits for it; when it answers, it is emptied as a whole.
#[tokio::test]
async fn a_suspect_target_is_emptied_as_a_whole_when_it_answers_again() {
    let target = Target::start(Some(""));
    let url = |path: &str| format!("http://{}{path}", target.address);
    let app = TestApp::start(Setup::embedded().with(
        "caches",
        json!([{
            "name": "proxy", "kind": "http", "url": url("{key}"), "owed": 1, "timeout": "200ms",
            "purge_all": { "method": "BAN", "url": url("/all") },
        }]),
    ))
    .await;
    app.done(&json!([read(42, "alice"), read(43, "alice")])).await;
    app.post_events(&json!([update(42), update(43)])).await.success(202);
    app.said("it is suspect, removals leave it out").await;
    target.answers(PURGED);
    app.said("removals wait for it again").await;
    assert_eq!(target.asked("BAN /all "), 1);
    app.in_trouble(&[]).await;
}
