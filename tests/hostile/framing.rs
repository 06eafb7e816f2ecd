//! Request smuggling: where a request ends must never be in doubt. Each shape hides `GET /smuggled`, which nobody must
//! ever answer.

use crate::service::Service;

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// What comes back: at most one answer, to the outer request, and none to the hidden one.
async fn answers(service: &Service, bytes: &str) -> String {
    let mut raw = service.connect().await;
    raw.send(bytes.as_bytes()).await;
    raw.rest().await
}

fn post(headers: &str, rest: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{rest}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_two_meanings_is_refused() {
    let service = Service::start("", "").await;
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    for headers in [
        "Content-Length: 0\r\nContent-Length: 42",
        "Content-Length: 0, 42",
        "Content-Length: +0",
        "Content-Length: 0x0",
        "Content-Length: -1",
        "Content-Length: 18446744073709551616",
        "Content-Length:",
        "Content-Length : 0",
        "Content-Length\t: 0",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x00",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "X: a\r\n Transfer-Encoding: chunked",
        "X: a\rTransfer-Encoding: chunked",
        "Host: y\r\nContent-Length: 0",
    ] {
        let answer = answers(&service, &post(headers, &chunked)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
    }
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_both_lengths_is_its_connections_last() {
    let service = Service::start("", "").await;
    for headers in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "content-LENGTH: 4\r\nTRANSFER-encoding: Chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 5",
    ] {
        let answer = answers(&service, &post(headers, &format!("0\r\n\r\n{HIDDEN}"))).await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
        assert!(!answer.contains("unknown-route"), "{headers:?}: {answer}");
    }
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_ends_in_a_bare_line_feed_hides_nothing() {
    let service = Service::start("", "").await;
    // The hidden request stands in a body, whichever line ends are read: its length covers it.
    let length = HIDDEN.len();
    let bare = format!(
        "POST /v1/events HTTP/1.1\nHost: x\nConnection: close\nContent-Type: application/json\nContent-Length: {length}\n\n{HIDDEN}"
    );
    let answer = answers(&service, &bare).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    for chunks in ["1\nX\n0\n\n", "1\r\nX\n0\r\n\r\n", "0\n\n", "1\rX\r0\r\r"] {
        let answer =
            answers(&service, &post("Transfer-Encoding: chunked", &format!("{chunks}{HIDDEN}"))).await;
        assert!(!answer.contains("unknown-route"), "{chunks:?}: {answer}");
    }
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_lies_about_its_size_ends_the_connection() {
    let service = Service::start("", "").await;
    for chunks in [
        "fffffffffffffffff\r\n",
        "-1\r\n",
        "0x1\r\nX\r\n0\r\n\r\n",
        "1\r\nXY\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "1 1\r\nX\r\n0\r\n\r\n",
    ] {
        let answer =
            answers(&service, &post("Transfer-Encoding: chunked", &format!("{chunks}{HIDDEN}"))).await;
        assert!(!answer.contains("unknown-route"), "{chunks:?}: {answer}");
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{chunks:?}: {answer}");
    }
    let endless = format!("1;{}\r\nX\r\n0\r\n\r\n", "x=".repeat(1 << 20));
    let answer = answers(&service, &post("Transfer-Encoding: chunked", &endless)).await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    service.serves_others().await;
}
