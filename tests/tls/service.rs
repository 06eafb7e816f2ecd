//! decache as a process, and curl to ask it.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::process::{self, Process};

/// A running decache with a folder of its own.
pub(crate) struct Service {
    pub(crate) process: Process,
    /// Where it says that it listens.
    pub(crate) url: String,
    folder: TempDir,
}

impl Service {
    /// Starts it with these sections of a configuration, and waits until it listens.
    pub(crate) async fn start(sections: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("decache.yaml"), sections).expect("the configuration");
        let mut process = Process::start("decache", command(folder.path()).arg("serve"));
        let url = process.listening().await;
        Self { process, url, folder }
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
    }

    /// `decache healthcheck` beside it.
    pub(crate) fn healthcheck(&self) -> Output {
        self.beside("healthcheck").output().expect("decache")
    }

    /// A command of decache with the same configuration.
    pub(crate) fn beside(&self, name: &str) -> Command {
        let mut command = command(self.folder.path());
        command.arg(name).env("DECACHE__SERVER__BIND", format!("127.0.0.1:{}", self.port()));
        command
    }
}

/// decache in this folder, with the configuration in it.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(process::decache());
    command.current_dir(folder).args(["--config", "decache.yaml"]);
    command
}

/// curl's exit code, and what it prints: the answer's body.
pub(crate) fn curl(arguments: &[&str]) -> (i32, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"])
        .args(arguments)
        .output()
        .expect("curl (Debian package curl) to be installed");
    (output.status.code().expect("an exit code"), String::from_utf8_lossy(&output.stdout).into_owned())
}
