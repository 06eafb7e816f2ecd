//! `secret:` what holder ids, vault and journal are keyed by.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{hidden::Hidden, source::Problems};

/// A secret shorter than this can be tried out: 32 hex digits are 128 bits.
const MIN_LENGTH: usize = 32;

/// Where the secret comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretConfig {
    /// A file, made with mode 0600 at the first start.
    File(PathBuf),
    /// Given by the configuration or the environment.
    Value(Hidden),
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSecret {
    file: PathBuf,
    value: Option<Hidden>,
    value_file: Option<PathBuf>,
}

impl Default for RawSecret {
    fn default() -> Self {
        Self { file: "data/secret".into(), value: None, value_file: None }
    }
}

impl Default for SecretConfig {
    fn default() -> Self {
        Self::File(RawSecret::default().file)
    }
}

impl RawSecret {
    pub(super) fn check(self, problems: &mut Problems<'_>) -> SecretConfig {
        let (field, value) = match (self.value, self.value_file) {
            (None, None) => return SecretConfig::File(self.file),
            (Some(value), None) => ("secret.value", Ok(value)),
            (None, Some(file)) => ("secret.value_file", read_file(&file).map(Hidden::new)),
            (Some(_), Some(_)) => {
                ("secret.value_file", Err("stands beside value: keep one of the two".to_owned()))
            }
        };
        match value {
            Ok(value) if value.expose().len() >= MIN_LENGTH => return SecretConfig::Value(value),
            Ok(_) => problems.add(
                field,
                format!("is too short: expected {MIN_LENGTH} characters or more, such as `openssl rand -hex 32` prints"),
            ),
            Err(detail) => problems.add(field, detail),
        }
        SecretConfig::File(self.file)
    }
}

/// What a `*_file` holds, without the white space around it. The refusal names the file, not what is in it.
pub(super) fn read_file(file: &Path) -> Result<String, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("{} is empty", file.display())),
        text => Ok(text.to_owned()),
    }
}
