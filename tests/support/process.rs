//! A program as a process of its own: its output kept, its readiness waited for, its end certain.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tempfile::NamedTempFile;

/// How long anything may take before a test gives up. Only a failing test ever waits this long.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);
/// What every program of this repository says on standard output once it can be connected to.
const LISTENING: &str = "listening on ";

/// A running program. It is killed when it is dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    output: NamedTempFile,
}

impl Process {
    /// Starts a program with nothing on its standard input. `name` is for messages.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        let output = NamedTempFile::new().expect("a file for the output");
        // Appending, so that the two streams share one file without writing over each other.
        let file = File::options().append(true).open(output.path()).expect("the file for the output");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name, child, output }
    }

    /// The base URL that the program prints once it listens.
    pub(crate) async fn listening(&mut self) -> String {
        poll(&format!("{} listens", self.name), async || {
            if self.has_ended() {
                let status = self.child.wait().expect("its status");
                panic!("{} ended with {status} before it listened:\n{}", self.name, self.output());
            }
            let output = self.output();
            let (complete, _) = output.rsplit_once('\n')?;
            complete.lines().find_map(|line| Some(line.strip_prefix(LISTENING)?.to_owned()))
        })
        .await
    }

    /// All that it has written to standard output and standard error.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(self.output.path()).expect("the output");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.ended().await
    }

    /// Asks it to stop (SIGTERM).
    pub(crate) fn ask_to_stop(&self) {
        let pid = rustix::process::Pid::from_raw(self.id().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM is sent");
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        poll(&format!("{} stops", self.name), async || self.child.try_wait().expect("the process's state"))
            .await
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process's state").is_some()
    }

    /// Ends it at once, where it has not ended.
    pub(crate) fn kill(&mut self) {
        // Both fail only where it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- output of {}\n{}", self.name, self.output());
        }
    }
}

/// Looks again and again until there is an answer. Panics, naming `what`, if there is none for a minute.
pub(crate) async fn poll<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(POLL).await,
            }
        }
    };
    match tokio::time::timeout(DEADLINE, looking).await {
        Ok(found) => found,
        Err(_) => panic!("waited in vain for: {what}"),
    }
}

/// decache's binary. Cargo builds it before any integration test and says where.
pub(crate) fn decache() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_decache"))
}
