//! From a source to a checked [`Config`]: text, environment, each section's shape, then what spans fields and sections.

use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::{
    Config, ConfigError, Loaded, Source,
    auth::AuthConfig,
    caches::{self, CacheTarget, RawCache},
    default_rules::{JobManager, JobScheduler},
    environment, explain, layout,
    path::FieldPath,
    resolver::RawResolver,
    rules::RulesConfig,
    secret::RawSecret,
    section,
    source::Problems,
    store::{OnLoss, RawStore},
    written::Written,
    yaml::{self, Flaw},
};

pub(super) fn read(
    mut source: Source,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut tree = yaml::parse(source.text()).map_err(|flaw| no_tree(&source, &flaw))?;
    let mut list = Vec::new();
    source.overrides = environment::apply(&mut tree, env, &mut list);
    // Before the files are read that it names: what changes meanwhile is a change from this.
    source.written = Written::of(&tree);
    let mut problems = Problems { source: &source, list };
    let raw = Raw::read(tree, &mut problems);
    // Where a section could not be read as it stands, what spans sections would be judged by its defaults.
    let config = match raw {
        Some(raw) if problems.list.is_empty() => Some(raw.check(&mut problems)),
        _ => None,
    };
    let problems = problems.list;
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded { config, source }),
        _ => Err(ConfigError { problems }),
    }
}

/// What spans sections, once more: for a configuration that has been put together of the sections of two.
///
/// # Errors
/// [`ConfigError`]: what does not go together.
pub fn recheck(Loaded { config, source }: &Loaded) -> Result<(), ConfigError> {
    let mut problems = Problems { source, list: Vec::new() };
    check_across(config, &mut problems);
    let problems = problems.list;
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}

fn check_across(config: &Config, problems: &mut Problems<'_>) {
    check_exposure(config, problems);
    check_prefixes(config, problems);
    check_on_loss(config, problems);
}

fn no_tree(source: &Source, flaw: &Flaw) -> ConfigError {
    let misplaced = if flaw.syntax { layout::of_syntax(source.text(), flaw) } else { None };
    let (path, detail) = match misplaced {
        Some((path, detail)) => (path.to_owned(), detail),
        None if flaw.syntax => (String::new(), format!("not valid YAML: {}", flaw.detail)),
        None => (flaw.path.to_string(), flaw.detail.clone()),
    };
    ConfigError { problems: vec![source.problem_at_line(flaw.line, &path, detail)] }
}

/// Every section by itself, as it was written or at its default.
struct Raw {
    config: Config,
    secret: RawSecret,
    store: RawStore,
    caches: Vec<RawCache>,
    resolver: Option<RawResolver>,
}

/// The sections that a file may have.
pub(crate) const SECTIONS: [&str; 14] = [
    "server",
    "auth",
    "secret",
    "store",
    "journal",
    "queue",
    "workers",
    "resources",
    "caches",
    "resolver",
    "job_scheduler",
    "job_manager",
    "log",
    "telemetry",
];

impl Raw {
    fn read(tree: Value, problems: &mut Problems<'_>) -> Option<Self> {
        let mut sections = Sections { map: top(tree, problems)?, problems };
        let (scheduler, manager): (JobScheduler, JobManager) =
            (sections.scheduler(), sections.take("job_manager"));
        let config = Config {
            server: sections.take("server"),
            auth: sections.take("auth"),
            journal: sections.take("journal"),
            queue: sections.take("queue"),
            workers: sections.take("workers"),
            resources: sections.take("resources"),
            log: sections.take("log"),
            telemetry: sections.take("telemetry"),
            rules: RulesConfig::new(scheduler, manager),
            ..Config::default()
        };
        let (secret, store) = (sections.take("secret"), sections.take("store"));
        let (caches, resolver) = (sections.take("caches"), sections.take("resolver"));
        sections.refuse_the_rest();
        Some(Self { config, secret, store, caches, resolver })
    }

    fn check(self, problems: &mut Problems<'_>) -> Config {
        let mut config = self.config;
        config.secret = self.secret.check(problems);
        config.store = self.store.check(problems);
        config.caches = caches::check(self.caches, config.queue.capacity, problems);
        config.resolver = self.resolver.and_then(|resolver| resolver.check(problems));
        config.server.check(problems);
        config.auth.check(problems);
        config.workers.check(problems);
        config.journal.check(problems);
        config.resources.check(problems);
        config.log.check(problems);
        check_across(&config, problems);
        config
    }
}

fn top(tree: Value, problems: &mut Problems<'_>) -> Option<Mapping> {
    match tree {
        Value::Mapping(map) => Some(map),
        Value::Null => Some(Mapping::new()),
        _ => {
            problems.add("", format!("expected a mapping of sections: {}", SECTIONS.join(", ")));
            None
        }
    }
}

struct Sections<'p, 's> {
    map: Mapping,
    problems: &'p mut Problems<'s>,
}

impl Sections<'_, '_> {
    /// A section; where it is absent, or has nothing in it, its default.
    fn take<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        match self.map.remove(name) {
            None | Some(Value::Null) => T::default(),
            Some(value) => section::read(name, value, self.problems).unwrap_or_default(),
        }
    }

    fn scheduler(&mut self) -> JobScheduler {
        if let Some(section) = self.map.get_mut("job_scheduler") {
            layout::untangle(section, self.problems);
        }
        self.take("job_scheduler")
    }

    fn refuse_the_rest(self) {
        for name in self.map.keys().filter_map(Value::as_str) {
            let path = FieldPath::default().key(name);
            self.problems.add(name, explain::unknown(&path, &SECTIONS));
        }
    }
}

/// Nobody is to find an open service by accident.
fn check_exposure(config: &Config, problems: &mut Problems<'_>) {
    let AuthConfig { keys } = &config.auth;
    let server = &config.server;
    if keys.is_empty() && !server.bind.ip().is_loopback() && !server.allow_unauthenticated {
        problems.add(
            "server.bind",
            "without auth.keys expected a loopback address such as 127.0.0.1:8080: add a key (`decache hash-key`), or set \
             server.allow_unauthenticated: true where something else keeps strangers out",
        );
    }
}

/// Whoever is to be asked after a loss has to be there.
fn check_on_loss(config: &Config, problems: &mut Problems<'_>) {
    if config.store.on_loss() == OnLoss::Resolver && config.resolver.is_none() {
        problems
            .add("store.on_loss", "resolver is one that the section resolver describes, and there is none");
    }
}

/// No copy's key may be one of the store's, in whichever server.
fn check_prefixes(config: &Config, problems: &mut Problems<'_>) {
    let Some(prefix) = config.store.prefix() else { return };
    let targets = config.caches.iter().filter_map(|cache| match &cache.target {
        CacheTarget::Redis(redis) => Some(redis.key_prefix.as_str()),
        // They have no keys in any server.
        CacheTarget::Http(_) | CacheTarget::Pubsub(_) => None,
    });
    let mut key_prefixes: Vec<_> = targets.chain([""]).collect();
    key_prefixes.sort_unstable();
    key_prefixes.dedup();
    for key_prefix in key_prefixes {
        config.resources.check_prefix(prefix, key_prefix, problems);
    }
}
