//! The rules: which topics an event goes to, what jobs are made of it there, and what follows a finished job (DESIGN 4).
//!
//! [`RuleSet::compile`] checks a configuration whole; what exists afterwards can be asked without errors.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    config::rules::JobProperties,
    event::Event,
    job::{JobType, KeyHasher},
};

mod check;
mod compile;
mod field_template;
mod follow_up;
mod history;
mod key_field;
mod memo;
mod pattern;
mod payload_path;
mod problem;
mod told;

pub use follow_up::{FollowUps, SkipReason, Skipped};
pub use history::History;
pub(crate) use key_field::{Attribute, KeyField, Property};
use pattern::Pattern;
pub(crate) use payload_path::PayloadPath;
pub use problem::RuleProblem;
pub use told::{FollowUpTold, MatchOutcome, MatchTold, RuleTold, Told, TopicTold};

/// Every rule, compiled.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    topics: Vec<Topic>,
    follow_ups: Vec<follow_up::Rule>,
    max_depth: u8,
    warnings: Vec<RuleProblem>,
    /// Which one of the process's sets it is.
    number: u32,
    /// Jobs by the types of an event: what the patterns have said before.
    memo: memo::Memo,
}

/// Sends events to a topic.
#[derive(Clone, Debug)]
struct Rule {
    action_type: Pattern,
    resource_type: Pattern,
    /// A place in the set's topics.
    topic: usize,
}

#[derive(Clone, Debug)]
struct Topic {
    name: Arc<str>,
    enrichers: Vec<Enricher>,
}

/// Makes jobs of events: the first one of a topic that matches.
#[derive(Clone, Debug)]
pub struct Enricher {
    action_type: Option<Pattern>,
    resource_type: Option<Pattern>,
    pub(crate) key_fields: Vec<KeyField>,
    /// The same as they are written.
    pub(crate) key_field_names: Vec<Box<str>>,
    /// What its jobs are like.
    pub properties: JobProperties,
}

/// One job that an event asks for.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// Where the event goes.
    pub topic: &'a Arc<str>,
    /// What makes the job there.
    pub enricher: &'a Enricher,
}

impl RuleSet {
    /// The jobs that an event asks for: one for each topic that a rule sends it to and that has an enricher for it, in
    /// the order of the rules. None: the event is ignored.
    pub fn route(&self, event: &Event) -> Vec<Route<'_>> {
        let (action_type, resource_type) = (&*event.action_type, &*event.entity.resource_type);
        let found = self.memo.get(action_type, resource_type, || self.find(action_type, resource_type));
        let route = |(topic, enricher): &(usize, usize)| {
            let topic = &self.topics[*topic];
            Route { topic: &topic.name, enricher: &topic.enrichers[*enricher] }
        };
        found.iter().map(route).collect()
    }

    /// The jobs that such events ask for, as the patterns say.
    fn find(&self, action_type: &str, resource_type: &str) -> memo::Found {
        let topics = self.places_of(action_type, resource_type).into_iter();
        let enriched = topics.filter_map(|topic| {
            self.topics[topic].winner(action_type, resource_type).map(|enricher| (topic, enricher))
        });
        enriched.collect()
    }

    /// The topics that rules send such events to, in the order of the rules.
    fn topics_of(&self, action_type: &str, resource_type: &str) -> impl Iterator<Item = &Topic> {
        self.places_of(action_type, resource_type).into_iter().map(|topic| &self.topics[topic])
    }

    fn places_of(&self, action_type: &str, resource_type: &str) -> Vec<usize> {
        let mut topics: Vec<usize> = Vec::new();
        for rule in &self.rules {
            if !topics.contains(&rule.topic) && rule.matches(action_type, resource_type) {
                topics.push(rule.topic);
            }
        }
        topics
    }

    /// What is allowed and yet hardly meant: topics and follow-ups that come to nothing.
    pub fn warnings(&self) -> &[RuleProblem] {
        &self.warnings
    }

    /// Whether some rule makes a follow-up of such a job, so that it needs its payload.
    pub(crate) fn has_follow_up(&self, job_type: JobType, topic: &str, resource_type: &str) -> bool {
        self.follow_ups.iter().any(|rule| rule.matches(job_type, topic, resource_type))
    }

    /// Which one of the process's sets it is, counted from 0.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Makes what follow-ups take from a payload part of a job's identity, and the rules that make them: two jobs that differ in
    /// it do not supersede each other, for what follows the one does not follow the other.
    pub(crate) fn add_followed(&self, key: &mut KeyHasher, payload: &Map<String, Value>) {
        if self.number > 0 {
            key.bytes(&self.number.to_le_bytes());
        }
        let paths = self.follow_ups.iter().flat_map(follow_up::Rule::payload_paths);
        paths.for_each(|path| path.add_to(key, payload));
    }
}

impl Topic {
    /// The place of the entry that makes the job: the first that matches.
    fn winner(&self, action_type: &str, resource_type: &str) -> Option<usize> {
        self.enrichers.iter().position(|enricher| enricher.matches(action_type, resource_type))
    }
}

impl Rule {
    fn matches(&self, action_type: &str, resource_type: &str) -> bool {
        self.action_type.matches(action_type) && self.resource_type.matches(resource_type)
    }
}

impl Enricher {
    fn matches(&self, action_type: &str, resource_type: &str) -> bool {
        matches(self.action_type.as_ref(), action_type) && matches(self.resource_type.as_ref(), resource_type)
    }
}

/// A pattern that is not given matches everything.
fn matches(pattern: Option<&Pattern>, value: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(value))
}

#[cfg(test)]
mod tests;
