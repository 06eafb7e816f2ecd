//! Takes over a changed configuration while the service runs, as a whole or not at all (DESIGN 4).
//!
//! All that can fail is done first. Then the hooks are replaced, and when the last job is over that began with the old ones,
//! what requests meet: so from when readiness tells of the new generation, no copy is judged, recorded or removed by the old
//! one. A job keeps the rules that made it ([`crate::rules::History`]).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tracing::warn;

use super::{
    build::{notes, remember_templates},
    caches,
    check::{Checked, check},
    monitor,
    parts::{Entry, Outfit, Parts},
};
use crate::{
    caches::Successor,
    config::{self, Config, Loaded, Written},
    health::Running,
    hooks::Hooks,
    http::{Auth, Service},
};

/// Between two looks at whether the old hooks are still used.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

/// What runs, to be compared with what is to run.
#[derive(Clone)]
pub(super) struct Reloader {
    parts: Parts,
    config: Config,
    written: Written,
    generation: u64,
    pub(super) entry: Entry,
}

/// What became of a configuration that was read.
pub(super) struct Reloaded {
    /// The fields that have changed and hold from now on.
    pub(super) applied: Vec<String>,
    /// The fields that hold from the next start on.
    pub(super) restart: Vec<String>,
}

/// All that is to run, and does not yet.
struct Prepared {
    hooks: Hooks,
    outfit: Outfit,
    entry: Entry,
    config: Config,
    written: Written,
    /// Caches that nothing is removed from any more.
    passed_over: BTreeSet<Arc<str>>,
    /// Those of them that are not configured under their names either.
    gone: BTreeSet<Arc<str>>,
}

impl Reloader {
    /// What runs from the start on.
    pub(super) fn new(parts: &Parts, loaded: &Loaded) -> Self {
        let reloader = Self {
            parts: parts.clone(),
            config: loaded.config.clone(),
            written: loaded.source.written().clone(),
            generation: 1,
            entry: Entry::new(
                Auth::new(loaded.config.auth.keys.clone())
                    .by_any_name(loaded.config.server.allow_unauthenticated),
            ),
        };
        reloader.tell_what_runs();
        reloader
    }

    /// What runs, as it is written.
    pub(super) fn written(&self) -> &Written {
        &self.written
    }

    /// Counts the configurations that have run.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Has `loaded` run from now on, as far as it can without a restart. `serve` takes what requests are to meet.
    ///
    /// # Errors
    /// Why all is as it was.
    pub(super) async fn reload(
        &mut self,
        loaded: Loaded,
        serve: impl Fn(Service),
    ) -> anyhow::Result<Reloaded> {
        if loaded.source.written().is_empty() {
            bail!("{}: has nothing in it", loaded.source);
        }
        let (applied, restart) = self.written.changes(loaded.source.written());
        if !applied.is_empty() {
            let reloader = self.clone();
            let prepared = tokio::task::spawn_blocking(move || reloader.prepare(loaded));
            self.take_over(prepared.await??, serve).await;
        }
        Ok(Reloaded { applied, restart })
    }

    /// Builds everything, while nothing is changed yet but notes. Blocks.
    fn prepare(&self, loaded: Loaded) -> anyhow::Result<Prepared> {
        let written = self.written.reloaded(loaded.source.written());
        let Config { auth, resources, caches, rules, .. } = loaded.config;
        let config = Config { auth, resources, caches, rules, ..self.config.clone() };
        let loaded = Loaded { config, source: loaded.source };
        config::recheck(&loaded)?;
        let checked = check(&loaded)?;
        let config = loaded.config;
        if config.auth.keys.is_empty() && !self.config.auth.keys.is_empty() {
            bail!(
                "auth.keys: has no key any more, which would open the service to everybody: that needs a restart"
            );
        }
        for warning in &checked.warnings {
            warn!("{warning}");
        }
        let old = self.parts.hooks.get();
        let (successors, outfit) = self.caches(&config, &written)?;
        let same =
            |name: &Arc<str>| successors.iter().any(|it| matches!(it, Successor::Same(kept) if kept == name));
        let passed_over: BTreeSet<_> = old.caches.names().filter(|name| !same(name)).cloned().collect();
        let is_gone = |name: &&Arc<str>| !config.caches.iter().any(|cache| *cache.name == ***name);
        let gone: BTreeSet<_> = passed_over.iter().filter(is_gone).cloned().collect();
        old.caches
            .pass_over(&gone)
            .context("a cache that is no longer configured could not be noted as suspect")?;
        let hooks = self.hooks(&old, checked, successors, &config);
        let entry = self.entry(&config);
        Ok(Prepared { hooks, outfit, entry, config, written, passed_over, gone })
    }

    /// A cache that is written as before is the same, with its connections and all that is known of it.
    fn caches(&self, config: &Config, written: &Written) -> anyhow::Result<(Vec<Successor>, Outfit)> {
        let old = self.parts.outfit.get();
        let pool_of = |name: &str| old.pools.iter().find(|(pool, _)| pool == name).cloned();
        let mut pools: Vec<_> = pool_of("store").into_iter().collect();
        let mut successors = Vec::new();
        for cache in &config.caches {
            let (name, pool) = (&*cache.name, caches::pool_name(&cache.name));
            if self.written.cache(name).is_some_and(|before| Some(before) == written.cache(name)) {
                pools.extend(pool_of(&pool));
                successors.push(Successor::Same(name.into()));
            } else {
                let opened = caches::open(cache, &config.store)?;
                pools.extend(opened.pool.map(|connections| (pool, connections)));
                successors.push(Successor::Other(opened.cache));
            }
        }
        Ok((successors, Outfit { pools, bounds: caches::bounds(config) }))
    }

    fn hooks(&self, old: &Hooks, checked: Checked, caches: Vec<Successor>, config: &Config) -> Hooks {
        let Checked { rules, mut resources, .. } = checked;
        resources.retire_all(&old.resources, self.parts.clock.now());
        remember_templates(&notes(&config.journal), &mut resources, self.parts.clock);
        Hooks {
            relations: old.relations.clone(),
            caches: old.caches.succeeded_by(caches),
            keys: old.keys.clone(),
            resources: Arc::new(resources),
            trust: old.trust.clone(),
            resolver: old.resolver.clone(),
            window: old.window.clone(),
            rules: old.rules.succeeded_by(rules),
            clock: old.clock,
            metrics: old.metrics.clone(),
        }
    }

    fn entry(&self, config: &Config) -> Entry {
        if config.auth == self.config.auth {
            return self.entry.clone();
        }
        Entry::new(self.entry.auth.succeeded_by(config.auth.keys.clone()))
    }

    /// Nothing of it can fail.
    async fn take_over(&mut self, prepared: Prepared, serve: impl Fn(Service)) {
        let Prepared { hooks, outfit, entry, config, written, passed_over, gone } = prepared;
        self.replace_hooks(hooks, outfit, &config).await;
        for cache in &passed_over {
            self.parts.health.report(&format!("cache:{cache}"), None);
        }
        for cache in &gone {
            warn!(
                cache = &**cache,
                "a cache is no longer configured: nothing is removed from it, and should it be configured again, it is \
                 emptied first"
            );
        }
        serve(self.parts.service(entry.clone()));
        let before = std::mem::replace(&mut self.entry, entry);
        if config.auth != self.config.auth {
            before.keys_changed.cancel();
        }
        (self.config, self.written) = (config, written);
        self.generation += 1;
        self.tell_what_runs();
    }

    /// Returns when nobody works with the old ones any more.
    async fn replace_hooks(&self, hooks: Hooks, outfit: Outfit, config: &Config) {
        let parts = &self.parts;
        let resources = hooks.resources.clone();
        parts.losses.look_after(&caches::servers(config, &outfit.pools), &resources);
        parts.losses.marks_mixed(&resources).await;
        let old = parts.hooks.replace(hooks);
        parts.outfit.replace(outfit);
        // A new server takes nothing before it was looked at.
        parts.losses.look_at_caches(monitor::PAUSE).await;
        parts.hooks.get().caches.ping(monitor::PAUSE).await;
        while Arc::strong_count(&old) > 1 {
            parts.losses.marks_mixed(&resources).await;
            tokio::time::sleep(DRAIN_PAUSE).await;
        }
        parts.losses.marks_unmixed(&resources).await;
    }

    fn tell_what_runs(&self) {
        let mut hasher = self.parts.keys.configuration_hasher();
        self.written.hash_into(&mut hasher);
        let hash = hex::encode(&hasher.finalize().as_bytes()[..8]);
        let running = Running { generation: self.generation, hash };
        self.parts.metrics.configuration.runs(&running);
        self.parts.console.in_force.runs(&self.written, self.parts.clock.now());
        self.parts.health.configured(running);
    }
}
