use std::{net::SocketAddr, sync::Arc};

use axum::{http::StatusCode, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinHandle,
};

use super::*;
use crate::http::{ProbeError, probe};

mod tls;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// `/` answers at once; `/held` says that it has begun and answers once it is released.
struct Server {
    address: SocketAddr,
    begun: Arc<Notify>,
    release: Arc<Notify>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    async fn start_with(limits: Limits, tls: Option<Acceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (has_begun, released) = (Arc::clone(&begun), Arc::clone(&release));
        let held = async move || {
            has_begun.notify_one();
            released.notified().await;
            "held"
        };
        let router = Router::new()
            .route("/", get(async || "ok"))
            .route("/held", get(held))
            .route("/readyz", get(async || StatusCode::SERVICE_UNAVAILABLE));
        let router = Arc::new(Current::new(router));
        let (stop, connections) = (shutdown.clone(), tasks.clone());
        let serving = TaskTracker::new().spawn(async move {
            serve(Listener { tcp: listener, tls }, router, limits, stop, &connections).await
        });
        Self { address, begun, release, shutdown, tasks, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Waits for what has to come, and fails instead of hanging where it does not.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), what).await.expect("it has to come")
}

/// Sends a request and reads its answer's first bytes.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut bytes = vec![0; 4096];
    let read = soon(stream.read(&mut bytes)).await.unwrap();
    String::from_utf8(bytes[..read].to_vec()).unwrap()
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = soon(stream.read_to_string(&mut text)).await;
    text
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_disconnected() {
    let limits = Limits { header_read: Duration::from_millis(20), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    assert!(!read_to_end(&mut slow).await.contains("200"));
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let server = Server::start(Limits { header_bytes: 1024, ..Limits::default() }).await;
    let mut client = server.connect().await;
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(2000));
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_one_that_is_worked_for() {
    let server = Server::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    soon(server.begun.notified()).await;
    let mut second = server.connect().await;
    second.write_all(REQUEST).await.unwrap();
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert_eq!(server.tasks.len(), 1, "the second connection is not served yet");
    }
    server.release.notify_one();
    let mut answer = [0; 12];
    soon(second.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(read_to_end(&mut first).await.ends_with("held"), "it was answered before it made room");
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room_for_a_new_one() {
    let server = Server::start(Limits { connections: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut second).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut third = server.connect().await;
    assert!(ask(&mut third).await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_end(&mut second).await, "", "it had been idle longest");
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_disconnected() {
    let limits = Limits { write: Duration::from_millis(20), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    // As many as it takes: the system holds some megabytes of answers before the service feels that nobody reads.
    let broken = async { while client.write_all(REQUEST).await.is_ok() {} };
    soon(broken).await;
    while !server.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_of_two_lengths_is_its_connections_last() {
    let server = Server::start(Limits::default()).await;
    let both = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ];
    for headers in both {
        let mut client = server.connect().await;
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        let answers = read_to_end(&mut client).await;
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
        assert!(answers.contains("connection: close"), "{answers}");
    }
    let mut client = server.connect().await;
    let chunked = b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    client.write_all(chunked).await.unwrap();
    assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"), "one length alone keeps the connection");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start(Limits::default()).await;
    let answer = async |head: &str| {
        let mut client = server.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let read = soon(client.read(&mut bytes)).await.unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    };
    for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        assert!(answer(head).await.starts_with("HTTP/1.1 400"), "{head}");
    }
    assert!(answer("GET / HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn a_request_in_flight_is_finished_when_the_service_stops() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    soon(server.begun.notified()).await;
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.serving.is_finished());
    server.release.notify_one();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("held"), "{answer}");
    soon(server.serving).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_the_service_stops() {
    let server = Server::start(Limits { drain: Duration::from_secs(3600), ..Limits::default() }).await;
    let mut idle = server.connect().await;
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    soon(server.serving).await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_keep_the_service_from_stopping() {
    let server = Server::start(Limits { drain: Duration::from_millis(20), ..Limits::default() }).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    soon(server.begun.notified()).await;
    server.shutdown.cancel();
    soon(server.serving).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_probe_tells_the_status_or_why_there_is_none() {
    let server = Server::start(Limits::default()).await;
    assert_eq!(soon(probe(server.address)).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    let everywhere = SocketAddr::from(([0, 0, 0, 0], server.address.port()));
    assert_eq!(soon(probe(everywhere)).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    server.shutdown.cancel();
    soon(server.serving).await.unwrap();
    assert!(matches!(soon(probe(server.address)).await, Err(ProbeError::Connect(..))));
}
