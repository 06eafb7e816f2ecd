//! What invalidations have done, as server-sent events, over raw connections.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::{
    process::poll,
    support::{Setup, TestApp, read, until_closed, update, with},
};

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// A client of the stream.
struct Stream(BufReader<TcpStream>);

/// An event, with its id.
#[derive(Debug)]
struct Told {
    id: String,
    event: String,
    data: Value,
}

impl Stream {
    async fn open(app: &TestApp, query: &str, last: Option<&str>) -> Self {
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let (mut stream, status) = Self::ask(app, query, &last).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        stream.until(": the stream begins").await;
        stream
    }

    /// Asks for one, with the line that is answered first.
    async fn ask(app: &TestApp, query: &str, headers: &str) -> (Self, String) {
        let mut connection = app.connect().await;
        let request = format!("GET /v1/invalidations/stream{query} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self(BufReader::new(connection));
        let status = stream.line().await;
        (stream, status)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(DEADLINE, self.0.read_line(&mut line)).await.expect("a line").unwrap();
        assert!(read > 0, "the stream has ended");
        line.trim_end().to_owned()
    }

    async fn until(&mut self, line: &str) {
        while self.line().await != line {}
    }

    /// The next event, as an `EventSource` makes it of lines.
    async fn next(&mut self) -> Told {
        let mut told = Told { id: String::new(), event: String::new(), data: Value::Null };
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("id", id)) => told.id = id.to_owned(),
                Some(("event", event)) => told.event = event.to_owned(),
                Some(("data", data)) => told.data = serde_json::from_str(data).unwrap(),
                _ if line.is_empty() && !told.data.is_null() => return told,
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn each_invalidation_and_revocation_is_told_with_holders_and_counts() {
    let app = TestApp::embedded().await;
    let mut stream = Stream::open(&app, "", None).await;
    app.done(&json!([read(42, "alice"), read(42, "bob"), read(43, "alice")])).await;
    let done = app.done(&update(42)).await;
    let told = stream.next().await;
    assert_eq!((&*told.event, &told.data["job"]), ("invalidation", &done["jobs"][0]["id"]));
    let mut holders: Vec<&str> =
        told.data["holders"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let mut expected = [app.holder_of("alice").await, app.holder_of("bob").await];
    holders.sort_unstable();
    expected.sort_unstable();
    assert_eq!(holders, expected);
    assert_eq!((&told.data["matched"], &told.data["entity_id"]), (&json!(2), &json!("42")));
    app.revoke_and_wait("alice").await;
    let told = stream.next().await;
    assert_eq!(
        (&told.data["job_type"], &told.data["holder"]),
        (&json!("revoke"), &json!(app.holder_of("alice").await))
    );
    assert!(told.data.get("resource_type").is_none());
}

#[tokio::test]
async fn who_comes_back_misses_nothing_and_after_a_restart_is_told_of_a_gap() {
    let mut app = TestApp::embedded().await;
    let mut stream = Stream::open(&app, "", None).await;
    app.done(&update(1)).await;
    let last = stream.next().await.id;
    drop(stream);
    app.done(&update(2)).await;
    let mut stream = Stream::open(&app, "", Some(&last)).await;
    let told = stream.next().await;
    assert_eq!(told.data["entity_id"], "2");
    drop(stream);
    app.restart().await;
    let mut stream = Stream::open(&app, "", Some(&told.id)).await;
    assert_eq!(stream.next().await.event, "gap");
    app.done(&update(3)).await;
    assert_eq!(stream.next().await.data["entity_id"], "3");
}

#[tokio::test]
async fn who_asks_for_one_type_is_told_of_that_one() {
    let app = TestApp::embedded().await;
    let mut stream = Stream::open(&app, "?resource_type=Comments", None).await;
    app.done(&update(1)).await;
    app.done(&with(update(2), "resource_type", "Comments")).await;
    assert_eq!(stream.next().await.data["entity_id"], "2");
    assert_eq!(app.get("/v1/invalidations/stream?type=x").await.problem().0, "invalid-parameter");
}

/// It takes in nothing while far more is told than is kept and its connection holds.
#[tokio::test]
async fn a_reader_that_takes_nothing_holds_nobody_up_and_is_told_of_a_gap() {
    // A log with all of these ids in it would be most of the work.
    let app = TestApp::start(Setup::embedded().with("log", json!({ "filter": "info" }))).await;
    let mut slow = Stream::open(&app, "", None).await;
    let id = |number: usize| format!("{number}-{}", "x".repeat(1000));
    for batch in 0..16 {
        let updates: Vec<Value> = (0..1000).map(|number| update(id(batch * 1000 + number))).collect();
        app.done(&updates.into()).await;
    }
    let mut events = Vec::new();
    while events.last().is_none_or(|told: &Told| told.event != "gap") {
        events.push(slow.next().await);
    }
    assert!(events.len() > 1, "what was on its way came first");
    assert_eq!(slow.next().await.event, "invalidation");
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more_and_they_end_with_the_service() {
    let mut app = TestApp::start(
        Setup::embedded().with("server", json!({ "limits": { "streams": 1, "heartbeat": "50ms" } })),
    )
    .await;
    let mut stream = Stream::open(&app, "", None).await;
    let refused = app.get("/v1/invalidations/stream").await;
    assert_eq!((refused.status, refused.problem().0), (503, "too-many-streams"));
    stream.until(": alive").await;
    app.process.ask_to_stop();
    let rest = until_closed(stream.0.get_mut()).await;
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    assert!(app.ended().await.success());
}

/// Also while nothing is told, and long before a heartbeat would find out.
#[tokio::test]
async fn a_reader_that_goes_leaves_its_place_to_the_next() {
    let limits = json!({ "limits": { "streams": 1, "heartbeat": "1h" } });
    let app = TestApp::start(Setup::embedded().with("server", limits)).await;
    for _ in 0..3 {
        let place = poll("a place", async || {
            let (stream, status) = Stream::ask(&app, "", "").await;
            (status == "HTTP/1.1 200 OK").then_some(stream)
        })
        .await;
        let (_, status) = Stream::ask(&app, "", "").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        drop(place);
    }
}
