//! A redis-server that keeps what it has confirmed, whatever is done to it.

use std::{net::TcpListener, process::Command};

use deadpool_redis::redis::{Client, aio::MultiplexedConnection, cmd};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Process, poll};

/// A server with its data in a folder of its own, synced at each write.
pub(crate) struct Redis {
    pub(crate) port: u16,
    process: Process,
    folder: tempfile::TempDir,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, process) = launch(&folder).await;
        Self { port, process, folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection that goes straight to it.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, on another port.
    pub(crate) async fn start_elsewhere(&mut self) {
        self.kill();
        (self.port, self.process) = launch(&self.folder).await;
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
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// Between finding a free port and binding it, another test may take it: then the next one is tried.
async fn launch(folder: &tempfile::TempDir) -> (u16, Process) {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder.path());
        let mut process = Process::start("redis-server", &mut command);
        let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let ours = poll("redis-server answers or ends", async || {
            if process.has_ended() {
                return Some(false);
            }
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let answer: Result<String, _> = cmd("PING").query_async(&mut connection).await;
            (answer.is_ok() && process.output().contains("Ready to accept connections")).then_some(true)
        });
        if ours.await {
            return (port, process);
        }
    }
}
