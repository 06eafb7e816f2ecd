//! The composition root: from a configuration to a running service, and to its end. The only place that knows all rooms
//! and the only one that spawns.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

mod build;
mod caches;
mod check;
mod debts;
mod explain;
mod monitor;
mod parts;
mod reconcile;
mod reload;
pub(crate) mod replay;
mod servers;
mod watch;

pub use check::{Checked, check};
pub use explain::explain;
use parts::Parts;
pub use reconcile::reconcile;
use reload::Reloader;
pub use watch::{Read, Reloading};

use crate::{
    config::{Config, Loaded, server::ServerConfig},
    current::Current,
    http,
    otlp::Exporter,
    relations::ClaimError,
    tls::Acceptor,
};

/// How long to wait before a store that could not be reached is asked again whether it is ours.
const CLAIM_PAUSE: Duration = Duration::from_millis(500);
/// How long tasks have to notice that they are cancelled.
const CANCELLED: Duration = Duration::from_secs(1);

/// A service that is built and bound, and does not run yet.
pub struct App {
    server: ServerConfig,
    listener: http::Listener,
    parts: Parts,
    concurrency: usize,
    exporter: Option<Exporter>,
    reloader: Reloader,
    reloading: Option<Reloading>,
}

impl App {
    /// Builds everything, ties the store to the secret where the store can be reached, and binds the port.
    ///
    /// # Errors
    /// Everything that keeps the service from ever working as it is configured.
    pub async fn start(loaded: Loaded) -> anyhow::Result<Self> {
        let parts = Parts::build(&loaded)?;
        let reloader = Reloader::new(&parts, &loaded);
        let Config { server, workers, caches, telemetry, .. } = loaded.config;
        if caches.is_empty() {
            warn!(
                "no caches are configured: relationships are kept and dropped, but no copy is removed anywhere"
            );
        }
        // A store that cannot be reached is asked again while the service runs. One of another secret is not ours.
        if let Err(error @ ClaimError::OtherSecret { .. }) = parts.claim_and_look().await {
            bail!(error);
        }
        let listener = listen(&server).await?;
        let exporter = telemetry.otlp.map(|otlp| Exporter::start(&otlp, parts.clock)).transpose();
        let exporter = exporter.map_err(|detail| anyhow!("telemetry.otlp: {detail}"))?;
        Ok(Self {
            server,
            listener,
            parts,
            concurrency: workers.concurrency,
            exporter,
            reloader,
            reloading: None,
        })
    }

    /// Has it take over a changed configuration while it runs.
    #[must_use]
    pub fn reloading(self, reloading: Reloading) -> Self {
        Self { reloading: Some(reloading), ..self }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.tcp.local_addr()
    }

    /// What its URLs begin with.
    pub fn scheme(&self) -> &'static str {
        self.server.scheme()
    }

    /// Serves until `stop`; then takes nothing more, and finishes what is under way and what is ready, for as long as
    /// the grace period allows.
    ///
    /// # Errors
    /// Where the store turns out to be another secret's.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { server, listener, parts, concurrency, exporter, reloader, reloading } = self;
        let (tasks, working) = (TaskTracker::new(), CancellationToken::new());
        if let Some(exporter) = exporter {
            tasks.spawn(exporter.run(working.clone()));
        }
        let monitor = tasks.spawn(monitor::run(parts.clone(), working.clone()));
        let debts = tasks.spawn(debts::run(parts.clone(), working.clone()));
        let workers = Workers { parts: parts.clone(), concurrency, tasks: tasks.clone() };
        let workers = tasks.spawn(workers.start(working.clone(), stop.clone()));

        let (desk, stopped) = (parts.clone(), working.clone());
        tasks.spawn(async move { desk.reconciliations.run(&desk.hooks, &stopped).await });

        let service = parts.service(reloader.entry.clone());
        let limits = service.limits;
        let router = Arc::new(Current::new(http::router(Arc::new(service))));
        if let Some(reloading) = reloading {
            let requests = router.clone();
            let serve = move |service| drop(requests.replace(http::router(Arc::new(service))));
            tasks.spawn(watch::run(reloading, reloader, serve, working.clone()));
        }
        let closing = CancellationToken::new();
        let idle = async {
            stop.cancelled().await;
            // Until then clients are still answered: with 503, where they want something done.
            working.run_until_cancelled(parts.queue.idle()).await;
            // Or connections would wait for their ends.
            parts.feed.close();
            closing.cancel();
        };
        let serving = http::serve(listener, router, limits, closing.clone(), &tasks);
        let finished = async {
            tokio::join!(serving, idle);
            // What was being accepted when it was told to stop has been answered, and is queued.
            working.run_until_cancelled(parts.queue.idle()).await;
        };
        let told = async {
            stop.cancelled().await;
            parts.health.stopping();
            info!("stopping: no more events are taken");
            timeout(server.grace, std::future::pending::<()>()).await.ok();
            warn!("the grace period is over");
        };
        tokio::select! {
            () = finished => {}
            () = told => {}
        }
        working.cancel();
        tasks.close();
        // What a store or a cache still keeps waiting is dropped with the runtime.
        timeout(CANCELLED, tasks.wait()).await.ok();
        parts.tell_what_is_left();
        monitor.abort();
        debts.abort();
        if workers.is_finished() {
            parts.losses.close().await;
        }
        match workers.is_finished() {
            true => workers.await?,
            false => Ok(()),
        }
    }
}

async fn listen(server: &ServerConfig) -> anyhow::Result<http::Listener> {
    let tls = match &server.tls {
        Some(tls) => Some(Acceptor::new(&tls.read().context("server.tls")?)?),
        None => None,
    };
    let tcp = TcpListener::bind(server.bind).await;
    Ok(http::Listener { tcp: tcp.with_context(|| format!("cannot listen on {}", server.bind))?, tls })
}

/// Starts the workers as soon as the journal has given back its jobs, and the store is known to be ours.
struct Workers {
    parts: Parts,
    concurrency: usize,
    tasks: TaskTracker,
}

impl Workers {
    /// Returns when they have ended. A store that is another secret's stops the service, and so does a worker that panics.
    async fn start(self, working: CancellationToken, stop: CancellationToken) -> anyhow::Result<()> {
        if let Err(error) = replay::replay(&self.parts).await {
            stop.cancel();
            return Err(error);
        }
        let ours = match working.run_until_cancelled(self.claimed()).await {
            None => return Ok(()),
            Some(ours) => ours,
        };
        if let Err(error) = ours {
            stop.cancel();
            // What is ready will never run: there is nothing to be finished.
            working.cancel();
            bail!(error);
        }
        let worker = self.parts.worker();
        let workers = (0..self.concurrency).map(|_| self.tasks.spawn(worker.clone().run(working.clone())));
        let (losses, working) = (self.parts.losses.clone(), working.clone());
        self.tasks.spawn(async move { losses.answer(working).await });
        for ended in futures_util::future::join_all(workers).await {
            // Its jobs would run for ever. The next process gets them from the journal.
            if let Err(panicked) = ended {
                stop.cancel();
                bail!("a worker has failed: {panicked}");
            }
        }
        Ok(())
    }

    /// Waits until the store is known to be ours, and to be the one that it was, or to have been lost.
    async fn claimed(&self) -> Result<(), ClaimError> {
        loop {
            match self.parts.claim_and_look().await {
                // A store may answer and take nothing, as a replica does: then nothing else tells of it.
                Err(ClaimError::Store(error)) => {
                    self.parts.health.tell("workers", Some(format!("no job is run yet: {error}")));
                    tokio::time::sleep(CLAIM_PAUSE).await;
                }
                known => {
                    self.parts.health.tell("workers", None);
                    return known;
                }
            }
        }
    }
}
