//! The command line.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use service::{Service, Target, Unreached};

use crate::{
    app::{self, App, Reloading},
    config::{self, ConfigError, Loaded, auth::hash_key},
    http, open_files, telemetry,
};

/// Per-user cache invalidation as a service: knows who holds which entity, and removes every copy when it changes.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Cli {
    /// The configuration; without it `config/default.yaml`, else the built-in defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

mod completions;
mod dead;
mod demo;
mod explain;
mod holder;
mod holders;
mod invalidate;
mod pages;
mod reconcile;
mod removal;
mod service;
mod status;
mod table;

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the service (the default).
    Serve,
    /// Checks the configuration whole and says what is wrong with it.
    Check,
    /// Says what would come of events, and why: which rules match, which jobs they make, what follows. Nothing is queued.
    Explain(explain::Options),
    /// Compares index and caches: copies that no relationship tracks are recorded or evicted, relationships without a
    /// copy are dropped.
    Reconcile(reconcile::Options),
    /// Runs a service with an API and users beside it, to be looked at in a browser; all of it goes at the end.
    Demo(demo::Options),
    /// Reads an API key from standard input and prints its hash for `auth.keys`.
    HashKey,
    /// Asks the running service whether it takes events; exits with 1 where it does not.
    Healthcheck,
    /// Asks a running service who holds an entity.
    Holders(Asking<holders::Options>),
    /// Asks a running service what a holder holds, by its id or by its access token.
    Holder(Asking<holder::Options>),
    /// Has a running service remove every copy of entities.
    Invalidate(Asking<invalidate::Options>),
    /// Has a running service remove every copy that a holder has, as a logout does.
    Revoke(Asking<holder::Revoke>),
    /// Lists the dead letters of a running service, tries them again or discards them.
    Dead(Asking<dead::Options>),
    /// Asks a running service how it is and what waits; exits with 1 where it takes no events.
    Status(Asking<status::Options>),
    /// Prints what makes a shell complete commands and options.
    Completions(completions::Options),
}

/// A command that asks a running service.
#[derive(Args, Debug)]
struct Asking<O: Args> {
    #[command(flatten)]
    options: O,
    #[command(flatten)]
    target: Target,
}

/// The work was accepted and is not done yet.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfinished(String);

/// What a process exits with after an error: 3 where a running service was to be asked and gave no answer, 4 where it has
/// accepted the work and not done it in time, 1 in any other case. Mistakes in arguments are clap's, which exits with 2.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match () {
        () if error.is::<Unreached>() => 3,
        () if error.is::<Unfinished>() => 4,
        () => 1,
    }
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// What kept it from that, to be printed for people.
    pub fn run(self) -> anyhow::Result<()> {
        let config = self.config.as_deref();
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(load(config)?, config),
            Command::Check => check(&load(config)?),
            Command::Explain(options) => explain::run(&load(config)?, &options),
            Command::Reconcile(options) => reconcile::run(&load(config)?, &options),
            Command::Demo(options) => demo::run(&options),
            Command::HashKey => print_hash(),
            Command::Healthcheck => healthcheck(&load(config)?),
            Command::Holders(it) => it.ask(config, holders::run),
            Command::Holder(it) => it.ask(config, holder::run),
            Command::Invalidate(it) => it.ask(config, invalidate::run),
            Command::Revoke(it) => it.ask(config, holder::revoke),
            Command::Dead(it) => it.ask(config, dead::run),
            Command::Status(it) => it.ask(config, status::run),
            Command::Completions(options) => completions::run(&options),
        }
    }
}

impl<O: Args> Asking<O> {
    /// The configuration is read only where it has to say where the service is.
    fn ask(
        &self,
        config: Option<&Path>,
        run: impl AsyncFnOnce(&Service, &O) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let service = self.target.service(|| Ok(load(config)?.config.server))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(&service, &self.options))
    }
}

fn load(path: Option<&Path>) -> Result<Loaded, ConfigError> {
    // A variable that is no text is none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    config::load(path, variables)
}

fn serve(loaded: Loaded, path: Option<&Path>) -> anyhow::Result<()> {
    telemetry::init(&loaded.config.log).map_err(anyhow::Error::from_boxed)?;
    allow_connections(loaded.config.server.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let stop = CancellationToken::new();
        let (signals, mut hangup) = (Signals::register()?, signal(SignalKind::hangup())?);
        let reloading = reloading(&loaded, path);
        let asked = reloading.asked.clone();
        let app = App::start(loaded).await?.reloading(reloading);
        say(&format!("listening on {}://{}", app.scheme(), app.address()?))?;
        let ended_early = async {
            signals.stop_then_end(&stop).await;
            bail!("ended at once, by a second signal")
        };
        tokio::select! {
            ended = app.run(stop.clone()) => ended,
            ended = ended_early => ended,
            () = async { while hangup.recv().await.is_some() { asked.notify_one() } } => bail!("no signals can be received any more"),
        }
    });
    // Whatever still waits for a store must not hold up the end.
    runtime.shutdown_background();
    served
}

/// The file that was read at the start is read again, not another one that would be found by now.
fn reloading(loaded: &Loaded, path: Option<&Path>) -> Reloading {
    let file = loaded.source.file().or(path).map(Path::to_owned);
    let again = file.clone();
    Reloading { file, read: Arc::new(move || load(again.as_deref())), asked: Arc::default() }
}

/// Every connection is an open file; stores, caches and the journal need some as well.
fn allow_connections(connections: usize) {
    const OTHERS: usize = 256;
    match open_files::raise_limit() {
        Some(files) if files < (connections + OTHERS) as u64 => warn!(
            files,
            connections,
            "the process may open fewer files than server.limits.connections needs: raise its limit (ulimit -n)"
        ),
        _ => {}
    }
}

/// SIGXFSZ on every system that this runs on: a file has met the limit on the size of files (`ulimit -f`).
const FILE_SIZE_LIMIT: i32 = 25;

/// The signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn register() -> std::io::Result<Self> {
        // Once it is listened to it no longer kills the process, and the write that met the limit fails with an error.
        drop(signal(SignalKind::from_raw(FILE_SIZE_LIMIT))?);
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The first signal stops; returns at the second.
    async fn stop_then_end(mut self, stop: &CancellationToken) {
        self.next().await;
        stop.cancel();
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn check(loaded: &Loaded) -> anyhow::Result<()> {
    for warning in app::check(loaded)?.warnings {
        say(&format!("warning: {warning}"))?;
    }
    say(&format!("{}: ok", loaded.source))
}

fn print_hash() -> anyhow::Result<()> {
    let mut key = String::new();
    std::io::stdin().read_to_string(&mut key).context("standard input")?;
    say(&hash_key(key.trim_end_matches(['\r', '\n']))?)
}

fn healthcheck(loaded: &Loaded) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = &loaded.config.server;
    let address = reachable(server.bind);
    let status = runtime.block_on(async {
        match server.tls {
            Some(_) => http::probe_over_tls(address).await,
            None => http::probe(address).await,
        }
    })?;
    if !status.is_success() {
        bail!("{address} answers {status}");
    }
    say("ok")
}

/// Where a service that is bound to an address can be reached from the same machine.
fn reachable(bind: SocketAddr) -> SocketAddr {
    match bind {
        SocketAddr::V4(at) if at.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, at.port()).into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        at => at,
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    say_all([line.to_owned()])
}

/// Says lines. Who reads only the first of them (`head`) has had what they wanted.
fn say_all(lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let text: String = lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}
