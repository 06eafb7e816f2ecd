//! A unit of work: what an event or a finished job asks for, as the queue orders it and a hook runs it (DESIGN 4, 5).

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    clock::{Tick, Timestamp},
    event::{AccessToken, Entity},
    secret::HolderId,
    trace::Trace,
};

mod death;
mod key;
mod recheck;

pub use death::{Cause, Death};
pub(crate) use key::KeyHasher;

/// What a job does; which hook runs it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum JobType {
    /// Records that a holder has a copy of an entity.
    Cache,
    /// Removes every copy of an entity.
    Invalidate,
    /// Removes every copy of a holder. What such a job is about is the holder: [`Job::of_holder`].
    Revoke,
}

impl JobType {
    /// Every job type, for metrics that list them all.
    pub const ALL: [Self; 3] = [Self::Cache, Self::Invalidate, Self::Revoke];

    /// The word for it in YAML, answers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Invalidate => "invalidate",
            Self::Revoke => "revoke",
        }
    }

    /// Whether it removes what others hold: such a job may take many turns, and never gives up and never expires (DESIGN 7,
    /// rule 8).
    pub fn fans_out(self) -> bool {
        match self {
            Self::Cache => false,
            Self::Invalidate | Self::Revoke => true,
        }
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ids are in order by where the clock's milliseconds are too coarse for it.
static ORDER: Mutex<uuid::ContextV7> = Mutex::new(uuid::ContextV7::new());

/// Names a job in answers and logs; unique across processes and restarts, and in order of acceptance (UUID version 7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(uuid::Uuid);

impl JobId {
    /// A new id, accepted at `now`.
    pub fn new(now: Timestamp) -> Self {
        let nanos = u32::try_from(now.0 % 1000).unwrap_or_default() * 1_000_000;
        let order = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
        Self(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(&*order, now.0 / 1000, nanos)))
    }
}

impl JobId {
    /// The id as a number.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// When it was made.
    pub fn at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        Timestamp(seconds * 1000 + u64::from(nanos / 1_000_000))
    }

    /// The id of a number that [`JobId::as_u128`] gave.
    pub fn from_u128(id: u128) -> Self {
        Self(uuid::Uuid::from_u128(id))
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// As its text.
impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH]))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A job's identity for superseding: a 128-bit hash of its type, topic, entity, for `cache` its holder and cache key,
/// and of what `key_fields` adds. The key alone decides identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct JobKey(pub u128);

/// When decache took what a job comes of, by both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// For what is told and compared with the API's times.
    pub now: Timestamp,
    /// For what is waited for.
    pub tick: Tick,
}

/// A job as rules make it: what to do and when, not yet in any state.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// Names it.
    pub id: JobId,
    /// Decides what it supersedes.
    pub key: JobKey,
    /// Which hook runs it.
    pub job_type: JobType,
    /// Which topic's enricher made it.
    pub topic: Arc<str>,
    /// What it is about; for `revoke` in the place of it a holder.
    pub entity: Entity,
    /// 0 is the most urgent.
    pub priority: u16,
    /// Whether a queued job with the same key and it may become one.
    pub superceedable: bool,
    /// Start no sooner.
    pub ready_at: Tick,
    /// Not worth starting later. `None`: always worth it.
    pub expires_at: Option<Tick>,
    /// For `cache`: when the read began. For `invalidate`: when the write's commit returned. For `revoke`: when the
    /// holder lost the right to read.
    pub occurred_at: Option<Timestamp>,
    /// The generation that the event carried.
    pub generation: Option<u64>,
    /// When decache took the event.
    pub accepted_at: Timestamp,
    /// For `cache`: the copy that the read has filled.
    pub copy: Option<Box<CopyHeld>>,
    /// What follow-up templates may ask for: the event's payload, where rules for follow-ups exist.
    pub payload: Option<Arc<Map<String, Value>>>,
    /// How many follow-ups led here: 0 for an event's own job.
    pub depth: u8,
    /// Whether it removes again what an earlier job has removed (DESIGN 7, rule 11): it marks nothing, and nothing follows
    /// it.
    pub recheck: bool,
    /// Which of the process's rule sets has made it, and says what follows ([`crate::rules::History`]). It is not kept beyond the
    /// process: 0, the first, is also that of what another process has left.
    pub rules: u32,
    /// What has asked for it, where that is traced.
    pub trace: Option<Box<Trace>>,
}

/// What stands in the place of a resource type where a job is about a holder. An entity's may be the same word; the job's
/// type tells which it is.
const HOLDER: &str = "holder";

impl Job {
    /// What a `revoke` job of this holder is about, in the place of an entity. So the holder is part of its key, of its
    /// view and of its journal entry, and no token is.
    pub fn of_holder(holder: HolderId) -> Entity {
        Entity { resource_type: HOLDER.into(), id: holder.to_string().into() }
    }

    /// Whose copies a `revoke` job removes.
    pub fn holder(&self) -> Option<HolderId> {
        let is_about_one = self.job_type == JobType::Revoke && *self.entity.resource_type == *HOLDER;
        is_about_one.then(|| self.entity.id.parse().ok()).flatten()
    }
}

/// A copy that a `cache` job is about.
#[derive(Clone, PartialEq, Debug)]
pub struct CopyHeld {
    /// Whose it is.
    pub holder: HolderId,
    /// The token that its key is made of.
    pub token: AccessToken,
    /// Who that is, for people who look.
    pub user_id: Option<Box<str>>,
    /// The variant's key template, where it is not the resource's.
    pub cache_key: Option<Box<str>>,
    /// How long it lives in any cache, from [`Job::accepted_at`].
    pub life: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_in_which_they_were_given_within_a_millisecond_too() {
        let ids: Vec<JobId> = (0..1000).map(|n| JobId::new(Timestamp(1_763_805_600_000 + n / 500))).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
    }
}
