//! What happened, in order: kept only where somebody wants to compare or to read it.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use crate::clock::Clock;

/// The time at which every world begins.
pub(super) const DAWN: u64 = 1_800_000_000_000;

/// A world's trace. Cloning shares it.
#[derive(Clone)]
pub(super) struct Trace {
    lines: Option<Arc<Mutex<String>>>,
    clock: Clock,
}

impl Trace {
    /// `kept`: whether anybody wants it.
    pub(super) fn new(kept: bool, clock: Clock) -> Self {
        Self { lines: kept.then(Arc::default), clock }
    }

    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        use fmt::Write as _;
        if let Some(lines) = &self.lines {
            let time = self.clock.now().0 - DAWN;
            writeln!(lines.lock().unwrap(), "{time:>6} ms  {what}").unwrap();
        }
    }

    pub(super) fn text(&self) -> String {
        self.lines.as_ref().map(|lines| lines.lock().unwrap().clone()).unwrap_or_default()
    }
}

/// Notes a line in a world's trace.
macro_rules! note {
    ($trace:expr, $($line:tt)*) => { $trace.note(format_args!($($line)*)) };
}
pub(super) use note;
