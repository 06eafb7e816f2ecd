//! A job in the queue with what the queue knows of it.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{
    schedule::Place,
    view::{JobState, JobView},
};
use crate::{
    caches::WaitsFor,
    clause::{Clause, holds},
    clock::Tick,
    fan_out::FanOut,
    job::{Cause, CopyHeld, Job, JobKey},
    journal::Ref,
};

/// What is to be done for a job now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its work.
    Work,
    /// Not its work any more: its copy is to be evicted, for nothing will track it (DESIGN 7, rule 8).
    Evict(Ending),
}

/// How a `cache` job ends that does not get done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was not worth starting any more.
    Expired,
    /// It failed too often.
    Dead,
}

impl Ending {
    /// The state that a job is in after it.
    pub fn state(self) -> JobState {
        match self {
            Self::Expired => JobState::Expired,
            Self::Dead => JobState::Dead,
        }
    }
}

/// A job as a worker takes it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The job.
    pub job: Arc<Job>,
    /// What is to be done for it.
    pub phase: Phase,
    /// How often it has failed before.
    pub failures: u32,
    /// For an invalidation or revocation: how far it has come.
    pub fan_out: FanOut,
    /// The caches that it has failed for; none where it has new work to do since.
    pub waits_for: WaitsFor,
    /// How long it has been ready.
    pub waited: Duration,
    /// Where the journal keeps the jobs whose work it is.
    pub kept: Vec<Ref>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Arc<Job>,
    pub(super) phase: Phase,
    pub(super) failures: u32,
    pub(super) last_error: Option<Box<str>>,
    pub(super) cause: Option<Cause>,
    pub(super) fan_out: Option<Box<FanOut>>,
    pub(super) waits_for: WaitsFor,
    pub(super) place: Place,
    pub(super) running: bool,
    pub(super) bytes: usize,
    /// Where the journal keeps the jobs whose work this is.
    pub(super) kept: Kept,
}

/// Nearly every job stands for itself alone.
pub(super) type Kept = SmallVec<[Ref; 1]>;

impl Entry {
    pub(super) fn new(job: Job, kept: Kept, place: Place) -> Self {
        let bytes = weigh(&job);
        Self {
            kept,
            job: Arc::new(job),
            phase: Phase::Work,
            failures: 0,
            last_error: None,
            cause: None,
            fan_out: None,
            waits_for: WaitsFor::default(),
            place,
            running: false,
            bytes,
        }
    }

    /// The key under which another job may take its work, where one may. A job that only evicts has a duty of its own,
    /// which it shares with others that evict the same copy.
    pub(super) fn merge_key(&self) -> Option<JobKey> {
        self.job.superceedable.then(|| match self.phase {
            Phase::Work => self.job.key,
            Phase::Evict(_) if holds(Clause::EvictingApart) => JobKey(!self.job.key.0),
            Phase::Evict(_) => self.job.key,
        })
    }

    /// An invalidation, revocation or eviction that has failed, or whatever waits for a cache: until it is done the promise is
    /// suspended for its entity or holder.
    pub(super) fn is_suspended(&self) -> bool {
        let removes = self.job.job_type.fans_out()
            || matches!(self.phase, Phase::Evict(_))
            || !self.waits_for.is_empty();
        removes && self.failures > 0
    }

    pub(super) fn start(&mut self, now: Tick) -> Attempt {
        self.running = true;
        if self.phase == Phase::Work && self.job.expires_at.is_some_and(|expires_at| expires_at < now) {
            self.phase = Phase::Evict(Ending::Expired);
        }
        Attempt {
            job: self.job.clone(),
            phase: self.phase,
            failures: self.failures,
            fan_out: self.fan_out.as_deref().cloned().unwrap_or_default(),
            waits_for: self.waits_for.clone(),
            waited: now.since(self.place.ready_at),
            kept: self.kept.to_vec(),
        }
    }

    /// The entry as it can be seen while it waits or runs.
    pub(super) fn view(&self) -> JobView {
        JobView {
            id: self.job.id,
            job_type: self.job.job_type,
            topic: self.job.topic.clone(),
            resource_type: self.job.entity.resource_type.clone(),
            entity_id: self.job.entity.id.clone(),
            state: self.state(),
            priority: self.job.priority,
            attempts: self.failures,
            last_error: self.last_error.clone(),
            cause: self.cause,
            accepted_at: self.job.accepted_at,
            finished_at: None,
            superseded_by: None,
            tally: self.fan_out.as_deref().map(|fan_out| fan_out.tally),
        }
    }

    pub(super) fn state(&self) -> JobState {
        if self.running { JobState::Running } else { JobState::Queued }
    }
}

/// The bytes that a job is counted with: its own, its texts', and what the queue keeps beside it (an estimate).
pub(crate) fn weigh(job: &Job) -> usize {
    const BESIDE: usize = 96;
    let copy = job.copy.as_deref().map_or(0, |copy| {
        let texts = [copy.user_id.as_deref(), copy.cache_key.as_deref()];
        size_of::<CopyHeld>()
            + copy.token.expose().len()
            + texts.iter().flatten().map(|text| text.len()).sum::<usize>()
    });
    let payload = job.payload.as_deref().map_or(0, |payload| payload.iter().map(weigh_field).sum());
    size_of::<Entry>()
        + size_of::<Job>()
        + BESIDE
        + job.entity.resource_type.len()
        + job.entity.id.len()
        + copy
        + payload
}

fn weigh_field((name, value): (&String, &serde_json::Value)) -> usize {
    use serde_json::Value;
    const NODE: usize = 64;
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| weigh_field((&String::new(), item))).sum(),
        Value::Object(fields) => fields.iter().map(weigh_field).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    NODE + name.len() + inside
}
