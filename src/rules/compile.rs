//! From the configuration to a [`RuleSet`]: every mistake at once, each with its path.

use std::sync::Arc;

use super::{Enricher, KeyField, Pattern, Rule, RuleProblem, RuleSet, Topic, check, follow_up, memo::Memo};
use crate::{
    config::rules::{EnricherEntry, JobRule, RulesConfig},
    event::{is_action_type, is_resource_type},
    job::JobType,
    resource::Resources,
};

/// An action type has 64 characters, of up to 4 bytes each.
const MAX_ACTION_BYTES: usize = 64 * 4;
const MAX_RESOURCE_BYTES: usize = 64;

impl RuleSet {
    /// Checks the rules whole. A pattern is found never to match where its values can be listed (plain alternatives,
    /// small character classes) or are all too long; any other is taken as it is.
    ///
    /// # Errors
    /// Everything that is wrong, each with its path in the configuration.
    pub fn compile(config: &RulesConfig, resources: &Resources) -> Result<Self, Vec<RuleProblem>> {
        let mut problems = Problems::default();
        let topics: Vec<_> =
            config.topics.iter().map(|(name, entries)| topic(name, entries, &mut problems)).collect();
        let job_rules = config.job_rules.iter().enumerate();
        let rules: Vec<_> = job_rules.map(|(index, raw)| rule(index, raw, config, &mut problems)).collect();
        let follow_ups = config.follow_ups.iter().enumerate();
        let follow_ups: Vec<_> =
            follow_ups.map(|(index, raw)| follow_up::Rule::compile(index, raw, &mut problems)).collect();
        // With no problem found, none of these has a gap.
        let compiled = (
            rules.into_iter().collect::<Option<Vec<_>>>(),
            topics.into_iter().collect::<Option<Vec<_>>>(),
            follow_ups.into_iter().collect::<Option<Vec<_>>>(),
        );
        match (problems.0.is_empty(), compiled) {
            (true, (Some(rules), Some(topics), Some(follow_ups))) => {
                let max_depth = config.max_depth;
                let warnings = Vec::new();
                let set =
                    Self { rules, topics, follow_ups, max_depth, warnings, number: 0, memo: Memo::default() };
                Ok(Self { warnings: check::warnings(&set, resources), ..set })
            }
            _ => Err(problems.0),
        }
    }
}

/// Everything wrong that was found so far.
#[derive(Default)]
pub(super) struct Problems(Vec<RuleProblem>);

impl Problems {
    pub(super) fn add(&mut self, path: impl Into<String>, detail: impl Into<String>) {
        self.0.push(RuleProblem::new(path, detail));
    }

    /// The value, or its error noted at `path`.
    pub(super) fn note<T, E: ToString>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error.to_string())).ok()
    }

    /// A pattern that may be left out: then it matches everything.
    pub(super) fn optional<T>(
        &mut self,
        text: Option<&String>,
        compile: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        match text {
            None => Some(None),
            Some(text) => compile(self, text).map(Some),
        }
    }

    pub(super) fn action_type(&mut self, path: &str, text: &str) -> Option<Pattern> {
        let pattern = self.note(path, Pattern::compile(text))?;
        if !pattern.can_match(is_action_type, MAX_ACTION_BYTES) {
            self.add(path, format!("`{text}` can never match: an action type has 1 to 64 characters"));
        }
        Some(pattern)
    }

    pub(super) fn resource_type(&mut self, path: &str, text: &str) -> Option<Pattern> {
        let pattern = self.note(path, Pattern::compile(text))?;
        if !pattern.can_match(is_resource_type, MAX_RESOURCE_BYTES) {
            let detail = format!(
                "`{text}` can never match: a resource type is 1 to 64 of the characters A-Z a-z 0-9 _ . -"
            );
            self.add(path, detail);
        }
        Some(pattern)
    }
}

fn topic(name: &str, entries: &[EnricherEntry], problems: &mut Problems) -> Option<Topic> {
    let path = format!("job_scheduler.enricher.topics.{name}");
    if entries.is_empty() {
        problems.add(&path, "a topic needs at least one entry with job_properties");
    }
    let entries = entries.iter().enumerate();
    let enrichers: Vec<_> =
        entries.map(|(index, raw)| enricher(&format!("{path}[{index}]"), raw, problems)).collect();
    Some(Topic { name: Arc::from(name), enrichers: enrichers.into_iter().collect::<Option<_>>()? })
}

fn enricher(path: &str, raw: &EnricherEntry, problems: &mut Problems) -> Option<Enricher> {
    let action_type = problems.optional(raw.matches.action_type.as_ref(), |problems, text| {
        problems.action_type(&format!("{path}.match.action_type"), text)
    });
    let resource_type = problems.optional(raw.matches.resource_type.as_ref(), |problems, text| {
        problems.resource_type(&format!("{path}.match.resource_type"), text)
    });
    let key_fields = raw.key_fields.iter().enumerate();
    let key_fields: Vec<_> = key_fields
        .map(|(index, text)| problems.note(&format!("{path}.key_fields[{index}]"), KeyField::parse(text)))
        .collect();
    let properties = raw.job_properties.clone();
    if properties.expires.is_some() && properties.job_type != JobType::Cache {
        let job_type = properties.job_type;
        problems.add(
            format!("{path}.job_properties.expires"),
            format!("only a job of type cache can expire: it is never not worth it to run an {job_type} job"),
        );
    }
    Some(Enricher {
        action_type: action_type?,
        resource_type: resource_type?,
        key_fields: key_fields.into_iter().collect::<Option<_>>()?,
        key_field_names: raw.key_fields.iter().map(|name| name.as_str().into()).collect(),
        properties,
    })
}

fn rule(index: usize, raw: &JobRule, config: &RulesConfig, problems: &mut Problems) -> Option<Rule> {
    let path = format!("job_scheduler.job_rules[{index}]");
    let action_type = problems.action_type(&format!("{path}.action_type"), &raw.action_type);
    let resource_type = problems.resource_type(&format!("{path}.resource_type"), &raw.resource_type);
    let topic = config.topics.keys().position(|name| *name == raw.topic);
    if topic.is_none() {
        let name = &raw.topic;
        problems.add(
            format!("{path}.topic"),
            format!("topic `{name}` has no enricher: add job_scheduler.enricher.topics.{name}"),
        );
    }
    Some(Rule { action_type: action_type?, resource_type: resource_type?, topic: topic? })
}
