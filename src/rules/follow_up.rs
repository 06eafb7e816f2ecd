//! What follows a finished job: invalidations of entities that hold something of its own (`job_manager.job_rules`).

use super::{Pattern, PayloadPath, RuleSet, compile::Problems, field_template::FieldTemplate, matches, told};
use crate::{
    config::rules::{FollowUpJob, FollowUpRule},
    event::{Entity, EventError},
    job::{Accepted, Job, JobId, JobKey, JobType},
    resource::Resources,
};

/// A rule, compiled.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    job_type: Option<Pattern>,
    topic: Option<Pattern>,
    resource_type: Option<Pattern>,
    makes: Makes,
}

/// What a rule makes of a job.
#[derive(Clone, Debug)]
struct Makes {
    resource_type: FieldTemplate,
    entity_id: FieldTemplate,
    like: FollowUpJob,
}

/// What follows one job.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FollowUps {
    /// To be queued before the finished job is let go.
    pub jobs: Vec<Job>,
    /// Rules that matched and made nothing.
    pub skipped: Vec<Skipped>,
}

/// A rule that matched a job and made nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// The rule's place in `job_manager.job_rules`.
    pub rule: usize,
    /// Why.
    pub reason: SkipReason,
}

/// Why a follow-up is not made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum SkipReason {
    /// The payload has no such field.
    MissingField,
    /// A field's value, or what is made of it, can be no resource type or entity id.
    InvalidField,
    /// The resource type has no entry in `resources`.
    UnknownResource,
    /// Too many follow-ups have led here: the rules go in a circle.
    Depth,
}

impl SkipReason {
    /// Every reason, for metrics that list them all.
    pub const ALL: [Self; 4] = [Self::MissingField, Self::InvalidField, Self::UnknownResource, Self::Depth];

    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::UnknownResource => "unknown_resource",
            Self::Depth => "depth",
        }
    }
}

impl RuleSet {
    /// The jobs that follow a finished one, one for each rule that matches it. They inherit its topic, payload and
    /// times; only `due` counts from `at`.
    pub fn follow_ups(&self, job: &Job, resources: &Resources, at: Accepted) -> FollowUps {
        let mut follow_ups = FollowUps::default();
        for (index, rule) in self.follow_ups.iter().enumerate() {
            match self.follow(rule, job, resources, at) {
                None => {}
                Some(Ok(job)) => follow_ups.jobs.push(job),
                Some(Err(reason)) => follow_ups.skipped.push(Skipped { rule: index, reason }),
            }
        }
        follow_ups
    }

    /// What a rule makes of a finished job; `None` where it does not match.
    pub(super) fn follow(
        &self,
        rule: &Rule,
        job: &Job,
        resources: &Resources,
        at: Accepted,
    ) -> Option<Result<Job, SkipReason>> {
        rule.matches(job.job_type, &job.topic, &job.entity.resource_type).then(|| {
            let depth = job.depth.checked_add(1).filter(|depth| *depth <= self.max_depth);
            let made = rule.makes.job(job, depth.ok_or(SkipReason::Depth)?, resources, at)?;
            Ok(self.tell_apart(made))
        })
    }

    /// A follow-up that has follow-ups of its own is told apart from others by what these take from its payload.
    fn tell_apart(&self, job: Job) -> Job {
        match &job.payload {
            Some(payload) if self.has_follow_up(job.job_type, &job.topic, &job.entity.resource_type) => {
                let mut key = JobKey::of(job.job_type, &job.topic, &job.entity);
                self.add_followed(&mut key, payload);
                Job { key: key.finish(), ..job }
            }
            _ => job,
        }
    }
}

impl Rule {
    pub(super) fn compile(index: usize, raw: &FollowUpRule, problems: &mut Problems) -> Option<Self> {
        let path = format!("job_manager.job_rules[{index}]");
        let job_type = problems.optional(raw.matches.job_type.as_ref(), |problems, text| {
            job_type(&format!("{path}.match.job_type"), text, problems)
        });
        let topic = problems.optional(raw.matches.topic.as_ref(), |problems, text| {
            problems.note(&format!("{path}.match.topic"), Pattern::compile(text))
        });
        let resource_type = problems.optional(raw.matches.resource_type.as_ref(), |problems, text| {
            problems.resource_type(&format!("{path}.match.resource_type"), text)
        });
        let makes = Makes::compile(&format!("{path}.job"), &raw.job, problems);
        Some(Self { job_type: job_type?, topic: topic?, resource_type: resource_type?, makes: makes? })
    }

    /// Nothing follows a `cache` job: it removes nothing, so nothing else is stale after it.
    pub(super) fn matches(&self, job_type: JobType, topic: &str, resource_type: &str) -> bool {
        job_type.fans_out()
            && matches(self.job_type.as_ref(), job_type.as_str())
            && matches(self.topic.as_ref(), topic)
            && matches(self.resource_type.as_ref(), resource_type)
    }

    /// The fields of a finished job whose pattern does not match.
    pub(super) fn mismatches(&self, job: &Job) -> Vec<&'static str> {
        told::mismatches([
            ("job_type", self.job_type.as_ref(), job.job_type.as_str()),
            ("topic", self.topic.as_ref(), &job.topic),
            ("resource_type", self.resource_type.as_ref(), &job.entity.resource_type),
        ])
    }

    /// What it would take from a job's payload and is not there.
    pub(super) fn missing(&self, job: &Job) -> Vec<String> {
        let is_there = |path: &&PayloadPath| job.payload.as_deref().is_some_and(|it| path.find(it).is_some());
        self.payload_paths().filter(|path| !is_there(path)).map(ToString::to_string).collect()
    }

    pub(super) fn payload_paths(&self) -> impl Iterator<Item = &PayloadPath> {
        self.makes.resource_type.payload_paths().chain(self.makes.entity_id.payload_paths())
    }

    /// Whether it can match no job but a `cache` job, which nothing follows.
    pub(super) fn follows_nothing(&self) -> bool {
        let fan_outs = JobType::ALL.into_iter().filter(|job_type| job_type.fans_out());
        !fan_outs.map(JobType::as_str).any(|job_type| matches(self.job_type.as_ref(), job_type))
    }

    /// The resource type of what it makes, where that is always the same.
    pub(super) fn resource_type(&self) -> Option<&str> {
        self.makes.resource_type.literal()
    }
}

impl Makes {
    fn compile(path: &str, raw: &FollowUpJob, problems: &mut Problems) -> Option<Self> {
        if raw.job_type != JobType::Invalidate {
            problems
                .add(format!("{path}.job_type"), "a follow-up has no user and so no copy: use invalidate");
        }
        // The other half of the entity is made up, so that only the literal can be at fault.
        let of_type = |literal: &str| Entity::new(literal, "1");
        let with_id = |literal: &str| Entity::new("A", literal);
        let resource_type = template(&format!("{path}.resource_type"), &raw.resource_type, of_type, problems);
        let entity_id = template(&format!("{path}.entity_id"), &raw.entity_id, with_id, problems);
        Some(Self { resource_type: resource_type?, entity_id: entity_id?, like: raw.clone() })
    }

    fn job(&self, parent: &Job, depth: u8, resources: &Resources, at: Accepted) -> Result<Job, SkipReason> {
        let (resource_type, id) = (self.resource_type.expand(parent)?, self.entity_id.expand(parent)?);
        let entity = Entity::new(&resource_type, &id).map_err(|_| SkipReason::InvalidField)?;
        resources.get(&resource_type).ok_or(SkipReason::UnknownResource)?;
        let job_type = self.like.job_type;
        Ok(Job {
            id: JobId::new(at.now),
            key: JobKey::of(job_type, &parent.topic, &entity).finish(),
            job_type,
            topic: parent.topic.clone(),
            entity,
            priority: self.like.priority,
            superceedable: self.like.superceedable,
            ready_at: at.tick.after(self.like.due),
            expires_at: None,
            occurred_at: Some(parent.occurred_at.unwrap_or(parent.accepted_at)),
            generation: None,
            accepted_at: parent.accepted_at,
            copy: None,
            payload: parent.payload.clone(),
            depth,
            recheck: false,
            rules: parent.rules,
            trace: parent.trace.clone(),
        })
    }
}

/// A template; one without places must be right by itself.
fn template(
    path: &str,
    text: &str,
    entity: impl FnOnce(&str) -> Result<Entity, EventError>,
    problems: &mut Problems,
) -> Option<FieldTemplate> {
    let template = problems.note(path, FieldTemplate::parse(text))?;
    if let Some(literal) = template.literal() {
        problems.note(path, entity(literal))?;
    }
    Some(template)
}

fn job_type(path: &str, text: &str, problems: &mut Problems) -> Option<Pattern> {
    let pattern = problems.note(path, Pattern::compile(text))?;
    if !JobType::ALL.iter().any(|job_type| pattern.matches(job_type.as_str())) {
        let known = JobType::ALL.map(JobType::as_str).join(", ");
        problems.add(path, format!("`{text}` matches no job type: there are {known}"));
    }
    Some(pattern)
}

#[cfg(test)]
mod tests;
