//! `rediss://`.

use std::{ffi::OsString, process::Command};

use crate::{
    certificates::Certificates,
    process::poll,
    redis_server::RedisServer,
    service::{Service, curl},
};

/// Every password in a URL here.
const PASSWORD: &str = "tok-hunter2";
const COPY: &str = "/posts/42?access_token=tok-alice";

/// A Redis that speaks TLS alone, and asks clients for a certificate or not.
fn start_redis(certificates: &Certificates, auth_clients: &str) -> RedisServer {
    let files = [
        ("--tls-cert-file", certificates.cert()),
        ("--tls-key-file", certificates.key()),
        ("--tls-ca-cert-file", certificates.ca()),
    ];
    let mut options: Vec<OsString> =
        files.into_iter().flat_map(|(option, file)| [option.into(), file.into()]).collect();
    options.extend(["--tls-auth-clients", auth_clients, "--requirepass", PASSWORD].map(Into::into));
    RedisServer::start_with("--tls-port", options)
}

/// Asks a Redis with a client that is not decache's.
fn redis_cli(server: &RedisServer, certificates: &Certificates, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &server.port.to_string(), "--no-auth-warning", "-a", PASSWORD, "--tls", "--cacert"])
        .arg(certificates.ca())
        .arg("--cert")
        .arg(certificates.cert())
        .arg("--key")
        .arg(certificates.key())
        .args(words)
        .output()
        .expect("redis-cli (Debian package redis-tools) to be installed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn url(server: &RedisServer) -> String {
    format!("rediss://:{PASSWORD}@127.0.0.1:{}", server.port)
}

/// decache with an index and a cache, each with these fields beside its URL.
async fn start_decache(index: (&RedisServer, &str), cache: (&RedisServer, &str)) -> Service {
    let (index_url, cache_url) = (url(index.0), url(cache.0));
    Service::start(&format!(
        "server: {{ bind: '127.0.0.1:0' }}\njournal: {{ level: none }}\nlog: {{ filter: debug }}\n\
         store: {{ kind: redis, url: '{index_url}', {} }}\n\
         caches: [ {{ name: api, kind: redis, url: '{cache_url}', {} }} ]\n",
        index.1, cache.1
    ))
    .await
}

fn ca_file(certificates: &Certificates) -> String {
    format!("ca_file: {}", certificates.ca().display())
}

/// Posts an event and returns what became of it.
fn post(service: &Service, event: &str) -> String {
    let (code, body) =
        curl(&["--header", "Prefer: wait=30", "--json", event, &format!("{}/v1/events", service.url)]);
    assert_eq!(code, 0, "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_and_a_cache_behind_tls_do_their_work() {
    let certificates = Certificates::new();
    let (index, cache) = (start_redis(&certificates, "yes"), start_redis(&certificates, "no"));
    let (cert, key) = (certificates.cert(), certificates.key());
    let ours = format!("client_cert_file: {}, client_key_file: {}", cert.display(), key.display());
    let with_ours = format!("{}, {ours}", ca_file(&certificates));
    let mut service = start_decache((&index, &with_ours), (&cache, &ca_file(&certificates))).await;
    assert_eq!(redis_cli(&cache, &certificates, &["SET", COPY, "a post", "EX", "300"]), "OK");

    let read = r#"{"action_type": "Read", "resource_type": "Posts", "entity_id": 42, "access_token": "tok-alice", "user_id": "alice"}"#;
    let body = post(&service, read);
    assert!(body.contains(r#""outcome":"done""#), "{body}");
    let (_, holders) = curl(&[&format!("{}/v1/entities/Posts/42/holders", service.url)]);
    assert!(holders.contains("alice"), "{holders}");
    assert_ne!(redis_cli(&index, &certificates, &["DBSIZE"]), "0");
    assert_eq!(redis_cli(&cache, &certificates, &["EXISTS", COPY]), "1");

    let body = post(&service, r#"{"action_type": "Update", "resource_type": "Posts", "entity_id": 42}"#);
    assert!(body.contains(r#""outcome":"done""#), "{body}");
    assert_eq!(redis_cli(&cache, &certificates, &["EXISTS", COPY]), "0");
    assert!(service.process.terminate().await.success());
    assert_says_no_password(&service);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_believed_is_a_clear_reason_in_the_log_and_in_readiness() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (index, cache) = (start_redis(&certificates, "no"), start_redis(&certificates, "no"));
    // The system's authorities know nothing of ours, either.
    let service = start_decache((&index, &ca_file(&others)), (&cache, "timeout: 2")).await;
    for component in ["store", "cache:api"] {
        wait_for_reason(&service, component, "invalid peer certificate: UnknownIssuer").await;
    }
    let (_, body) = curl(&[&format!("{}/readyz", service.url)]);
    assert!(body.contains("degraded") && body.contains("UnknownIssuer"), "{body}");
    assert!(!body.contains("rediss:") && !body.contains(PASSWORD), "{body}");
    assert_says_no_password(&service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_asks_for_a_certificate_is_not_reached_without_one() {
    let certificates = Certificates::new();
    let (index, cache) = (start_redis(&certificates, "yes"), start_redis(&certificates, "no"));
    let service = start_decache((&index, &ca_file(&certificates)), (&cache, &ca_file(&certificates))).await;
    wait_for_reason(&service, "store", "received fatal alert").await;
    assert_says_no_password(&service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_made_out_to_another_host_is_not_believed() {
    let certificates = Certificates::new();
    let cache = start_redis(&certificates, "no");
    let service = Service::start(&format!(
        "server: {{ bind: '127.0.0.1:0' }}\njournal: {{ level: none }}\n\
         caches: [ {{ name: api, kind: redis, url: 'rediss://:{PASSWORD}@[::ffff:127.0.0.1]:{}', {} }} ]\n",
        cache.port,
        ca_file(&certificates)
    ))
    .await;
    wait_for_reason(&service, "cache:api", "invalid peer certificate: certificate not valid for name").await;
    assert_says_no_password(&service);
}

/// Waits for a line in the log that says of a component why it is in trouble.
async fn wait_for_reason(service: &Service, component: &str, reason: &str) {
    poll(&format!("{component}: {reason}"), async || {
        let output = service.process.output();
        output.lines().any(|line| line.contains(component) && line.contains(reason)).then_some(())
    })
    .await;
}

fn assert_says_no_password(service: &Service) {
    let output = service.process.output();
    let line = output.lines().find(|line| line.contains(PASSWORD) || line.contains("rediss://:"));
    assert_eq!(line, None);
}
