//! What would come of an event, and why: which rules match, which entry of a topic makes the job, what the job is like, and
//! what would follow it. Everything is decided by the code that does it for real ([`crate::rules`], [`crate::enrich`]);
//! this only writes it down. No token is in it, and nothing is queued.

use serde::Serialize;

use crate::{
    enrich::Enrichment,
    event::{Event, EventError},
    job::Accepted,
    rules::{RuleTold, Told, TopicTold},
};

mod job;
mod text;

use job::Teller;
pub use job::{FollowUp, JobTold};
pub use text::lines;

/// Events that are explained in one request: what is said of one is many times as long as it is.
pub const MOST_EXPLAINED: usize = 100;

/// Explains events.
pub struct Explainer<'a> {
    /// What decides.
    pub enrichment: Enrichment<'a>,
    /// When the events come.
    pub at: Accepted,
    /// Whether holder ids are the real ones. Else they are not told, nor keys that are made of them.
    pub knows_secret: bool,
}

/// What would become of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It makes jobs.
    Accepted,
    /// It is accepted, and makes none.
    Ignored,
    /// It is not taken.
    Rejected,
}

/// All that is said of an event.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Its place in the request.
    pub index: usize,
    /// What it says of itself, where it can be read.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventTold>,
    /// What would become of it.
    pub outcome: Outcome,
    /// The same in a sentence.
    pub detail: String,
    /// Every rule of `job_scheduler.job_rules`.
    pub rules: Vec<RuleTold>,
    /// The topics that it goes to.
    pub topics: Vec<TopicTold>,
    /// The jobs that it makes.
    pub jobs: Vec<JobTold>,
}

/// An event at a glance.
#[derive(Debug, Serialize)]
pub struct EventTold {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<Box<str>>,
    pub(crate) action_type: Box<str>,
    pub(crate) resource_type: Box<str>,
    pub(crate) entity_id: Box<str>,
}

impl Explainer<'_> {
    /// Explains each event in its turn.
    pub fn explain(&self, events: Vec<Result<Event, EventError>>) -> Vec<Explanation> {
        let events = events.into_iter().enumerate();
        let explained = events.map(|(index, event)| match event {
            Ok(event) => self.event(index, &event),
            Err(EventError(detail)) => Explanation {
                index,
                event: None,
                outcome: Outcome::Rejected,
                detail,
                rules: Vec::new(),
                topics: Vec::new(),
                jobs: Vec::new(),
            },
        });
        explained.collect()
    }

    fn event(&self, index: usize, event: &Event) -> Explanation {
        let Told { rules, topics } = self.enrichment.rules.told(event);
        let (outcome, detail, jobs) = match self.enrichment.jobs(event, self.at) {
            Err(EventError(detail)) => (Outcome::Rejected, detail, Vec::new()),
            Ok(jobs) if jobs.is_empty() => (Outcome::Ignored, why_ignored(&rules, &topics), jobs),
            Ok(jobs) => (Outcome::Accepted, format!("jobs: {}", jobs.len()), jobs),
        };
        let routes = self.enrichment.rules.route(event);
        let jobs = jobs
            .iter()
            .zip(&routes)
            .map(|(job, route)| Teller::new(self).job(job, &route.enricher.key_field_names));
        let jobs = jobs.collect();
        let event = EventTold {
            event_id: event.id.clone(),
            action_type: event.action_type.clone(),
            resource_type: event.entity.resource_type.clone(),
            entity_id: event.entity.id.clone(),
        };
        Explanation { index, event: Some(event), outcome, detail, rules, topics, jobs }
    }
}

/// Why an event makes no job.
fn why_ignored(rules: &[RuleTold], topics: &[TopicTold]) -> String {
    let names = |topics: &[TopicTold]| {
        let names: Vec<&str> = topics.iter().map(|told| &*told.topic).collect();
        names.join(", ")
    };
    match (rules, topics) {
        ([], _) => "there are no rules: every event is ignored (job_scheduler.job_rules)".to_owned(),
        (_, []) => format!("none of the {} rules matches: the event is accepted and ignored", rules.len()),
        (_, topics) => {
            format!(
                "no match takes it in any topic that it goes to ({}): it is accepted and ignored",
                names(topics)
            )
        }
    }
}

#[cfg(test)]
mod tests;
