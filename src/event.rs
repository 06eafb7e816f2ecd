//! What the API posts (DESIGN 3), parsed on construction: an [`Event`] that exists is a valid one.
//!
//! [`Event::parse`] reads one event; [`forms`] takes a request's body apart into events, one form a function; [`cloud`] does that
//! for CloudEvents.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::clock::Timestamp;

pub mod cloud;
mod field;
pub mod forms;
mod parse;
mod time;

pub(crate) use field::is_action_type;
pub use field::is_resource_type;
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
    /// The longest entity id, in bytes.
    pub const MAX_ID_BYTES: usize = 1024;

    /// An entity by its two parts as text, as they stand in a URL.
    ///
    /// # Errors
    /// [`EventError`] where a part is not what [`Entity`]'s fields say.
    pub fn new(resource_type: &str, id: &str) -> Result<Self, EventError> {
        let resource_type = field::resource_type(Value::from(resource_type))?;
        let id = field::entity_id("entity_id", Value::from(id))?;
        Ok(Self { resource_type, id })
    }

    /// An entity by its two parts as they stand in JSON, where an id may be an integer.
    ///
    /// # Errors
    /// [`EventError`] where a part is not what [`Entity`]'s fields say.
    pub fn from_json(resource_type: Value, id: Value) -> Result<Self, EventError> {
        let resource_type = field::resource_type(resource_type)?;
        Ok(Self { resource_type, id: field::entity_id("entity_id", id)? })
    }
}

/// A user's access token. It does not print, and its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessToken(Box<str>);

impl AccessToken {
    /// The longest token that is taken: a JWT with many claims fits.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Checks a token as those of events are.
    ///
    /// # Errors
    /// As [`Event::parse`] for its `access_token`.
    pub fn parse(token: String) -> Result<Self, EventError> {
        field::access_token("access_token", token.into())
    }

    /// Takes a token as it is. Others are checked by [`Event::parse`] or [`AccessToken::parse`]; this is for tokens that come
    /// out of the vault.
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
    /// For a read when the API began it, for a write when its commit returned. Never after the arrival.
    pub occurred_at: Option<Timestamp>,
    /// How far `occurred_at` was in the future; it counts as of the arrival then. The API's clock is ahead of this one by at
    /// least as much.
    pub ahead: Duration,
    /// The key of a copy that is not the resource's template (a variant), with `{access_token}` in it.
    /// Checked against the resource's templates where the event is enriched; on a write it means nothing.
    pub cache_key: Option<Box<str>>,
    /// How long the copy lives, where it is not the resource's `ttl`.
    pub expires_in: Option<Duration>,
    /// The entity's generation, from before the API read its database.
    pub generation: Option<u64>,
    /// Everything else the API wants rules to see. An `access_token` that stood here is taken out.
    pub payload: Map<String, Value>,
}
