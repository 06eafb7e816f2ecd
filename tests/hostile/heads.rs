//! Heads that are too large, or no HTTP/1.1 at all.

use crate::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_header_is_refused() {
    let service = Service::start("", "").await;
    let mut raw = service.connect().await;
    raw.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ").await;
    let part = vec![b'a'; 64 * 1024];
    // A gigabyte, were it taken.
    for _ in 0..16 * 1024 {
        if !raw.send(&part).await {
            break;
        }
    }
    service.serves_others().await;
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(40_000));
    assert_eq!(service.ask(long.as_bytes()).await.status, 431);
    let url = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000));
    let status = service.ask(url.as_bytes()).await.status;
    assert!([414, 431].contains(&status), "{status}");
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_headers_are_refused() {
    let service = Service::start("", "").await;
    for count in [101, 1000, 3000] {
        let headers: String = (0..count).map(|number| format!("X{number}: a\r\n")).collect();
        let answer = service.ask(format!("GET /livez HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await;
        assert_eq!(answer.status, 431, "{count}");
    }
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_refused() {
    let service = Service::start("", "").await;
    for (what, bytes) in [
        ("HTTP/0.9", &b"GET /livez\r\n\r\n"[..]),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("HTTP/1.2", b"GET /livez HTTP/1.2\r\nHost: x\r\n\r\n"),
        ("a TLS handshake", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"),
        ("RESP", b"*1\r\n$4\r\nPING\r\n\r\n"),
        ("nothing", b"\0\0\0\0\r\n\r\n"),
    ] {
        let mut raw = service.connect().await;
        raw.send(bytes).await;
        let answer = raw.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        service.serves_others().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_another_form_leads_nowhere_else() {
    let service = Service::start("", "").await;
    for (line, statuses) in [
        ("GET http://elsewhere.example/livez HTTP/1.1", [200, 200]),
        ("GET http://elsewhere.example HTTP/1.1", [200, 200]),
        ("GET elsewhere.example:80 HTTP/1.1", [400, 404]),
        ("CONNECT elsewhere.example:80 HTTP/1.1", [404, 405]),
        ("OPTIONS * HTTP/1.1", [404, 405]),
        ("GET //livez HTTP/1.1", [404, 404]),
        ("GET /v1/../livez HTTP/1.1", [404, 404]),
        ("GET /livez%00 HTTP/1.1", [404, 404]),
        ("GET /livez HTTP/1.1\tHTTP/1.1", [400, 400]),
        ("GET /li vez HTTP/1.1", [400, 400]),
    ] {
        let answer = service.ask(format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(statuses.contains(&answer.status), "{line}: {}", answer.status);
        assert!(!answer.head.contains("elsewhere"), "{}", answer.head);
    }
    service.serves_others().await;
}
