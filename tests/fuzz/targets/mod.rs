//! What is fuzzed: one function a target. It takes any bytes, and panics where decache breaks a promise on them.
//!
//! `fuzz/` runs these under libFuzzer, which looks for new ways through the code; `tests/fuzz` runs them in every test
//! run, on the seeds and a bounded number of mutations.

mod config;
mod cursor;
mod event;
mod journal;
mod template;

/// A target, and where its seeds are: `seeds/<name>/`.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const ALL: [Target; 9] = [
    ("cloud_event", event::cloud_event),
    ("config", config::config),
    ("cursor", cursor::cursor),
    ("event", event::event),
    ("event_lines", event::lines),
    ("journal_bytes", journal::bytes),
    ("journal_records", journal::records),
    ("journal_mutations", journal::mutations),
    ("template", template::template),
];
