//! The console in a real browser: every view, every action, hostile data in every field that shows what comes from outside,
//! the keyboard, and every page at three widths, light and dark.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;
#[path = "../support/redis_view.rs"]
#[expect(dead_code, reason = "shared with other suites, which use another part of it")]
mod redis_view;

mod actions;
mod browser;
mod demo;
mod hostile;
mod keyboard;
mod looks;
mod signing_in;
mod stage;
mod trouble;
