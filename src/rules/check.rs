//! What a set of rules is warned of: parts that come to nothing, as far as patterns can be listed.

use super::{Enricher, Pattern, Rule, RuleProblem, RuleSet, Topic};
use crate::{event::is_resource_type, job::JobType, resource::Resources};

/// Every warning, in the order of the configuration.
pub(super) fn warnings(set: &RuleSet, resources: &Resources) -> Vec<RuleProblem> {
    let mut warnings = Vec::new();
    for (index, rule) in set.rules.iter().enumerate() {
        warnings.extend(of_rule(&format!("job_scheduler.job_rules[{index}]"), rule, set, resources));
    }
    for (index, topic) in set.topics.iter().enumerate() {
        let routed = set.rules.iter().any(|rule| rule.topic == index);
        warnings.extend(of_topic(topic, routed));
    }
    for (index, rule) in set.follow_ups.iter().enumerate() {
        if rule.follows_nothing() {
            let path = format!("job_manager.job_rules[{index}].match.job_type");
            warnings.push(RuleProblem::new(
                path,
                "nothing follows a cache job: this rule never comes to anything",
            ));
        }
        let path = format!("job_manager.job_rules[{index}].job.resource_type");
        let unknown = |resource_type: &&str| resources.get(resource_type).is_none();
        warnings.extend(rule.resource_type().filter(unknown).map(|name| {
            RuleProblem::new(
                path,
                format!("`{name}` has no entry in resources: the follow-up will be skipped"),
            )
        }));
    }
    warnings
}

fn of_rule(path: &str, rule: &Rule, set: &RuleSet, resources: &Resources) -> Vec<RuleProblem> {
    let mut warnings = Vec::new();
    let topic = &set.topics[rule.topic];
    if !topic.enrichers.iter().any(|enricher| rule.meets(enricher)) {
        let name = &topic.name;
        warnings.push(RuleProblem::new(
            path,
            format!(
                "no match of topic `{name}` takes what this rule sends there: its events will be ignored"
            ),
        ));
    }
    // What a holder holds is removed whatever the event was about.
    let mut made = topic.enrichers.iter().filter(|enricher| rule.meets(enricher)).peekable();
    if made.peek().is_some() && made.all(|enricher| enricher.properties.job_type == JobType::Revoke) {
        return warnings;
    }
    let named = rule.resource_type.values().into_iter().flatten();
    let missing = named.filter(|name| is_resource_type(name) && resources.get(name).is_none());
    warnings.extend(missing.map(|name| {
        let detail = format!("`{name}` has no entry in resources: its events will be refused");
        RuleProblem::new(format!("{path}.resource_type"), detail)
    }));
    warnings
}

fn of_topic(topic: &Topic, routed: bool) -> Vec<RuleProblem> {
    let path = format!("job_scheduler.enricher.topics.{}", topic.name);
    let mut warnings = Vec::new();
    if !routed {
        warnings
            .push(RuleProblem::new(&path, "no rule of job_scheduler.job_rules sends events to this topic"));
    }
    for (index, enricher) in topic.enrichers.iter().enumerate() {
        let hidden_by = topic.enrichers[..index].iter().position(|earlier| earlier.hides(enricher));
        warnings.extend(hidden_by.map(|earlier| {
            let detail =
                format!("entry [{earlier}] takes everything that this one matches: the first match wins");
            RuleProblem::new(format!("{path}[{index}].match"), detail)
        }));
    }
    warnings
}

impl Rule {
    fn meets(&self, enricher: &Enricher) -> bool {
        let meets =
            |ours: &Pattern, theirs: &Option<Pattern>| theirs.as_ref().is_none_or(|it| ours.meets(it));
        meets(&self.action_type, &enricher.action_type) && meets(&self.resource_type, &enricher.resource_type)
    }
}

impl Enricher {
    /// Whether a later entry of the same topic has nothing left. Decided where the later one's values are few, or this
    /// one matches everything.
    fn hides(&self, later: &Self) -> bool {
        let hides = |ours: &Option<Pattern>, theirs: &Option<Pattern>| match (ours, theirs) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => {
                theirs.values().is_some_and(|values| values.iter().all(|value| ours.matches(value)))
            }
            (Some(_), None) => false,
        };
        hides(&self.action_type, &later.action_type) && hides(&self.resource_type, &later.resource_type)
    }
}
