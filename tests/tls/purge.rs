//! A cache of kind `http` behind HTTPS: nginx, which says whom it has let in and what was asked of it.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    certificates::Certificates,
    process::{Process, poll},
    service::{Service, curl},
};

const KEY: &str = "key-of-decache";
const READ: &str =
    r#"{"action_type":"Read","resource_type":"Posts","entity_id":42,"access_token":"tok-alice"}"#;
const UPDATE: &str = r#"{"action_type":"Update","resource_type":"Posts","entity_id":42}"#;
/// How many free ports are tried: between finding one and binding it, another test may take it.
const ATTEMPTS: usize = 20;

struct Proxy {
    port: u16,
    folder: TempDir,
    _process: Process,
}

impl Proxy {
    async fn start(certificates: &Certificates) -> Self {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::tempdir().expect("a folder");
            let port =
                TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
            let file = folder.path().join("nginx.conf");
            std::fs::write(&file, configuration(folder.path(), port, certificates)).expect("a file");
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(file);
            let mut process = Process::start("nginx", &mut command);
            let runs = poll("nginx listens or ends", async || match process.has_ended() {
                true => Some(false),
                false => TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true),
            });
            if runs.await {
                return Self { port, folder, _process: process };
            }
        }
        panic!("no nginx in {ATTEMPTS} attempts")
    }

    /// What it was asked: method, path and who asked.
    fn asked(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("asked")).expect("its log")
    }

    /// decache with this proxy as its cache.
    async fn beside(&self, tls: &str) -> Service {
        let url = format!("https://127.0.0.1:{}{{key}}", self.port);
        Service::start(&format!(
            "server: {{ bind: '127.0.0.1:0' }}\njournal: {{ level: none }}\nlog: {{ filter: debug }}\n\
             workers: {{ backoff: {{ base: 10ms, cap: 50ms }} }}\n\
             caches: [ {{ name: proxy, kind: http, url: '{url}', bearer: {KEY}, {tls} }} ]\n",
        ))
        .await
    }
}

fn configuration(folder: &Path, port: u16, certificates: &Certificates) -> String {
    let (cert, key) = (certificates.cert(), certificates.key());
    let (folder, cert, key) = (folder.display(), cert.display(), key.display());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|it| format!("{it}_temp_path {folder}/{it};\n")).concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{temporary}\
         log_format asked '$request_method $request_uri $http_authorization';\naccess_log {folder}/asked asked;\n\
         server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {cert};\nssl_certificate_key {key};\n\
         location / {{ return 204; }}\n}}\n}}\n"
    )
}

fn post(service: &Service, event: &str, prefer: &str) -> Value {
    let url = format!("{}/v1/events", service.url);
    let (code, body) = curl(&["--header", &format!("Prefer: {prefer}"), "--json", event, &url]);
    assert_eq!(code, 0, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_behind_tls_is_purged_where_its_authority_is_named() {
    let certificates = Certificates::new();
    let proxy = Proxy::start(&certificates).await;
    let service = proxy.beside(&format!("ca_file: '{}'", certificates.ca().display())).await;
    assert_eq!(post(&service, READ, "wait=30")["jobs"][0]["outcome"], "done");
    assert_eq!(post(&service, UPDATE, "wait=30")["jobs"][0]["outcome"], "done");
    // nginx writes its log when it has answered.
    poll("the purge", async || {
        proxy
            .asked()
            .contains(&format!("PURGE /posts/42?access_token=tok-alice Bearer {KEY}\n"))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_another_authority_vouches_for_is_told_nothing_and_nothing_is_told_of_it() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let proxy = Proxy::start(&certificates).await;
    for tls in [format!("ca_file: '{}'", others.ca().display()), "timeout: 2".to_owned()] {
        let mut service = proxy.beside(&tls).await;
        assert_eq!(post(&service, READ, "wait=30")["jobs"][0]["outcome"], "done");
        let id = post(&service, UPDATE, "wait=0")["jobs"][0]["id"].as_str().expect("an id").to_owned();
        let ask = |path: &str| curl(&[&format!("{}{path}", service.url)]).1;
        let job = poll("it was tried twice", async || {
            let job: Value = serde_json::from_str(&ask(&format!("/v1/jobs/{id}"))).ok()?;
            (job["attempts"].as_u64()? > 1).then_some(job)
        })
        .await;
        assert_eq!(job["last_error"], "cache proxy: cache unavailable: not reached");
        poll("readiness tells", async || ask("/readyz").contains("cache:proxy").then_some(())).await;
        let said = [ask("/readyz"), ask("/metrics"), ask("/v1/jobs"), job.to_string()].concat();
        assert!(service.process.terminate().await.success());
        let address = format!("127.0.0.1:{}", proxy.port);
        for secret in ["tok-alice", KEY, &address] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
        for secret in ["tok-alice", KEY] {
            assert!(!service.process.output().contains(secret), "{secret}: {}", service.process.output());
        }
    }
    assert_eq!(proxy.asked(), "", "no request was sent to it");
}
