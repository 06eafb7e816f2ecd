//! What simulated processes are configured with: made once for many worlds.

use std::{path::Path, sync::Arc, time::Duration};

use super::{late_fill::RECHECK, realm::Realm, world::HORIZON};
use crate::{
    app::{Checked, check},
    config,
    event::Entity,
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
    pub(super) fn read(realm: Realm) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulation/decache.yaml");
        let mut loaded = config::load(Some(&file), std::iter::empty()).unwrap();
        if realm == Realm::LateFill {
            for resource in loaded.config.resources.0.values_mut() {
                resource.recheck = RECHECK;
            }
        }
        if realm == Realm::Revocations {
            // As long as what is revoked is remembered, whatever is held.
            for resource in loaded.config.resources.0.values_mut() {
                resource.horizon = resource.horizon.min(Duration::from_millis(HORIZON));
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

    /// Whether reads of an entity may come from a replica.
    pub(super) fn has_guard(&self, entity: &Entity) -> bool {
        self.resources.get(&entity.resource_type).is_some_and(|resource| !resource.guard.is_zero())
    }
}
