//! The sections that rules stand in, `job_scheduler:` and `job_manager:`, and the rules of a file that has none.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};

use super::{
    quantity,
    rules::{EnricherEntry, EventMatch, FollowUpRule, JobProperties, JobRule, RulesConfig},
};
use crate::job::JobType;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobScheduler {
    #[serde(default)]
    job_rules: Vec<JobRule>,
    #[serde(default)]
    enricher: Enricher,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Enricher {
    topics: BTreeMap<String, Vec<EnricherEntry>>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobManager {
    job_rules: Vec<FollowUpRule>,
    #[serde(deserialize_with = "depth")]
    max_depth: u8,
}

impl RulesConfig {
    pub(super) fn new(scheduler: JobScheduler, manager: JobManager) -> Self {
        Self {
            job_rules: scheduler.job_rules,
            topics: scheduler.enricher.topics,
            follow_ups: manager.job_rules,
            max_depth: manager.max_depth,
        }
    }
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self::new(JobScheduler::default(), JobManager::default())
    }
}

impl Default for JobManager {
    fn default() -> Self {
        Self { job_rules: Vec::new(), max_depth: 8 }
    }
}

/// Posts: a read is recorded, an update or a delete removes every copy.
impl Default for JobScheduler {
    fn default() -> Self {
        let topic = "pp-cache".to_owned();
        let topics = BTreeMap::from([(topic.clone(), vec![record_reads(), remove_on_writes()])]);
        let job_rules = ["^(Read)$", "^(Update|Delete)$"].map(|action_type| JobRule {
            action_type: action_type.to_owned(),
            resource_type: "Posts".to_owned(),
            topic: topic.clone(),
        });
        Self { job_rules: job_rules.into(), enricher: Enricher { topics } }
    }
}

fn record_reads() -> EnricherEntry {
    let key_fields = ["payload", "expires", "due", "priority", "job_type"];
    EnricherEntry {
        matches: posts("Read"),
        key_fields: key_fields.map(str::to_owned).into(),
        job_properties: JobProperties {
            superceedable: true,
            job_type: JobType::Cache,
            priority: 1,
            due: Duration::ZERO,
            expires: Some(Duration::from_secs(5)),
        },
    }
}

fn remove_on_writes() -> EnricherEntry {
    EnricherEntry {
        matches: posts("Update|Delete"),
        key_fields: Vec::new(),
        job_properties: JobProperties {
            superceedable: true,
            job_type: JobType::Invalidate,
            priority: 0,
            due: Duration::ZERO,
            expires: None,
        },
    }
}

fn posts(action_type: &str) -> EventMatch {
    EventMatch { action_type: Some(action_type.to_owned()), resource_type: Some("Posts".to_owned()) }
}

fn depth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    quantity::whole("a number of jobs that follow one another", 1..=64, deserializer)
}
