//! From an event to jobs: what its rules ask for, made complete (DESIGN 4).

use std::sync::Arc;

use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    event::{AccessToken, Entity, Event, EventError},
    job::{Accepted, CopyHeld, Job, JobId, JobKey, JobType},
    resource::{Resource, Resources},
    rules::{Route, RuleSet},
    secret::HolderId,
};

mod key;

/// What events are enriched with.
#[derive(Clone, Copy)]
pub struct Enrichment<'a> {
    /// Which jobs an event asks for.
    pub rules: &'a RuleSet,
    /// What copies of an entity are called and how long they live.
    pub resources: &'a Resources,
    /// A token's holder id.
    pub holder_id: &'a dyn Fn(&AccessToken) -> HolderId,
}

/// What a job is about.
struct Subject {
    entity: Entity,
    copy: Option<Box<CopyHeld>>,
}

impl Enrichment<'_> {
    /// The jobs that an event asks for, one a topic. None: no rule matches it, it is ignored.
    ///
    /// # Errors
    /// [`EventError`] where a rule matches and its job cannot be made: then none is.
    pub fn jobs(&self, event: &Event, at: Accepted) -> Result<Vec<Job>, EventError> {
        let routes = self.rules.route(event);
        if routes.is_empty() {
            return Ok(Vec::new());
        }
        routes.iter().map(|route| self.job(event, route, at)).collect()
    }

    fn job(&self, event: &Event, route: &Route<'_>, at: Accepted) -> Result<Job, EventError> {
        let properties = &route.enricher.properties;
        let job_type = properties.job_type;
        let Subject { entity, copy } = self.subject(event, job_type)?;
        let occurred_at = match job_type {
            JobType::Cache => self.read_began(event),
            JobType::Invalidate | JobType::Revoke => event.occurred_at.or(Some(at.now)),
        };
        let ready_at = at.tick.after(properties.due);
        let follows = self.rules.has_follow_up(job_type, route.topic, &entity.resource_type);
        let key = self.key(event, route, (&entity, copy.as_deref()), follows);
        Ok(Job {
            id: JobId::new(at.now),
            key,
            job_type,
            topic: route.topic.clone(),
            entity,
            priority: properties.priority,
            superceedable: properties.superceedable,
            ready_at,
            expires_at: properties.expires.map(|expires| ready_at.after(expires)),
            occurred_at,
            generation: event.generation,
            accepted_at: at.now,
            copy,
            payload: follows.then(|| Arc::new(event.payload.clone())),
            depth: 0,
            recheck: false,
            rules: self.rules.number(),
            trace: None,
        })
    }

    fn subject(&self, event: &Event, job_type: JobType) -> Result<Subject, EventError> {
        let entity = event.entity.clone();
        Ok(match job_type {
            JobType::Cache => {
                let copy = self.copy(event, self.resource(event)?)?;
                Subject { entity, copy: Some(Box::new(copy)) }
            }
            JobType::Invalidate => self.resource(event).map(|_| Subject { entity, copy: None })?,
            // Whatever the event is about: what goes is all that the holder has.
            JobType::Revoke => Subject { entity: Job::of_holder(self.holder(event)?), copy: None },
        })
    }

    /// When a read began. A clock that is further ahead than clocks may be apart does not say: the read may have waited since
    /// any time before its arrival.
    fn read_began(&self, event: &Event) -> Option<Timestamp> {
        let resource = self.resources.get(&event.entity.resource_type)?;
        event.occurred_at.filter(|_| event.ahead <= resource.tolerance())
    }

    fn resource(&self, event: &Event) -> Result<&Resource, EventError> {
        let resource_type = &event.entity.resource_type;
        self.resources.get(resource_type).ok_or_else(|| {
            EventError(format!(
                "resource_type {resource_type} is routed by a rule, and has no entry in resources"
            ))
        })
    }

    /// Whose copies are to go.
    fn holder(&self, event: &Event) -> Result<HolderId, EventError> {
        let token = event.access_token.as_ref().ok_or_else(|| {
            EventError(
                "access_token is missing: a rule makes a revoke job of this event, and the token says whose copies \
                 are to go; it may stand in payload"
                    .to_owned(),
            )
        })?;
        Ok((self.holder_id)(token))
    }

    fn key(
        &self,
        event: &Event,
        route: &Route<'_>,
        subject: (&Entity, Option<&CopyHeld>),
        follows: bool,
    ) -> JobKey {
        let mut key = key::of(event, route, subject, self.holder_id);
        if follows && holds(Clause::FollowedInKey) {
            self.rules.add_followed(&mut key, &event.payload);
        }
        key.finish()
    }

    /// The copy that a read has filled.
    fn copy(&self, event: &Event, resource: &Resource) -> Result<CopyHeld, EventError> {
        if resource.require_read_time && event.occurred_at.is_none() && event.generation.is_none() {
            return Err(EventError(
                "occurred_at is missing: a read of this resource needs the time when the API began it, or a generation"
                    .to_owned(),
            ));
        }
        let token = event.access_token.clone().or_else(|| shared(event, resource)).ok_or_else(|| {
            EventError(
                "access_token is missing: the copy's key is made of it; it may stand in payload".to_owned(),
            )
        })?;
        let cache_key = resource
            .variant(&event.entity, event.cache_key.as_deref(), &token)
            .map_err(|error| EventError(error.to_string()))?;
        Ok(CopyHeld {
            holder: (self.holder_id)(&token),
            token,
            user_id: event.user_id.clone(),
            cache_key,
            life: event.expires_in.unwrap_or(resource.ttl),
        })
    }
}

/// Copies whose keys use no token are one for all users: the empty token stands for them. A variant always uses one.
fn shared(event: &Event, resource: &Resource) -> Option<AccessToken> {
    let uses_token = resource.templates().uses_token() || event.cache_key.is_some();
    (!uses_token).then(|| AccessToken::new(""))
}

#[cfg(test)]
mod tests;
