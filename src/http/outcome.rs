//! What became of a request's jobs, as answers to posts show it.

use std::collections::HashMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    ingest::QueuedJob,
    job::JobId,
    queue::{JobState, JobView, Queue},
};

/// A job that a request queued.
#[derive(Debug)]
pub(super) struct JobEntry {
    /// The place in the request of what it is for.
    source: Source,
    event_id: Option<Box<str>>,
    id: JobId,
    supersedes: Option<JobId>,
    outcome: Option<Outcome>,
}

/// What a request holds a list of.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Event(usize),
    Entity(usize),
    /// Or what it is about, where there is no list.
    Holder(String),
}

/// Where a job has ended. A superseded job's work was done by the one that took its place: its survivor.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Its own state, or its survivor's.
    outcome: JobState,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<JobId>,
}

/// Written out: a request may have queued very many, and what is flattened is collected first.
impl Serialize for JobEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.source {
            Source::Event(place) => map.serialize_entry("event", place)?,
            Source::Entity(place) => map.serialize_entry("entity", place)?,
            Source::Holder(holder) => map.serialize_entry("holder", holder)?,
        }
        if let Some(event_id) = &self.event_id {
            map.serialize_entry("event_id", event_id)?;
        }
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("supersedes", &self.supersedes)?;
        if let Some(Outcome { outcome, superseded_by }) = &self.outcome {
            map.serialize_entry("outcome", outcome)?;
            if let Some(superseded_by) = superseded_by {
                map.serialize_entry("superseded_by", superseded_by)?;
            }
        }
        map.end()
    }
}

/// Shows jobs with their outcomes, where they were waited for: `ended` are their views. Survivors that other requests
/// brought are asked of the queue.
pub(super) fn entries(
    jobs: Vec<QueuedJob>,
    source: impl Fn(usize) -> Source,
    ended: Option<&[JobView]>,
    queue: &Queue,
) -> Vec<JobEntry> {
    let views: Option<HashMap<JobId, &JobView>> =
        ended.map(|views| views.iter().map(|view| (view.id, view)).collect());
    let find =
        |views: &HashMap<JobId, &JobView>, id| views.get(&id).copied().cloned().or_else(|| queue.job(id));
    let entry = |job: QueuedJob| JobEntry {
        source: source(job.event),
        event_id: job.event_id,
        id: job.id,
        supersedes: job.supersedes,
        outcome: views.as_ref().and_then(|views| outcome(job.id, |id| find(views, id))),
    };
    jobs.into_iter().map(entry).collect()
}

/// Follows a job to the one that did its work. `None` where it ended too long ago to be known.
fn outcome(id: JobId, find: impl Fn(JobId) -> Option<JobView>) -> Option<Outcome> {
    let mut last = find(id)?;
    let mut superseded_by = None;
    while let Some(survivor) = last.superseded_by {
        superseded_by = Some(survivor);
        match find(survivor) {
            Some(view) => last = view,
            None => break,
        }
    }
    Some(Outcome { outcome: last.state, superseded_by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, job::JobType};

    fn view(id: JobId, state: JobState, superseded_by: Option<JobId>) -> JobView {
        JobView {
            id,
            job_type: JobType::Cache,
            topic: "pp-cache".into(),
            resource_type: "Posts".into(),
            entity_id: "42".into(),
            state,
            priority: 0,
            attempts: 0,
            last_error: None,
            cause: None,
            accepted_at: Timestamp(1),
            finished_at: Some(Timestamp(2)),
            superseded_by,
            tally: None,
        }
    }

    #[test]
    fn a_superseded_job_shows_the_outcome_of_the_last_that_took_its_place() {
        let [first, second, third] = [1, 2, 3].map(|ms| JobId::new(Timestamp(ms)));
        let views = [
            view(first, JobState::Superseded, Some(second)),
            view(second, JobState::Superseded, Some(third)),
            view(third, JobState::Done, None),
        ];
        let find = |id| views.iter().find(|view| view.id == id).cloned();
        let json = serde_json::to_value(outcome(first, find)).unwrap();
        assert_eq!(json, serde_json::json!({ "outcome": "done", "superseded_by": third.to_string() }));
        let json = serde_json::to_value(outcome(third, find)).unwrap();
        assert_eq!(json, serde_json::json!({ "outcome": "done" }));
    }

    #[test]
    fn a_survivor_that_is_not_known_any_more_is_still_named() {
        let [first, second] = [1, 2].map(|ms| JobId::new(Timestamp(ms)));
        let find = |id| (id == first).then(|| view(first, JobState::Superseded, Some(second)));
        let json = serde_json::to_value(outcome(first, find)).unwrap();
        assert_eq!(json, serde_json::json!({ "outcome": "superseded", "superseded_by": second.to_string() }));
    }
}
