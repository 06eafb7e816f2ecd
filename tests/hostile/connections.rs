//! Clients that take up connections: slow, silent, or deaf.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    process::poll,
    service::{Raw, Service},
};

const GET: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
/// Without deadlines that would end a connection sooner or later by themselves.
const PATIENT: &str = "header_read_time: 1h, body_read_time: 1h, write_time: 1h";
/// And few, so that a handful of clients is more than there is room for.
const FEW: &str = "connections: 8, header_read_time: 1h, body_read_time: 1h, write_time: 1h";
const MORE_THAN_THERE_IS_ROOM_FOR: usize = 24;

async fn connections(service: &Service, count: usize, begin: &[u8]) -> Vec<Raw> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut raw = service.connect().await;
        raw.send(begin).await;
        connections.push(raw);
    }
    connections
}

/// A byte more on each, as a client does that wants to hold its connection for ever.
async fn drip(connections: &mut [Raw], byte: u8) {
    for raw in connections {
        raw.send(&[byte]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_keep_nobody_out() {
    let service = Service::start(FEW, "").await;
    let mut slow =
        connections(&service, MORE_THAN_THERE_IS_ROOM_FOR, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await;
    for _ in 0..3 {
        drip(&mut slow, b'a').await;
        service.serves_others().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_byte_a_second_is_disconnected_when_its_time_is_over() {
    let service = Service::start("header_read_time: 2s", "").await;
    let mut slow = service.connect().await;
    slow.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    poll("the service hangs up", async || {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        (!slow.send(b"a").await).then_some(())
    })
    .await;
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_keep_nobody_out() {
    let service = Service::start(FEW, "").await;
    let head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    let mut slow = connections(&service, MORE_THAN_THERE_IS_ROOM_FOR, head).await;
    for _ in 0..3 {
        drip(&mut slow, b' ').await;
        service.serves_others().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_end_in_time_is_answered_and_its_connection_closed() {
    let service = Service::start("body_read_time: 100ms", "").await;
    let mut slow = service.connect().await;
    slow.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        .await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{answer}");
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_keep_nobody_out() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the hard limit");
    let count = maximum.map_or(2000, |files| usize::try_from(files / 2).unwrap_or(2000).min(2000));
    // The default: 1,024 connections.
    let service = Service::start(PATIENT, "").await;
    let silent = connections(&service, count / 2, b"").await;
    service.serves_others().await;
    let mut idle = Vec::with_capacity(count / 2);
    for _ in 0..count / 2 {
        let mut raw = service.connect().await;
        raw.send(GET).await;
        raw.until("\r\n\r\n").await;
        idle.push(raw);
    }
    service.serves_others().await;
    drop((silent, idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_their_answers_keep_nobody_out() {
    let service = Service::start(FEW, "").await;
    let mut deaf = connections(&service, MORE_THAN_THERE_IS_ROOM_FOR, GET).await;
    let request = b"GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    for raw in &mut deaf {
        // Fails where this one has made room already.
        raw.send(&request).await;
    }
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_answers_is_disconnected() {
    let service = Service::start("write_time: 100ms", "").await;
    let mut deaf = service.connect().await;
    let request = b"GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    // Until nothing more can be sent: the service has hung up.
    while deaf.send(&request).await {}
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_in_one_write_are_all_answered_in_order() {
    let service = Service::start("", "").await;
    let mut raw = service.connect().await;
    let request = |number: usize| {
        let close = if number == 99 { "Connection: close\r\n" } else { "" };
        format!(
            "GET /v1/entities/Posts/{number} HTTP/1.1\r\nHost: x\r\nX-Request-Id: r{number}\r\n{close}\r\n"
        )
    };
    raw.send((0..100).map(request).collect::<String>().as_bytes()).await;
    service.serves_others().await;
    let answers = raw.rest().await;
    let ids: Vec<_> = answers.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids, (0..100).map(|number| format!("r{number}")).collect::<Vec<_>>());
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
    for number in 0..100 {
        assert!(answers.contains(&format!("\"entity_id\":\"{number}\"")), "{number}");
    }
}
