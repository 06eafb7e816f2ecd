//! What the service knows of its own condition: readiness and its reasons (DESIGN 9).

use std::sync::Mutex;

use serde::Serialize;

/// Whether events can be taken, and what is wrong meanwhile. Shared by those who notice and those who answer.
#[derive(Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    reasons: Vec<Reason>,
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
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Readiness {
    /// All is well.
    Ok,
    /// Events are taken; some of the work waits.
    Degraded {
        /// What is wrong.
        reasons: Vec<Reason>,
    },
    /// Events are not taken.
    Unavailable {
        /// Why not.
        reasons: Vec<Reason>,
    },
}

impl Health {
    /// Where the service stands now.
    pub fn readiness(&self) -> Readiness {
        let state = self.lock();
        if state.stopping {
            let detail = "shutting down".to_owned();
            return Readiness::Unavailable {
                reasons: vec![Reason { component: "service".to_owned(), detail }],
            };
        }
        match state.reasons.as_slice() {
            [] => Readiness::Ok,
            reasons => Readiness::Degraded { reasons: reasons.to_vec() },
        }
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_in_trouble_degrades_readiness_until_it_is_well() {
        let health = Health::default();
        assert!(health.report("store", Some("connection refused".to_owned())));
        assert!(!health.report("store", Some("timed out".to_owned())), "the same trouble is no news");
        assert!(
            matches!(health.readiness(), Readiness::Degraded { reasons } if reasons[0].detail == "timed out")
        );
        assert!(health.report("store", None));
        assert_eq!(health.readiness(), Readiness::Ok);
    }

    #[test]
    fn a_stopping_service_is_unavailable() {
        let health = Health::default();
        health.stopping();
        assert!(matches!(health.readiness(), Readiness::Unavailable { .. }));
    }
}
