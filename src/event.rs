//! What the API posts (DESIGN 3), parsed on construction: an [`Event`] that exists is a valid one.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::clock::Timestamp;

pub mod forms;
mod parse;

pub use parse::EventError;

/// One thing that users hold copies of: `42` of `Posts`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Entity {
    /// Matches `[A-Za-z0-9_.-]{1,64}`.
    pub resource_type: Box<str>,
    /// 1 byte to 1 KiB without control characters; integers are kept as their decimal text.
    pub id: Box<str>,
}

impl Entity {
    /// Takes an entity's two parts where both are what they have to be.
    ///
    /// # Errors
    /// [`EventError`] names the part and what is wrong with it.
    pub fn new(resource_type: &str, id: &str) -> Result<Self, EventError> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=64).contains(&resource_type.len()) || !resource_type.bytes().all(letter) {
            return Err(EventError("`resource_type` has to be 1 to 64 of A-Z a-z 0-9 _ . -".to_owned()));
        }
        if !(1..=1024).contains(&id.len()) || id.chars().any(char::is_control) {
            return Err(EventError(
                "`entity_id` has to be 1 to 1024 bytes without control characters".to_owned(),
            ));
        }
        Ok(Self { resource_type: resource_type.into(), id: id.into() })
    }
}

/// A user's access token. It does not print, and its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessToken(Box<str>);

impl AccessToken {
    /// The longest token that is taken: a JWT with many claims fits.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Takes a token as it is. Events are checked by [`Event::parse`]; this is for tokens that come out of the vault.
    pub fn new(token: impl Into<Box<str>>) -> Self {
        Self(token.into())
    }

    /// The token itself, for a copy's key and for the vault, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

impl Drop for AccessToken {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A read, update or delete that the API tells of.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Names the event in answers and logs; it does not deduplicate.
    pub id: Option<Box<str>>,
    /// What happened, by the API's own word: `Read`, `Update`, `Delete`, ...
    pub action_type: Box<str>,
    /// What it happened to.
    pub entity: Entity,
    /// Whose copy a read has filled.
    pub access_token: Option<AccessToken>,
    /// Who that is, for people who look.
    pub user_id: Option<Box<str>>,
    /// For a read when the API began it, for a write when its commit returned.
    pub occurred_at: Option<Timestamp>,
    /// The key of a copy that is not the resource's template (a variant), with `{access_token}` in it.
    pub cache_key: Option<Box<str>>,
    /// How long the copy lives, where it is not the resource's `ttl`.
    pub expires_in: Option<Duration>,
    /// The entity's generation, from before the API read its database.
    pub generation: Option<u64>,
    /// Everything else the API wants rules to see.
    pub payload: Map<String, Value>,
}
