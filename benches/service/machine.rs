//! What a measurement runs on: processes, the CPU time that they take, and the cores that they run on.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    process::{Process, decache, poll},
    redis_server::RedisServer,
    resp::Raw,
};

/// A process's clock ticks are hundredths of a second on every Linux that we know of.
const TICK: Duration = Duration::from_millis(10);

/// Which cores a program may run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cores {
    /// All of them.
    Free,
    /// The first: the service. Clients and Redis have the others.
    First,
}

impl Cores {
    /// The command that runs a program there.
    pub(crate) fn run(self, program: &Path) -> Command {
        if self == Self::Free {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    }
}

/// The CPU time that a process has taken so far, in user and system.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks: u32 = [11, 12].map(|field: usize| fields[field].parse::<u32>().unwrap()).iter().sum();
    TICK * ticks
}

/// The most memory that a process has had so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

/// The memory that a process has, in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

fn status(pid: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A server that answers HTTP on the loopback.
pub(crate) struct Server {
    process: Process,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// From its being called to its saying that it listens.
    pub(crate) started_in: Duration,
    _folder: TempDir,
}

impl Server {
    /// decache with this configuration, in which `FOLDER` stands for its own, when it is ready for events and its store
    /// is known.
    pub(crate) async fn decache(config: &str, cores: Cores) -> Self {
        let folder = folder();
        let file = folder.path().join("config.yaml");
        fs::write(&file, config.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
        let mut command = cores.run(&decache());
        command.arg("serve").arg("--config").arg(&file);
        let server = Self::start("decache", &mut command, folder).await;
        let client = reqwest::Client::new();
        let url = server.url("/readyz");
        poll("decache is ready", async || {
            let answer = client.get(&url).send().await.ok()?;
            // A store that is not known yet makes it degraded.
            let is_ready = answer.status() == 200 && !answer.text().await.ok()?.contains("store");
            is_ready.then_some(())
        })
        .await;
        server
    }

    /// This program itself, as something else.
    pub(crate) async fn of_ours(role: &str, cores: Cores) -> Self {
        let mut command = cores.run(&std::env::current_exe().unwrap());
        command.arg(role);
        Self::start("a limit", &mut command, folder()).await
    }

    async fn start(name: &'static str, command: &mut Command, folder: TempDir) -> Self {
        let began = Instant::now();
        let mut process = Process::start(name, command);
        let url = process.listening().await;
        let started_in = began.elapsed();
        let address = url.trim_start_matches("http://").to_owned();
        Self { process, address, started_in, _folder: folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.pid())
    }

    /// A number in what it answers to `GET /v1/queue`.
    pub(crate) async fn queued(&self, client: &reqwest::Client) -> u64 {
        let answer: serde_json::Value =
            client.get(self.url("/v1/queue")).send().await.unwrap().json().await.unwrap();
        ["queued", "running"].iter().map(|field| answer[field].as_u64().unwrap()).sum()
    }

    /// Waits until it has nothing to do.
    pub(crate) async fn idle(&self, client: &reqwest::Client) {
        while self.queued(client).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// On a disk, where `DECACHE_BENCH_FOLDER` names one.
fn folder() -> TempDir {
    match std::env::var_os("DECACHE_BENCH_FOLDER") {
        Some(parent) => TempDir::new_in(parent).unwrap(),
        None => TempDir::new().unwrap(),
    }
}

/// A redis-server, on the cores that the service does not have.
pub(crate) struct Redis {
    pub(crate) server: RedisServer,
    pid: u32,
}

impl Redis {
    pub(crate) fn start(cores: Cores) -> Self {
        let server = RedisServer::start();
        let pid = Raw::connect(server.port).process_id();
        if cores != Cores::Free {
            let list = format!("1-{}", std::thread::available_parallelism().unwrap().get().max(2) - 1);
            let pinned = Command::new("taskset").args(["-acp", &list, &pid.to_string()]).output().unwrap();
            assert!(pinned.status.success(), "redis-server could not be pinned");
        }
        Self { server, pid }
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.pid)
    }
}

/// Bytes that a redis-server has received and sent so far.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    received: u64,
    sent: u64,
}

impl Traffic {
    pub(crate) fn of(redis: &Redis) -> Self {
        let text = Raw::connect(redis.server.port).told("stats", "total_net_repl_input_bytes");
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        Self { received: number("total_net_input_bytes:"), sent: number("total_net_output_bytes:") }
    }

    /// Received and sent since then.
    pub(crate) fn since(self, before: Self) -> (u64, u64) {
        (self.received - before.received, self.sent - before.sent)
    }
}
