//! A redis-server that keeps what it has confirmed, whatever is done to it.

use std::{net::TcpListener, process::Command};

use deadpool_redis::redis::{Client, aio::MultiplexedConnection, cmd};
use futures_util::{StreamExt, stream::BoxStream};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Process, poll};

/// A server with its data in a folder of its own, synced at each write.
pub(crate) struct Redis {
    pub(crate) port: u16,
    process: Process,
    folder: tempfile::TempDir,
    appends: bool,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::start_as(true).await
    }

    /// One that keeps only what it is told to save.
    pub(crate) async fn start_with_snapshots() -> Self {
        Self::start_as(false).await
    }

    async fn start_as(appends: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, process) = launch(&folder, appends).await;
        Self { port, process, folder, appends }
    }

    /// Follows this one, and has all that it has.
    pub(crate) async fn replica(&self) -> Self {
        let replica = Self::start().await;
        replica.tell(&["REPLICAOF", "127.0.0.1", &self.port.to_string()]).await;
        poll("the replica has all", async || {
            let info: String = replica.ask(&["INFO", "replication"]).await;
            let has = |line: &str| info.contains(line);
            (has("master_link_status:up") && has("master_sync_in_progress:0")).then_some(())
        })
        .await;
        // What was written before is there; what is written from here on, may be.
        let answered: i64 = self.ask(&["WAIT", "1", "60000"]).await;
        assert_eq!(answered, 1);
        replica
    }

    /// Stops to follow.
    pub(crate) async fn promote(&self) {
        self.tell(&["REPLICAOF", "NO", "ONE"]).await;
    }

    pub(crate) async fn tell(&self, words: &[&str]) {
        self.ask::<deadpool_redis::redis::Value>(words).await;
    }

    pub(crate) async fn ask<T: deadpool_redis::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut self.connect().await).await.unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection that goes straight to it.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The beats that it is sent from here on.
    pub(crate) async fn beats(&self) -> Beats {
        let monitor = Client::open(self.url()).unwrap().get_async_monitor().await.unwrap();
        Beats(monitor.into_on_message().boxed())
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, on another port.
    pub(crate) async fn start_elsewhere(&mut self) {
        self.kill();
        (self.port, self.process) = launch(&self.folder, self.appends).await;
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

/// Beats that a server is sent, each as the words of its command.
pub(crate) struct Beats(BoxStream<'static, String>);

impl Beats {
    pub(crate) async fn next(&mut self) -> Vec<String> {
        loop {
            let line = self.0.next().await.expect("it goes on");
            let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            if let ["ZADD", key, ..] = words[..]
                && key.contains("decache:beat:")
            {
                return words.into_iter().map(str::to_owned).collect();
            }
        }
    }
}

/// Between finding a free port and binding it, another test may take it: then the next one is tried.
async fn launch(folder: &tempfile::TempDir, appends: bool) -> (u16, Process) {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", if appends { "yes" } else { "no" }, "--appendfsync", "always"]);
        command.args(["--repl-diskless-sync-delay", "0", "--dir"]).arg(folder.path());
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
