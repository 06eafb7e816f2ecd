//! `server.tls`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    certificates::Certificates,
    service::{Service, curl},
};

/// curl's word for a certificate that it does not believe.
const NOT_BELIEVED: i32 = 60;
/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start(certificates: &Certificates, limits: &str) -> Service {
    let (cert, key) = (certificates.cert(), certificates.key());
    let (cert, key) = (cert.display(), key.display());
    Service::start(&format!(
        "server: {{ bind: '127.0.0.1:0', tls: {{ cert: {cert}, key: {key} }}, limits: {{ {limits} }} }}\n\
         journal: {{ level: none }}\n"
    ))
    .await
}

fn ready(service: &Service, ca: &Certificates) -> (i32, String) {
    let (ca, url) = (ca.ca(), format!("{}/readyz", service.url));
    curl(&["--cacert", ca.to_str().expect("text"), &url])
}

fn assert_ready(service: &Service, ca: &Certificates) {
    let (code, body) = ready(service, ca);
    assert!(code == 0 && body.contains("\"ok\""), "curl exits with {code}: {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_over_every_version_of_tls_that_is_safe() {
    let certificates = Certificates::new();
    let mut service = start(&certificates, "").await;
    assert!(service.url.starts_with("https://"), "{}", service.url);
    let (ca, url) = (certificates.ca(), format!("{}/v1/events", service.url));
    let ca = ca.to_str().expect("text");
    let event = r#"{"action_type": "Update", "resource_type": "Posts", "entity_id": 42}"#;
    for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
        let [at_least, option, at_most] = version;
        let (code, body) = curl(&["--cacert", ca, at_least, option, at_most, "--json", event, &url]);
        assert!(code == 0 && body.contains("\"accepted\":1"), "{version:?}: curl exits with {code}: {body}");
    }
    assert!(service.process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_authority_does_not_believe_the_certificate() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let service = start(&certificates, "").await;
    assert_eq!(ready(&service, &others), (NOT_BELIEVED, String::new()));
    assert_ready(&service, &certificates);
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_on_the_tls_port_gets_no_answer_and_does_no_harm() {
    let certificates = Certificates::new();
    let service = start(&certificates, "").await;
    let mut plain = connect(&service);
    plain.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let answer = read_until_closed(&mut plain);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    assert_ready(&service, &certificates);
}

/// One connection is all that the service takes at a time: whoever asks next is served once the silent one is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_closed_and_costs_the_next_client_nothing_but_the_wait() {
    let certificates = Certificates::new();
    let service = start(&certificates, "connections: 1, header_read_time: 200ms").await;
    let mut silent = connect(&service);
    assert_ready(&service, &certificates);
    assert_eq!(read_until_closed(&mut silent), b"");

    let mut halfway = connect(&service);
    halfway.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).expect("the beginning of a handshake");
    assert_ready(&service, &certificates);
    assert_eq!(read_until_closed(&mut halfway), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_healthcheck_asks_over_tls() {
    let certificates = Certificates::new();
    let service = start(&certificates, "").await;
    let checked = service.healthcheck();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(checked.stdout, b"ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_is_asked_of_the_service_with_our_certificate_and_of_no_other() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let service = start(&ours, "").await;
    let reconcile = |certificates: &Certificates| {
        let mut command = service.beside("reconcile");
        command.env("DECACHE_KEY", "a key").env("DECACHE__SERVER__TLS__CERT", certificates.cert());
        let output = command.env("DECACHE__SERVER__TLS__KEY", certificates.key()).output().expect("decache");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (is_done, said) = reconcile(&ours);
    assert!(is_done && said.contains("no caches are configured"), "{said}");
    let (is_done, said) = reconcile(&others);
    assert!(!is_done && said.contains("does not show the certificate"), "{said}");
}

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", service.port())).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What the service sends before it closes the connection.
fn read_until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => received,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => received,
        Err(error) => panic!("the connection is not closed: {error}"),
    }
}
