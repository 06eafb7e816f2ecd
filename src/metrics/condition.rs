//! What readiness says, for those who cannot ask every process: an alert needs a number.

use prometheus::{IntGauge, IntGaugeVec};

use super::Maker;
use crate::health::{Readiness, Status};

/// Gauges of readiness, taken over when they are asked for.
pub struct ConditionMetrics {
    ready: IntGauge,
    unwritable: IntGauge,
    trouble: IntGaugeVec,
}

impl ConditionMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ready: make.gauge("ready", "1 while events are taken")?,
            unwritable: make.gauge("journal_unwritable", "1 while the journal cannot be written")?,
            trouble: make.gauges(
                "trouble",
                "1 for each component that readiness names as being in trouble",
                &["component"],
            )?,
        })
    }

    /// Takes over what readiness says now. What is well again is no longer shown.
    pub fn observe(&self, readiness: &Readiness, journal_is_unwritable: bool) {
        self.ready.set(i64::from(readiness.status != Status::Unavailable));
        self.unwritable.set(i64::from(journal_is_unwritable));
        self.trouble.reset();
        for reason in &readiness.reasons {
            self.trouble.with_label_values(&[&reason.component]).set(1);
        }
    }
}
