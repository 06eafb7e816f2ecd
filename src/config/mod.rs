//! The configuration: read, checked whole, and typed from then on (DESIGN 10).
//!
//! A file per section holds its types, defaults and checks. Around them: `yaml` reads the text, `environment` overrides
//! it, `section` turns a section's tree into its type, and `source` gives every problem its file and line. What the
//! rules and templates mean is judged by `crate::rules`, whose problems get their place from [`Source::problem`].

use std::path::{Path, PathBuf};

pub mod auth;
pub mod caches;
pub mod journal;
pub mod log;
pub mod queue;
pub mod rate;
pub mod resolver;
pub mod resources;
pub mod rules;
pub mod secret;
pub mod sentinel;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod workers;

mod default_rules;
mod environment;
mod error;
mod explain;
mod hidden;
mod layout;
mod locate;
mod path;
mod quantity;
mod read;
pub mod redis_url;
mod section;
mod shown;
mod source;
mod written;
mod yaml;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub use hidden::Hidden;
pub(crate) use read::SECTIONS;
pub use read::recheck;
pub use redis_url::RedisUrl;
pub use source::Source;
pub use written::{RELOADABLE, Written};

/// The file that is taken where none is named, relative to the working directory.
const DEFAULT_FILE: &str = "config/default.yaml";

/// A checked configuration. Paths in it are relative to the working directory.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// Where requests come in.
    pub server: server::ServerConfig,
    /// Who may call.
    pub auth: auth::AuthConfig,
    /// What holder ids, vault and journal are keyed by.
    pub secret: secret::SecretConfig,
    /// Where relationships are kept.
    pub store: store::StoreConfig,
    /// What outlives a crash.
    pub journal: journal::JournalConfig,
    /// How much may wait.
    pub queue: queue::QueueConfig,
    /// How jobs run.
    pub workers: workers::WorkersConfig,
    /// Which copies there are.
    pub resources: resources::ResourcesConfig,
    /// Where copies live.
    pub caches: Vec<caches::CacheConfig>,
    /// Whom to ask while the index may not know.
    pub resolver: Option<resolver::ResolverConfig>,
    /// Which jobs events make; not compiled yet.
    pub rules: rules::RulesConfig,
    /// What is logged.
    pub log: log::LogConfig,
    /// Where traces go.
    pub telemetry: telemetry::TelemetryConfig,
}

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Gives problems that are found later their place.
    pub source: Source,
}

/// Reads and checks a configuration: `path`, else `config/default.yaml` where there is one, else the built-in defaults;
/// then `env`'s `DECACHE__SECTION__FIELD` variables over it.
///
/// # Errors
/// [`ConfigError`]: everything that is wrong with it.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let default = Path::new(DEFAULT_FILE);
    let file = path.or_else(|| default.exists().then_some(default)).map(PathBuf::from);
    let text = match &file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?,
        None => String::new(),
    };
    read::read(Source::new(file, text), env)
}

fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
    let detail = format!("cannot read the configuration: {error}");
    ConfigError {
        problems: vec![Problem {
            origin: file.display().to_string(),
            line: None,
            path: String::new(),
            detail,
        }],
    }
}
