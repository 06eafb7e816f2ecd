//! What is said of a job, and of what would follow it.

use std::{cell::Cell, time::Duration};

use serde::Serialize;

use super::Explainer;
use crate::{
    job::{Job, JobType},
    resource::shown_variant,
    rules::FollowUpTold,
};

/// Follow-ups that are told of one job of an event. Rules that fan out to each other would make very many.
const MOST_FOLLOW_UPS: usize = 100;

/// A job as it would be queued. Times are in seconds.
#[derive(Debug, Serialize)]
pub struct JobTold {
    pub(crate) topic: Box<str>,
    pub(crate) job_type: &'static str,
    pub(crate) resource_type: Box<str>,
    /// `None`: a holder id that is not known without the secret.
    pub(crate) entity_id: Option<Box<str>>,
    pub(crate) priority: u16,
    pub(crate) superceedable: bool,
    /// Starts no sooner than this after it is accepted.
    pub(crate) due: f64,
    /// Not worth starting later than this after it was due.
    pub(crate) expires: Option<f64>,
    pub(crate) occurred_at: Option<String>,
    pub(crate) generation: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) copy: Option<CopyTold>,
    /// What decides which queued job it supersedes; `None` where the secret is not known.
    pub(crate) key: Option<String>,
    /// What the key is made of.
    pub(crate) key_fields: Vec<String>,
    /// The keys of the copies that it is about, with the token's place left open.
    pub(crate) cache_keys: Vec<String>,
    /// Every rule of `job_manager.job_rules`; none of a `cache` job, which nothing follows.
    pub(crate) follow_ups: Vec<FollowUp>,
    /// There would be more to tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) follow_ups_left_out: bool,
}

/// The copy that a `cache` job is about.
#[derive(Debug, Serialize)]
pub(crate) struct CopyTold {
    pub(crate) holder: Option<String>,
    /// How long it lives, in seconds.
    pub(crate) life: f64,
}

/// What would follow by a rule of `job_manager.job_rules`.
#[derive(Debug, Serialize)]
pub struct FollowUp {
    pub(crate) rule: usize,
    pub(crate) matched: bool,
    pub(crate) mismatches: Vec<&'static str>,
    /// Why nothing would follow although the rule matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<&'static str>,
    /// What its templates ask for and the payload does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
    /// How many follow-ups lead here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) depth: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<Box<JobTold>>,
}

/// Tells of one job of an event, and of what follows it.
pub(crate) struct Teller<'a> {
    explainer: &'a Explainer<'a>,
    /// Follow-ups that may still be told of.
    left: Cell<usize>,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(explainer: &'a Explainer<'a>) -> Self {
        Self { explainer, left: Cell::new(MOST_FOLLOW_UPS) }
    }

    /// `named`: what the configuration adds to the job's key.
    pub(crate) fn job(&self, job: &Job, named: &[Box<str>]) -> JobTold {
        let knows_secret = self.explainer.knows_secret;
        let (follow_ups, follow_ups_left_out) = self.follow_ups(job);
        JobTold {
            topic: (*job.topic).into(),
            job_type: job.job_type.as_str(),
            resource_type: job.entity.resource_type.clone(),
            entity_id: (knows_secret || job.holder().is_none()).then(|| job.entity.id.clone()),
            priority: job.priority,
            superceedable: job.superceedable,
            due: seconds(job.ready_at.since(self.explainer.at.tick)),
            expires: job.expires_at.map(|at| seconds(at.since(job.ready_at))),
            occurred_at: job.occurred_at.map(|at| at.to_string()),
            generation: job.generation,
            copy: job.copy.as_ref().map(|copy| CopyTold {
                holder: knows_secret.then(|| copy.holder.to_string()),
                life: seconds(copy.life),
            }),
            key: knows_secret.then(|| format!("{:032x}", job.key.0)),
            key_fields: self.key_fields(job, named),
            cache_keys: self.cache_keys(job),
            follow_ups,
            follow_ups_left_out,
        }
    }

    fn key_fields(&self, job: &Job, named: &[Box<str>]) -> Vec<String> {
        let mut fields: Vec<String> =
            ["job_type", "topic", "resource_type", "entity_id"].map(str::to_owned).into();
        if job.copy.is_some() {
            fields.extend(["holder".to_owned(), "cache_key".to_owned()]);
        }
        let rules = self.explainer.enrichment.rules;
        let follows = rules.has_follow_up(job.job_type, &job.topic, &job.entity.resource_type);
        let followed = rules.followed().filter(|_| follows);
        for name in named.iter().map(ToString::to_string).chain(followed) {
            if !fields.contains(&name) {
                fields.push(name);
            }
        }
        fields
    }

    fn cache_keys(&self, job: &Job) -> Vec<String> {
        let variant = job.copy.as_ref().and_then(|copy| copy.cache_key.as_deref());
        match (variant, self.explainer.enrichment.resources.get(&job.entity.resource_type)) {
            (Some(variant), _) => shown_variant(variant).into_iter().collect(),
            (None, Some(resource)) if job.job_type != JobType::Revoke => {
                let templates = resource.templates().iter();
                templates.map(|template| template.for_entity(&job.entity.id).shown()).collect()
            }
            (None, _) => Vec::new(),
        }
    }

    /// What would follow, and whether there would be more to tell.
    fn follow_ups(&self, job: &Job) -> (Vec<FollowUp>, bool) {
        if !job.job_type.fans_out() {
            return (Vec::new(), false);
        }
        let Explainer { enrichment, at, .. } = self.explainer;
        let mut follow_ups = Vec::new();
        for told in enrichment.rules.follow_ups_told(job, enrichment.resources, *at) {
            if told.made.is_some() {
                match self.left.get().checked_sub(1) {
                    Some(left) => self.left.set(left),
                    None => return (follow_ups, true),
                }
            }
            follow_ups.push(self.follow_up(told));
        }
        (follow_ups, false)
    }

    fn follow_up(&self, told: FollowUpTold) -> FollowUp {
        let (job, skipped) = match told.made {
            None => (None, None),
            Some(Ok(job)) => (Some(job), None),
            Some(Err(reason)) => (None, Some(reason.as_str())),
        };
        FollowUp {
            rule: told.rule,
            matched: job.is_some() || skipped.is_some(),
            mismatches: told.mismatches,
            skipped,
            missing: told.missing,
            depth: job.as_ref().map(|job| job.depth),
            job: job.map(|job| Box::new(self.job(&job, &[]))),
        }
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
