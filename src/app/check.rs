//! What a configuration means, checked whole before anything is built of it.

use crate::{
    config::{
        ConfigError, Loaded, Problem,
        caches::{CacheConfig, CacheTarget},
        rules::RulesConfig,
    },
    job::JobType,
    resource::Resources,
    rules::{RuleProblem, RuleSet},
};

/// The rules and resources of a configuration, and what is allowed there and yet hardly meant.
pub struct Checked {
    /// Which jobs events make.
    pub rules: RuleSet,
    /// Which copies there are.
    pub resources: Resources,
    /// Each with its place in the configuration.
    pub warnings: Vec<Problem>,
}

/// Compiles what a configuration says of rules and resources.
///
/// # Errors
/// [`ConfigError`]: everything that is wrong with it, each with its place.
pub fn check(loaded: &Loaded) -> Result<Checked, ConfigError> {
    let Loaded { config, source } = loaded;
    let place = |problem: &RuleProblem| source.problem(&problem.path, &problem.detail);
    let refused = |problems: Vec<RuleProblem>| ConfigError { problems: problems.iter().map(place).collect() };
    let prefix = config.store.prefix().unwrap_or_default();
    let resources = Resources::compile(&config.resources, prefix).map_err(refused)?;
    refuse_keys_without_url(&config.caches, &resources).map_err(refused)?;
    let rules = RuleSet::compile(&config.rules, &resources).map_err(refused)?;
    if !config.store.by_holder() {
        refuse_revocations(&config.rules).map_err(refused)?;
    }
    let warnings = rules.warnings().iter().map(place).collect();
    Ok(Checked { rules, resources, warnings })
}

/// Without an index by holder nobody knows what to revoke.
fn refuse_revocations(rules: &RulesConfig) -> Result<(), Vec<RuleProblem>> {
    let mut problems = Vec::new();
    for (topic, entries) in &rules.topics {
        for (index, entry) in entries.iter().enumerate() {
            if entry.job_properties.job_type == JobType::Revoke {
                let path = format!("job_scheduler.enricher.topics.{topic}[{index}].job_properties.job_type");
                problems.push(RuleProblem::new(path, "a revoke job needs store.by_holder: true"));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A copy whose key is no path has no URL in a cache where the key stands right behind the host.
fn refuse_keys_without_url(caches: &[CacheConfig], resources: &Resources) -> Result<(), Vec<RuleProblem>> {
    let by_path = |cache: &&CacheConfig| matches!(&cache.target, CacheTarget::Http(http) if http.purge.url.is_key_path());
    let Some(cache) = caches.iter().find(by_path) else { return Ok(()) };
    let mut problems = Vec::new();
    for (resource_type, resource) in resources.iter() {
        let templates = resource.templates().iter().enumerate();
        for (index, _) in templates.filter(|(_, template)| !template.leading_text().starts_with('/')) {
            let path = format!("resources.{resource_type}.cache_keys[{index}]");
            let name = &cache.name;
            let detail =
                format!("must begin with `/`: in the cache {name} {{key}} stands right behind the host");
            problems.push(RuleProblem::new(path, detail));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
