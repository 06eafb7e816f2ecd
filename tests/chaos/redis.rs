//! A redis-server on a port of its own, with or without a disk that keeps what it has confirmed.

use std::{net::TcpListener, process::Command};

use deadpool_redis::redis::{Client, aio::MultiplexedConnection, cmd};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Process, poll};

/// A server with its data in a folder of its own, synced at each write.
pub(crate) struct Redis {
    port: u16,
    process: Process,
    folder: tempfile::TempDir,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = launch(port, &folder).await;
        Self { port, process, folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// Ends it by SIGKILL and starts it again, with its data and at its address.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.port, &self.folder).await;
    }

    /// Holds it up: connections stay open, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// A port that nobody listens on. It is taken again after a restart, so it has to be known before.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn launch(port: u16, folder: &tempfile::TempDir) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder.path());
    let process = Process::start("redis-server", &mut command);
    let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    poll("redis-server answers", async || {
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        cmd("PING").query_async::<String>(&mut connection).await.ok()
    })
    .await;
    process
}
