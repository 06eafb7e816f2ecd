//! A decache of its own for each test, a client that behaves, and raw connections for those that do not.

use std::{net::SocketAddr, process::Command, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::process::{self, Process};

/// Only a failing test waits so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running decache.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A connection on which anything can be sent.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Service {
    /// Starts with `server.limits` as given, and `more` sections.
    pub(crate) async fn start(limits: &str, more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().display();
        let store = match more.contains("store:") {
            true => String::new(),
            false => format!("store: {{ kind: embedded, path: {path}/store }}\n"),
        };
        let text = format!(
            "server: {{ bind: \"127.0.0.1:0\", limits: {{ {limits} }} }}\nsecret: {{ file: {path}/secret }}\n\
             journal: {{ level: none }}\n{store}{more}"
        );
        let config = folder.path().join("decache.yaml");
        std::fs::write(&config, text).expect("the configuration");
        let mut process =
            Process::start("decache", Command::new(process::decache()).arg("--config").arg(config));
        let url = process.listening().await;
        let address = url.trim_start_matches("http://").parse().expect("an address");
        Self { process, address, _folder: folder }
    }

    pub(crate) async fn connect(&self) -> Raw {
        Raw(soon(TcpStream::connect(self.address)).await.expect("a connection"))
    }

    /// Another client: asks whether the service lives, posts a read and sees its holder, each on a new connection.
    pub(crate) async fn serves_others(&self) {
        assert_eq!(self.get("/livez").await.status, 200);
        let event = json!({
            "action_type": "Read", "resource_type": "Posts", "entity_id": "honest", "access_token": "tok-honest",
        });
        let answer = self.post(&event.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(self.get("/v1/entities/Posts/honest").await.status, 200);
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await
    }

    /// Posts events.
    pub(crate) async fn post(&self, body: &str) -> Answer {
        self.post_to("/v1/events", "", body).await
    }

    pub(crate) async fn post_to(&self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {length}\r\n\r\n"
        );
        self.ask(&[head.as_bytes(), body.as_bytes()].concat()).await
    }

    /// The first answer to these bytes on a connection of their own.
    pub(crate) async fn ask(&self, bytes: &[u8]) -> Answer {
        let mut raw = self.connect().await;
        raw.send(bytes).await;
        let all = raw.rest().await;
        Answer::read(&all).unwrap_or_else(|| panic!("no answer, but {all:?}"))
    }
}

impl Raw {
    /// Sends; a service that does not want to hear more may hang up.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        soon(self.0.write_all(bytes)).await.is_ok()
    }

    /// Everything that comes until the service hangs up.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = soon(self.0.read(&mut buffer)).await {
            bytes.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What comes until `end` is in it.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut buffer = vec![0; 64 * 1024];
        while !text.contains(end) {
            match soon(self.0.read(&mut buffer)).await {
                Ok(read @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                ended => panic!("{ended:?} before {end:?}: {text}"),
            }
        }
        text
    }
}

impl Answer {
    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    /// The end of a problem's type.
    pub(crate) fn problem(&self) -> String {
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body));
        body["type"].as_str().and_then(|urn| urn.rsplit(':').next()).expect("a problem").to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }
}

/// Waits for what has to come, and fails instead of hanging where it does not.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it has to come")
}

/// An event about a post, with these fields over the usual ones.
pub(crate) fn event(fields: &Value) -> String {
    let mut event = json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": 42, "access_token": "tok-alice",
    });
    for (name, value) in fields.as_object().expect("fields") {
        event[name] = value.clone();
    }
    event.to_string()
}
