//! `decache reconcile`: by this process where it can have the store, else by the service that holds it.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{
    say,
    service::{ApiKey, Ask, Service},
};
use crate::{
    app,
    config::Loaded,
    reconcile::{Plan, Reconciliation, Report, Stage, Untracked},
};

/// How often the service is asked how far it has come.
const POLL: Duration = Duration::from_millis(200);
const PATH: &str = "/v1/reconciliations";
const STEPS: u64 = 1000;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Counts what would be done, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// What becomes of copies that no relationship tracks. Without it: evicted where the index is known to have been
    /// lost, else recorded.
    #[arg(long, value_name = "WHAT")]
    untracked: Option<Untracked>,
    /// Prints the counts as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    key: ApiKey,
}

pub(super) fn run(loaded: &Loaded, options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (plan, bar) = (Plan { dry_run: options.dry_run, untracked: options.untracked }, bar());
    let progress = |report: &Report| show(&bar, report);
    let report = runtime.block_on(async {
        let cancelled = CancellationToken::new();
        let here = app::reconcile(loaded, plan, &progress, &cancelled);
        tokio::pin!(here);
        let report = tokio::select! {
            report = &mut here => report?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                cancelled.cancel();
                here.await?
            }
        };
        match report {
            Some(report) => Ok(report),
            None => by_service(loaded, options, plan, &progress).await,
        }
    });
    bar.finish_and_clear();
    print(&report?, options)
}

/// Has the service do it that holds the store.
async fn by_service(
    loaded: &Loaded,
    options: &Options,
    plan: Plan,
    progress: &(dyn Fn(&Report) + Sync),
) -> anyhow::Result<Report> {
    let service = Service::beside(&loaded.config.server, &options.key)?;
    let in_use = "the store is in use by a running service, which has to be asked";
    let begun = service.ask(Ask::post(PATH, &plan)?).await.context(in_use)?;
    let mut now: Reconciliation = begun.into()?;
    let id = now.id.clone();
    while now.state == Stage::Running {
        tokio::time::sleep(POLL).await;
        now = service.get(&format!("{PATH}/current")).await?;
        if now.id != id {
            bail!("another reconciliation has begun; what came of this one is in the service's log");
        }
        progress(&now.report);
    }
    match now.error {
        Some(error) => bail!(error),
        None => Ok(now.report),
    }
}

/// On standard error, and only where that is a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(STEPS);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, report: &Report) {
    let share = report.share_done.unwrap_or(0.0).clamp(0.0, 1.0);
    bar.set_position((share * STEPS as f64) as u64);
    let found = match report.caches.iter().find(|cache| cache.name == report.stage) {
        Some(cache) => format!("cache {}: {} copies", cache.name, cache.matched),
        None => format!("{} relationships", report.relationships.walked),
    };
    bar.set_message(found);
}

fn print(report: &Report, options: &Options) -> anyhow::Result<()> {
    if options.json {
        return say(&serde_json::to_string(report)?);
    }
    for line in report.lines(options.dry_run) {
        say(&line)?;
    }
    Ok(())
}
