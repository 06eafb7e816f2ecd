//! What the rules say of an event and of a finished job, with the reasons: for `explain`. What routes and follows is
//! decided by the code that decides it for real; this only adds which patterns kept the others from it.

use std::sync::Arc;

use serde::Serialize;

use super::{Enricher, Pattern, RuleSet, SkipReason, follow_up, matches};
use crate::{
    event::Event,
    job::{Accepted, Job},
    resource::Resources,
};

/// Where an event goes, and why nowhere else.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Every rule of `job_scheduler.job_rules`.
    pub rules: Vec<RuleTold>,
    /// The topics that matching rules send it to.
    pub topics: Vec<TopicTold>,
}

/// Whether a rule of `job_scheduler.job_rules` matches.
#[derive(Debug, Serialize)]
pub struct RuleTold {
    /// Its place.
    pub rule: usize,
    /// Its pattern.
    pub action_type: String,
    /// Its pattern.
    pub resource_type: String,
    /// Where it sends what it matches.
    pub topic: Arc<str>,
    /// Whether it does.
    pub matched: bool,
    /// The fields whose pattern does not match.
    pub mismatches: Vec<&'static str>,
}

/// What a topic makes of an event.
#[derive(Debug, Serialize)]
pub struct TopicTold {
    /// Its name.
    pub topic: Arc<str>,
    /// The place of the entry that makes the job: the first that matches. `None`: no entry does, and there is no job.
    pub won: Option<usize>,
    /// Its entries.
    pub matches: Vec<MatchTold>,
}

/// Whether an entry of a topic matches.
#[derive(Debug, Serialize)]
pub struct MatchTold {
    /// Its place.
    #[serde(rename = "match")]
    pub entry: usize,
    /// Its pattern; without one it matches all.
    pub action_type: Option<String>,
    /// Its pattern; without one it matches all.
    pub resource_type: Option<String>,
    /// What became of it.
    pub outcome: MatchOutcome,
    /// The fields whose pattern does not match.
    pub mismatches: Vec<&'static str>,
}

/// What became of an entry of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOutcome {
    /// It makes the job.
    Won,
    /// It does not match.
    NoMatch,
    /// An earlier one has won.
    NotTried,
}

/// What a rule of `job_manager.job_rules` makes of a finished job.
#[derive(Debug)]
pub struct FollowUpTold {
    /// Its place.
    pub rule: usize,
    /// The fields whose pattern does not match.
    pub mismatches: Vec<&'static str>,
    /// What it makes, where it matches.
    pub made: Option<Result<Job, SkipReason>>,
    /// Fields that its templates ask for and the job's payload does not have.
    pub missing: Vec<String>,
}

impl RuleSet {
    /// What [`RuleSet::route`] decides, and why.
    pub fn told(&self, event: &Event) -> Told {
        let (action_type, resource_type) = (&*event.action_type, &*event.entity.resource_type);
        let rules = self.rules.iter().enumerate().map(|(index, rule)| RuleTold {
            rule: index,
            action_type: rule.action_type.text().to_owned(),
            resource_type: rule.resource_type.text().to_owned(),
            topic: self.topics[rule.topic].name.clone(),
            matched: rule.matches(action_type, resource_type),
            mismatches: mismatches([
                ("action_type", Some(&rule.action_type), action_type),
                ("resource_type", Some(&rule.resource_type), resource_type),
            ]),
        });
        let topics = self.topics_of(action_type, resource_type);
        let topics = topics.map(|topic| {
            let won = topic.winner(action_type, resource_type);
            let entries = topic.enrichers.iter().enumerate();
            let entries = entries.map(|(index, entry)| entry.told(index, won, action_type, resource_type));
            TopicTold { topic: topic.name.clone(), won, matches: entries.collect() }
        });
        Told { topics: topics.collect(), rules: rules.collect() }
    }

    /// What [`RuleSet::follow_ups`] makes of a job, and why nothing else.
    pub fn follow_ups_told(&self, job: &Job, resources: &Resources, at: Accepted) -> Vec<FollowUpTold> {
        let rules = self.follow_ups.iter().enumerate();
        let told = rules.map(|(index, rule)| {
            let made = self.follow(rule, job, resources, at);
            let missing = if made.is_some() { rule.missing(job) } else { Vec::new() };
            FollowUpTold { rule: index, mismatches: rule.mismatches(job), made, missing }
        });
        told.collect()
    }

    /// What follow-ups take from a payload, as it stands in `key_fields`.
    pub fn followed(&self) -> impl Iterator<Item = String> {
        self.follow_ups.iter().flat_map(follow_up::Rule::payload_paths).map(ToString::to_string)
    }
}

impl Enricher {
    fn told(&self, entry: usize, won: Option<usize>, action_type: &str, resource_type: &str) -> MatchTold {
        let outcome = match won {
            Some(won) if entry == won => MatchOutcome::Won,
            Some(won) if entry > won => MatchOutcome::NotTried,
            _ => MatchOutcome::NoMatch,
        };
        let fields = [
            ("action_type", self.action_type.as_ref(), action_type),
            ("resource_type", self.resource_type.as_ref(), resource_type),
        ];
        let tried = outcome != MatchOutcome::NotTried;
        MatchTold {
            entry,
            action_type: self.action_type.as_ref().map(|pattern| pattern.text().to_owned()),
            resource_type: self.resource_type.as_ref().map(|pattern| pattern.text().to_owned()),
            outcome,
            mismatches: if tried { mismatches(fields) } else { Vec::new() },
        }
    }
}

/// The fields whose pattern does not match their value.
pub(super) fn mismatches<const N: usize>(
    fields: [(&'static str, Option<&Pattern>, &str); N],
) -> Vec<&'static str> {
    fields
        .into_iter()
        .filter(|(_, pattern, value)| !matches(*pattern, value))
        .map(|(name, ..)| name)
        .collect()
}
