//! The configuration that runs, as people may see it, and what became of the last attempt to change it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{clock::Timestamp, config::Written};

/// What is known of the configuration.
#[derive(Debug, Default)]
pub struct InForce(Mutex<Told>);

/// The same at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Sections that are written, by name, as YAML in which secrets are hidden.
    pub sections: Vec<(String, String)>,
    /// Since when it runs; `None` before it does.
    pub since: Option<Timestamp>,
    /// The last attempt to change it; `None` where there was none.
    pub last: Option<Attempt>,
}

/// A reload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When it was.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// Fields that were taken over, or what is wrong.
    pub details: Vec<String>,
    /// Fields that have changed and need a restart.
    pub restart: Vec<String>,
}

/// What became of a reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What had changed runs.
    Applied,
    /// Nothing had changed that a reload changes.
    Unchanged,
    /// What ran before runs on.
    Refused,
}

impl InForce {
    /// From now on this runs.
    pub fn runs(&self, written: &Written, now: Timestamp) {
        let sections = written.shown();
        let mut told = self.lock();
        (told.sections, told.since) = (sections, Some(now));
    }

    /// A changed configuration was read.
    pub fn attempted(&self, attempt: Attempt) {
        self.lock().last = Some(attempt);
    }

    /// What is known now.
    pub fn told(&self) -> Told {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
