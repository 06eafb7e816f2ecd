//! `decache completions`: what makes a shell complete commands and options.

use std::io::Write;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(options.shell, &mut Cli::command(), "decache", &mut script);
    std::io::stdout().write_all(&script).context("standard output")
}
