//! The rules as they are written, a type for each level. `crate::rules` compiles and judges them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::quantity;
use crate::job::JobType;

/// Every rule.
#[derive(Clone, PartialEq, Debug)]
pub struct RulesConfig {
    /// `job_scheduler.job_rules`: which events go to which topic.
    pub job_rules: Vec<JobRule>,
    /// `job_scheduler.enricher.topics`: which job a topic makes of an event.
    pub topics: BTreeMap<String, Vec<EnricherEntry>>,
    /// `job_manager.job_rules`: which job follows a finished one.
    pub follow_ups: Vec<FollowUpRule>,
    /// `job_manager.max_depth`: how many jobs may follow one after the other.
    pub max_depth: u8,
}

/// Events that match go to the topic.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRule {
    /// Pattern.
    pub action_type: String,
    /// Pattern.
    pub resource_type: String,
    /// Where such events go.
    pub topic: String,
}

/// Patterns for an event. A missing one matches anything.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventMatch {
    /// Pattern.
    pub action_type: Option<String>,
    /// Pattern.
    pub resource_type: Option<String>,
}

/// What a topic makes of the events that match.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnricherEntry {
    /// Which events; the first entry that matches counts.
    #[serde(rename = "match", default)]
    pub matches: EventMatch,
    /// What the job's key has besides its type, topic and entity.
    #[serde(default)]
    pub key_fields: Vec<String>,
    /// The job.
    pub job_properties: JobProperties,
}

/// A job's properties.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobProperties {
    /// Whether it takes the place of a queued job with the same key.
    #[serde(default, alias = "supersedable")]
    pub superceedable: bool,
    /// What it does.
    #[serde(deserialize_with = "job_type")]
    pub job_type: JobType,
    /// 0 is the most urgent.
    #[serde(default, deserialize_with = "priority")]
    pub priority: u16,
    /// Starts no sooner than this after acceptance.
    #[serde(default, deserialize_with = "quantity::duration")]
    pub due: Duration,
    /// Not worth starting later than this after it was due.
    #[serde(default, deserialize_with = "quantity::optional_duration")]
    pub expires: Option<Duration>,
}

/// Patterns for a finished job. A missing one matches anything.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowUpMatch {
    /// Pattern.
    pub job_type: Option<String>,
    /// Pattern.
    pub topic: Option<String>,
    /// Pattern.
    pub resource_type: Option<String>,
}

/// The job that follows the finished ones that match.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUpRule {
    /// Which finished jobs.
    #[serde(rename = "match", default)]
    pub matches: FollowUpMatch,
    /// What follows.
    pub job: FollowUpJob,
}

/// A follow-up job; its texts are templates over the finished job's fields.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUpJob {
    /// What it does.
    #[serde(deserialize_with = "job_type")]
    pub job_type: JobType,
    /// Template.
    pub resource_type: String,
    /// Template.
    #[serde(deserialize_with = "id_template")]
    pub entity_id: String,
    /// 0 is the most urgent.
    #[serde(default, deserialize_with = "priority")]
    pub priority: u16,
    /// Whether it takes the place of a queued job with the same key.
    #[serde(default = "yes", alias = "supersedable")]
    pub superceedable: bool,
    /// Starts no sooner than this after the finished job.
    #[serde(default, deserialize_with = "quantity::duration")]
    pub due: Duration,
}

fn job_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JobType, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let word = value.as_str().unwrap_or_default();
    match JobType::ALL.into_iter().find(|job_type| job_type.as_str() == word) {
        Some(job_type) => Ok(job_type),
        None => Err(quantity::refused("a job type, cache, invalidate or revoke", &value)),
    }
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    quantity::whole("a priority", 0..=u64::from(u16::MAX), deserializer)
}

fn id_template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match &value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(quantity::refused("an entity id or a template such as \"{payload.author_id}\"", &value)),
    }
}

fn yes() -> bool {
    true
}
