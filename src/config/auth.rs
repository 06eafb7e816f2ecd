//! `auth:` who may call, known by the hash of a key.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Deserializer, de::Error};
use sha2::{Digest, Sha256};

use super::{rate::Rate, source::Problems};

/// The API keys.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// None: everybody who reaches the port may do everything.
    pub keys: Vec<ApiKey>,
}

/// A client that may call.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Names the client in logs.
    pub name: String,
    /// What its key hashes to.
    pub hash: KeyHash,
    /// What it may do, never empty in a checked configuration.
    pub scopes: BTreeSet<Scope>,
    /// How many requests it may make; as many as it likes where there is none.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// SHA-256 of a key. Keys are random and long, so no salt and no slow hash are needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

/// What a key may be used for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Post events.
    Ingest,
    /// Look at what is known.
    Read,
    /// Invalidate by hand.
    Admin,
}

impl Scope {
    /// Every scope. None implies another.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// The word for it in configuration and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// Why a key is not good enough.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WeakKey {
    /// It can be guessed.
    #[error(
        "the key has {0} characters, at least {MIN_LENGTH} are needed: make one with `openssl rand -base64 32`"
    )]
    Short(usize),
    /// It is long without being random.
    #[error(
        "the key has only {0} different characters, at least {MIN_DISTINCT} are needed: make one with \
         `openssl rand -base64 32`"
    )]
    Monotonous(usize),
    /// It cannot stand in an `Authorization` header.
    #[error("the key holds spaces, control or non-ASCII characters: make one with `openssl rand -base64 32`")]
    Unsendable,
}

const MIN_LENGTH: usize = 24;
const MIN_DISTINCT: usize = 8;

/// The hash of a key as it stands in `auth.keys[].hash`: 64 hex digits.
///
/// # Errors
/// [`WeakKey`]: the key is too easily guessed, or cannot be sent.
pub fn hash_key(key: &str) -> Result<String, WeakKey> {
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(WeakKey::Unsendable);
    }
    if key.len() < MIN_LENGTH {
        return Err(WeakKey::Short(key.len()));
    }
    let distinct = key.bytes().collect::<BTreeSet<_>>().len();
    if distinct < MIN_DISTINCT {
        return Err(WeakKey::Monotonous(distinct));
    }
    Ok(hex::encode(KeyHash::of(key).0))
}

impl KeyHash {
    /// The hash of a key that a client sent.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = super::hidden::Hidden::deserialize(deserializer)?;
        let mut hash = [0; 32];
        match hex::decode_to_slice(text.expose(), &mut hash) {
            Ok(()) => Ok(Self(hash)),
            // What stands there may be the key itself, so it is not repeated.
            Err(_) => {
                Err(D::Error::custom("expected 64 hex digits, as `decache hash-key` prints them for a key"))
            }
        }
    }
}

impl AuthConfig {
    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        let (mut names, mut hashes) = (BTreeMap::new(), BTreeMap::new());
        for (index, key) in self.keys.iter().enumerate() {
            let at = format!("auth.keys[{index}]");
            if key.name.is_empty() {
                problems.add(format!("{at}.name"), "is empty: expected a name for the client, for logs");
            }
            if let Some(first) = names.insert(&key.name, index) {
                problems.add(
                    format!("{at}.name"),
                    format!("is the name of auth.keys[{first}] too: each needs its own"),
                );
            }
            if let Some(first) = hashes.insert(key.hash, index) {
                problems.add(
                    format!("{at}.hash"),
                    format!("is the hash of auth.keys[{first}] too: each needs its own key"),
                );
            }
            if key.scopes.is_empty() {
                problems.add(format!("{at}.scopes"), "is empty: expected some of ingest, read, admin");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hashes_to_its_sha_256_in_hex() {
        let hash = hash_key("abcdefghijklmnopqrstuvwxyz").unwrap();
        assert_eq!(hash, "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73");
        assert_eq!(hash, hex::encode(KeyHash::of("abcdefghijklmnopqrstuvwxyz").0));
    }

    #[test]
    fn a_weak_key_is_refused_with_a_way_to_a_good_one() {
        let weak = [
            ("", WeakKey::Short(0)),
            ("correct-horse-battery-s", WeakKey::Short(23)),
            ("abcabcabcabcabcabcabcabcabc", WeakKey::Monotonous(3)),
            ("correct horse battery staple", WeakKey::Unsendable),
        ];
        for (key, reason) in weak {
            assert!(reason.to_string().contains("openssl rand"), "{reason}");
            assert_eq!(hash_key(key), Err(reason));
        }
    }
}
