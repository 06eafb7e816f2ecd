//! Which configuration runs, and what became of the last attempt to change it.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::Maker;
use crate::health::Running;

/// Gauges of the configuration that runs, and counters of reloads.
pub struct ConfigurationMetrics {
    generation: IntGauge,
    /// With one value of its label at a time.
    info: IntGaugeVec,
    reloads: IntCounterVec,
    refused: IntGauge,
    restart_needed: IntGauge,
}

impl ConfigurationMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            generation: make.gauge(
                "configuration_generation",
                "1 at the start, one more with each reload that has changed something",
            )?,
            info: make.gauges("configuration_info", "1, with the hash of what runs", &["hash"])?,
            reloads: make.counters(
                "configuration_reloads_total",
                "Changed configurations by what became of them",
                &["outcome"],
            )?,
            refused: make.gauge(
                "configuration_refused",
                "1 while the configuration as it is written could not be taken over, and an earlier one runs",
            )?,
            restart_needed: make.gauge(
                "configuration_restart_needed",
                "1 while sections have changed that are only read at a start",
            )?,
        })
    }

    /// From now on this configuration runs.
    pub fn runs(&self, running: &Running) {
        self.generation.set(i64::try_from(running.generation).unwrap_or(i64::MAX));
        self.info.reset();
        self.info.with_label_values(&[&running.hash]).set(1);
    }

    /// What was read runs, as far as it can without a restart; `outcome` is `applied` or `unchanged`.
    pub fn reloaded(&self, outcome: &str, restart_needed: bool) {
        self.reloads.with_label_values(&[outcome]).inc();
        self.refused.set(0);
        self.restart_needed.set(i64::from(restart_needed));
    }

    /// What was read does not run, and what ran before does.
    pub fn refused(&self) {
        self.reloads.with_label_values(&["refused"]).inc();
        self.refused.set(1);
    }
}
