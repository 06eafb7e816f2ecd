//! Logs: one line an occurrence, on standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::log::{LogConfig, LogFormat};

/// From here on, what the process notes is written.
///
/// # Errors
/// Where the process has a log already.
pub fn init(config: &LogConfig) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let colours = std::io::stderr().is_terminal();
    // A line that cannot be written (its disk is full, its reader has gone) is lost. To say so on the same standard error
    // would be a panic, in whichever thread had something to say.
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours)
        .log_internal_errors(false);
    match config.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    }
}
