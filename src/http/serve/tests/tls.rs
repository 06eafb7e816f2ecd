use tokio::task::yield_now;
use zeroize::Zeroizing;

use super::*;
use crate::{
    http::probe_over_tls,
    tls::{Identity, connect_to_ourselves},
};

const FOREVER: Duration = Duration::from_secs(3600);

/// A server that speaks TLS.
async fn start(limits: Limits) -> Server {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = Zeroizing::new(made.signing_key.serialize_pem());
    let identity = Identity::from_pem(made.cert.pem(), key).unwrap();
    Server::start_with(limits, Some(Acceptor::new(&identity).unwrap())).await
}

#[tokio::test]
async fn a_request_over_tls_is_answered() {
    let server = start(Limits::default()).await;
    let mut client = soon(connect_to_ourselves(server.connect().await)).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 12];
    soon(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_disconnected() {
    let server = start(Limits { header_read: Duration::from_millis(20), ..Limits::default() }).await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn a_client_that_speaks_plaintext_gets_no_answer_and_does_no_harm() {
    let server = start(Limits { header_read: FOREVER, ..Limits::default() }).await;
    let mut plain = server.connect().await;
    plain.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(soon(probe_over_tls(server.address)).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_silent_handshake_makes_room_for_a_new_connection() {
    let server = start(Limits { connections: 1, header_read: FOREVER, ..Limits::default() }).await;
    let mut silent = server.connect().await;
    while server.tasks.is_empty() {
        yield_now().await;
    }
    let next = server.connect().await;
    soon(connect_to_ourselves(next)).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn a_handshake_under_way_does_not_keep_the_service_from_stopping() {
    let limits = Limits { header_read: FOREVER, drain: FOREVER, ..Limits::default() };
    let server = start(limits).await;
    let mut silent = server.connect().await;
    while server.tasks.is_empty() {
        yield_now().await;
    }
    server.shutdown.cancel();
    soon(server.serving).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn a_probe_says_whether_tls_is_spoken_at_all() {
    let plain = Server::start(Limits::default()).await;
    assert!(matches!(soon(probe_over_tls(plain.address)).await, Err(ProbeError::Tls(..))));
    let encrypted = start(Limits::default()).await;
    assert!(matches!(soon(probe(encrypted.address)).await, Err(ProbeError::Http(..))));
}
