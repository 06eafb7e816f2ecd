//! `decache demo`.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Signals, say};
use crate::demo::Demo;

/// How long whatever still runs at the end may take, before the folder goes.
const LAST: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Has the cache go away from time to time, and come back.
    #[arg(long)]
    faults: bool,
    /// The port on the loopback; where it is taken, any that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("decache-demo-").tempdir().context("a temporary folder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let (stop, signals) = (CancellationToken::new(), Signals::register()?);
        let demo = Demo::start(folder.path(), options.port, options.faults).await?;
        demo.told().iter().try_for_each(|line| say(line))?;
        tokio::select! {
            ended = demo.run(stop.clone()) => ended,
            () = signals.stop_then_end(&stop) => bail!("ended at once, by a second signal"),
        }
    });
    runtime.shutdown_timeout(LAST);
    folder.close().context("the temporary folder")?;
    ended
}
