//! What the service knows of its own condition: readiness and its reasons (DESIGN 9).

use std::sync::Mutex;

use serde::Serialize;
use tracing::{info, warn};

/// Whether events can be taken, and what is wrong meanwhile. Shared by those who notice and those who answer.
pub struct Health {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    replaying: bool,
    /// Why events cannot be kept, while that is so.
    unwritable: Option<String>,
    journal: &'static str,
    configuration: Option<Running>,
    reasons: Vec<Reason>,
}

/// Which configuration runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Running {
    /// 1 at the start, and one more with each reload that has changed something.
    pub generation: u64,
    /// Tells configurations apart: the same in every process with the same secret that runs with the same settings.
    pub hash: String,
}

/// Something that is wrong without keeping the service from taking events.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reason {
    /// A stable word: `store`, `cache`, `invalidations`, ...
    pub component: String,
    /// What is wrong, in a sentence.
    pub detail: String,
}

/// What readiness says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Readiness {
    /// In a word.
    pub status: Status,
    /// What an accepted job outlives: `fsync` (the machine's crash), `buffered` (the process's), `none`.
    pub journal: &'static str,
    /// Which configuration runs, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Running>,
    /// What is wrong, if anything is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// Readiness in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    Ok,
    /// Events are taken; some of the work waits.
    Degraded,
    /// Events are not taken.
    Unavailable,
}

impl Health {
    /// All is well. `journal`: what an accepted job outlives.
    pub fn new(journal: &'static str) -> Self {
        Self { state: Mutex::new(State { journal, ..State::default() }) }
    }

    /// Where the service stands now, while so many invalidations cannot be done.
    pub fn readiness(&self, suspended: usize) -> Readiness {
        let state = self.lock();
        let closed = [
            state.stopping.then(|| reason("service", "shutting down")),
            state.replaying.then(|| reason("journal", "being replayed")),
            state.unwritable.as_deref().map(|detail| reason("journal", detail)),
        ];
        let mut reasons: Vec<Reason> = closed.into_iter().flatten().collect();
        let suspended = (suspended > 0).then(|| reason("invalidations", &suspension(suspended)));
        let wrong: Vec<Reason> = state.reasons.iter().cloned().chain(suspended).collect();
        let status = match (reasons.is_empty(), wrong.is_empty()) {
            (false, _) => Status::Unavailable,
            (true, false) => Status::Degraded,
            (true, true) => Status::Ok,
        };
        reasons.extend(wrong);
        Readiness { status, journal: state.journal, configuration: state.configuration.clone(), reasons }
    }

    /// From now on this configuration runs.
    pub fn configured(&self, running: Running) {
        self.lock().configuration = Some(running);
    }

    /// While the journal is replayed, no events are taken.
    pub fn replaying(&self, is_replaying: bool) {
        self.lock().replaying = is_replaying;
    }

    /// Whether the journal is being replayed.
    pub fn is_replaying(&self) -> bool {
        self.lock().replaying
    }

    /// The journal cannot be written, for this reason, or can (`None`). Returns whether that is news.
    pub fn journal_unwritable(&self, detail: Option<String>) -> bool {
        let mut state = self.lock();
        let is_news = state.unwritable.is_some() != detail.is_some();
        state.unwritable = detail;
        is_news
    }

    /// Whether the journal cannot be written.
    pub fn is_journal_unwritable(&self) -> bool {
        self.lock().unwritable.is_some()
    }

    /// From now on no events are taken.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// Whether events are no longer taken.
    pub fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// A component is well (`None`) or is not. Returns whether that is news.
    pub fn report(&self, component: &str, detail: Option<String>) -> bool {
        let mut state = self.lock();
        let known = state.reasons.iter().position(|reason| reason.component == component);
        match (known, detail) {
            (None, None) => false,
            (Some(at), None) => {
                state.reasons.remove(at);
                true
            }
            (Some(at), Some(detail)) => {
                state.reasons[at].detail = detail;
                false
            }
            (None, Some(detail)) => {
                state.reasons.push(Reason { component: component.to_owned(), detail });
                true
            }
        }
    }

    /// As [`Health::report`], and says it in the log where it is news.
    pub fn tell(&self, component: &str, trouble: Option<String>) {
        let detail = trouble.clone();
        if self.report(component, trouble) {
            match detail {
                Some(detail) => warn!(component, detail, "in trouble"),
                None => info!(component, "well again"),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn suspension(suspended: usize) -> String {
    let (waits, them) = if suspended == 1 { ("waits", "it") } else { ("wait", "them") };
    format!("{suspended} {waits} to be tried again, evictions included: the promise is suspended for {them}")
}

fn reason(component: &str, detail: &str) -> Reason {
    Reason { component: component.to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_in_trouble_degrades_readiness_until_it_is_well() {
        let health = Health::new("none");
        assert!(health.report("store", Some("connection refused".to_owned())));
        assert!(!health.report("store", Some("timed out".to_owned())), "the same trouble is no news");
        let readiness = health.readiness(0);
        assert_eq!((readiness.status, &*readiness.reasons[0].detail), (Status::Degraded, "timed out"));
        assert!(health.report("store", None));
        assert_eq!(health.readiness(0).status, Status::Ok);
        assert_eq!(health.readiness(3).reasons[0].component, "invalidations");
    }

    #[test]
    fn a_service_that_stops_replays_or_cannot_write_is_unavailable() {
        let health = Health::new("none");
        health.replaying(true);
        assert_eq!(health.readiness(0).status, Status::Unavailable);
        health.replaying(false);
        assert!(health.journal_unwritable(Some("no space left".to_owned())));
        assert!(!health.journal_unwritable(Some("no space left on device".to_owned())));
        assert_eq!(health.readiness(0).reasons[0].component, "journal");
        assert!(health.journal_unwritable(None));
        assert_eq!(health.readiness(0).status, Status::Ok);
        health.stopping();
        assert_eq!(health.readiness(0).status, Status::Unavailable);
    }
}
