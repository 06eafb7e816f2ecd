//! Bodies that are made to cost more than they weigh.

use async_compression::{
    Level,
    tokio::write::{GzipEncoder, ZstdEncoder},
};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;

use crate::service::{Service, event};

const POSTS: [&str; 3] = ["/v1/events", "/v1/invalidations", "/v1/holders/lookup"];

/// A sender may well promise megabytes that it never sends: who reads them has to wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_that_is_not_taken_is_refused_without_being_read() {
    let service = Service::start("body_read_time: 1h", "").await;
    for (path, encoding, accepted) in [
        ("/v1/events", "deflate", "gzip, zstd"),
        ("/v1/events", "br", "gzip, zstd"),
        ("/v1/events", "gzip, gzip", "gzip, zstd"),
        ("/v1/events/explain", "compress", "gzip, zstd"),
        ("/v1/invalidations", "gzip", "identity"),
        ("/v1/holders/lookup", "zstd", "identity"),
    ] {
        let mut raw = service.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n\
             Content-Length: 4000000\r\n\r\n"
        );
        raw.send(head.as_bytes()).await;
        let answer = raw.until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 415"), "{encoding} {path}: {answer}");
        assert!(answer.contains(&format!("accept-encoding: {accepted}\r\n")), "{answer}");
    }
    service.serves_others().await;
}

/// A quarter of a gigabyte of spaces that comes as a megabyte, or as less, and a zstd frame that asks for a window of a gigabyte. Each
/// is given up at the bound, and the process stays small.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_stopped_before_it_has_come_out() {
    let service = Service::start("", "").await;
    let spaces = vec![b' '; 64 << 20];
    let mut zipped = GzipEncoder::with_quality(Vec::new(), Level::Fastest);
    let mut packed = ZstdEncoder::with_quality(Vec::new(), Level::Fastest);
    for _ in 0..4 {
        zipped.write_all(&spaces).await.expect("memory");
        packed.write_all(&spaces).await.expect("memory");
    }
    zipped.shutdown().await.expect("memory");
    packed.shutdown().await.expect("memory");
    drop(spaces);
    // A frame's head: the magic number, no size, a window of 2^30 bytes; then an empty last block.
    let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
    for (encoding, bomb, status) in
        [("gzip", zipped.into_inner(), 413), ("zstd", packed.into_inner(), 413), ("zstd", window, 400)]
    {
        for content_type in ["application/json", "application/x-ndjson", "application/cloudevents+json"] {
            let mut raw = service.connect().await;
            let head = format!(
                "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Encoding: {encoding}\r\n\
                 Content-Length: {}\r\n\r\n",
                bomb.len()
            );
            raw.send(&[head.as_bytes(), &bomb].concat()).await;
            let answer = raw.until("\r\n\r\n").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{encoding} {content_type}: {answer}");
        }
        service.serves_others().await;
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", service.process.id())).expect("a process");
    let highest = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    let highest: u64 = highest.trim_matches(|char: char| !char.is_ascii_digit()).parse().expect("KiB");
    assert!(highest < 160 << 10, "{highest} KiB for bombs of 256 MiB each");
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_is_refused_and_sinks_nobody_else_in_its_batch() {
    let service = Service::start("", "").await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let cut = open.repeat(100_000);
        for path in POSTS {
            for body in [&deep, &cut] {
                let status = service.post_to(path, "", body).await.status;
                assert!([400, 413, 422].contains(&status), "{path} {open}: {status}");
            }
        }
        let payload = format!("{{\"action_type\":\"Read\",\"resource_type\":\"Posts\",\"payload\":{deep}}}");
        let answer = service.post(&format!("[{payload},{}]", event(&json!({})))).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let answer = answer.json();
        assert_eq!((&answer["accepted"], &answer["rejected"][0]["index"]), (&json!(1), &json!(0)));
        service.serves_others().await;
    }
}

/// Keys that collide are of no use: maps are sorted, or hashed with SipHash under keys of their own. So many are simply
/// taken, wherever they stand.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_are_answered() {
    let service = Service::start("", "").await;
    let keys: Map<String, Value> =
        (0..100_000).map(|number| (format!("key-{number}"), json!(number))).collect();
    let answer = service.post(&event(&json!({ "payload": keys }))).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(service.post(&event(&Value::Object(keys.clone()))).await.problem(), "no-valid-event");
    let twice = format!("{{{}}}", vec!["\"a\":1"; 100_000].join(","));
    assert_eq!(service.post(&event(&json!({})).replacen("42", &twice, 1)).await.status, 422);
    let entities = format!("{{\"entities\":[{}]}}", Value::Object(keys));
    assert_eq!(service.post_to("/v1/invalidations", "", &entities).await.problem(), "invalid-body");
    let query: String = (0..3000).map(|number| format!("k{number}=1&")).collect();
    assert_eq!(service.get(&format!("/v1/jobs?{query}")).await.problem(), "invalid-parameter");
    service.serves_others().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused_whether_or_not_it_says_so() {
    let service = Service::start("body: 64KiB", "").await;
    for length in ["65537", "1000000000000000000", "18446744073709551615"] {
        let mut declared = service.connect().await;
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        declared.send(head.as_bytes()).await;
        let answer = declared.rest().await;
        // The largest of them is no length at all to the HTTP library.
        assert!(["HTTP/1.1 413", "HTTP/1.1 431"].contains(&&answer[..12]), "{length}: {answer}");
    }
    let mut endless = service.connect().await;
    endless
        .send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = [b"10000\r\n", " ".repeat(0x10000).as_bytes(), b"\r\n"].concat();
    // Until the service has heard enough.
    while endless.send(&chunk).await {}
    service.serves_others().await;
}
