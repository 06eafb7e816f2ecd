//! What simulated processes are configured with: made once for many worlds.

use std::{path::Path, sync::Arc};

use super::{kind::Kind, late_fill::RECHECK};
use crate::{
    app::{Checked, check},
    config,
    metrics::Metrics,
    resource::Resources,
    rules::RuleSet,
    secret::{Keys, Secret},
};

pub(super) struct Config {
    pub(super) rules: Arc<RuleSet>,
    pub(super) resources: Arc<Resources>,
    pub(super) keys: Arc<Keys>,
    pub(super) metrics: Arc<Metrics>,
}

impl Config {
    pub(super) fn read(kind: Kind) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulation/decache.yaml");
        let mut loaded = config::load(Some(&file), std::iter::empty()).unwrap();
        if kind == Kind::LateFill {
            for resource in loaded.config.resources.0.values_mut() {
                resource.recheck = RECHECK;
            }
        }
        let Checked { rules, resources, .. } = check(&loaded).unwrap();
        let secret = Secret::from_text("a secret for simulations, thirty-two bytes").unwrap();
        Self {
            rules: Arc::new(rules),
            resources: Arc::new(resources),
            keys: Arc::new(Keys::derive(&secret)),
            metrics: Arc::new(Metrics::new().unwrap()),
        }
    }
}
