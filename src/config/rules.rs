//! `job_scheduler:` and `job_manager:`, which events and finished jobs make which jobs.

use std::{collections::BTreeMap, time::Duration};

use crate::job::JobType;

/// Routes events to a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobRule {
    /// A pattern.
    pub action_type: String,
    /// A pattern.
    pub resource_type: String,
    /// Where matching events go.
    pub topic: String,
}

/// Which events of a topic an enricher is for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventMatch {
    /// A pattern.
    pub action_type: Option<String>,
    /// A pattern.
    pub resource_type: Option<String>,
}

/// Makes jobs of a topic's events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnricherEntry {
    /// Which events.
    pub matches: EventMatch,
    /// What else decides a job's identity.
    pub key_fields: Vec<String>,
    /// What the jobs are like.
    pub job_properties: JobProperties,
}

/// What jobs are like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobProperties {
    /// Whether a queued job may give way to a newer one.
    pub superceedable: bool,
    /// What they do.
    pub job_type: JobType,
    /// 0 is the most urgent.
    pub priority: u16,
    /// How long to wait first.
    pub due: Duration,
    /// How long after that they are worth starting.
    pub expires: Option<Duration>,
}

/// Which finished jobs have a follow-up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FollowUpMatch {
    /// A pattern.
    pub job_type: Option<String>,
    /// A pattern.
    pub topic: Option<String>,
    /// A pattern.
    pub resource_type: Option<String>,
}

/// A follow-up and when it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FollowUpRule {
    /// After which jobs.
    pub matches: FollowUpMatch,
    /// What is made.
    pub job: FollowUpJob,
}

/// A follow-up job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FollowUpJob {
    /// What it does.
    pub job_type: JobType,
    /// A template.
    pub resource_type: String,
    /// A template.
    pub entity_id: String,
    /// 0 is the most urgent.
    pub priority: u16,
    /// Whether a queued job may give way to a newer one.
    pub superceedable: bool,
    /// How long to wait first.
    pub due: Duration,
}

/// Both sections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RulesConfig {
    /// Routing.
    pub job_rules: Vec<JobRule>,
    /// Enrichers by topic.
    pub topics: BTreeMap<String, Vec<EnricherEntry>>,
    /// Follow-ups.
    pub follow_ups: Vec<FollowUpRule>,
    /// How many follow-ups may follow each other.
    pub max_depth: u8,
}
