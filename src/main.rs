//! The decache binary.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use decache::cli::{Cli, exit_code};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody to tell where standard error is closed.
            let _ = writeln!(std::io::stderr(), "decache: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}
