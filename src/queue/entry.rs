//! A job in the queue with what the queue knows of it.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use smallvec::{SmallVec, smallvec};

use super::{
    packed::{Beside, Packed, Unpacked, texts},
    schedule::Place,
    topics::Topics,
    view::{JobState, JobView},
};
use crate::{
    caches::WaitsFor,
    clause::{Clause, holds},
    clock::Tick,
    fan_out::FanOut,
    job::{Cause, Job, JobId, JobKey, JobType},
    journal::{EntryId, Ref},
    secret::HolderId,
    trace::Trace,
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

/// A job in the queue. Of its own it has what is asked for at every step.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: JobId,
    key: JobKey,
    packed: Packed,
    /// Of its [`Place`].
    ready_at: Tick,
    seq: u64,
    place_priority: u16,
    /// Its own, where its place is another's.
    pub(super) priority: u16,
    rare: Option<Box<Rare>>,
    /// The number of its topic.
    pub(super) topic: u32,
    /// The part of the journal that it alone stands in, where [`Rare::kept`] says nothing else.
    segment: u32,
    bytes: u32,
    pub(super) job_type: JobType,
    pub(super) phase: Phase,
    pub(super) running: bool,
    superceedable: bool,
}

/// What few jobs have.
#[derive(Debug, Default)]
struct Rare {
    story: Story,
    /// Where the journal keeps the jobs whose work this is, where that is not this job alone.
    kept: Option<Kept>,
    payload: Option<Arc<Map<String, Value>>>,
    trace: Option<Box<Trace>>,
}

/// How a job has fared so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) failures: u32,
    pub(super) last_error: Option<Box<str>>,
    pub(super) cause: Option<Cause>,
    pub(super) fan_out: Option<Box<FanOut>>,
    pub(super) waits_for: WaitsFor,
}

/// An entry that is being made or changed.
pub(super) struct Loose {
    pub(super) job: Job,
    pub(super) kept: Kept,
    pub(super) place: Place,
    pub(super) phase: Phase,
    pub(super) story: Story,
}

/// Nearly every job stands for itself alone.
pub(super) type Kept = SmallVec<[Ref; 1]>;

impl Loose {
    pub(super) fn new(job: Job, kept: Kept, place: Place) -> Self {
        Self { job, kept, place, phase: Phase::Work, story: Story::default() }
    }

    /// As it is kept; `topic` is the number of the job's.
    pub(super) fn packed(self, topic: u32) -> Entry {
        let Self { mut job, kept, place, phase, story } = self;
        let bytes = u32::try_from(weigh(&job)).unwrap_or(u32::MAX);
        let rare = Rare { story, kept: None, payload: job.payload.take(), trace: job.trace.take() };
        let mut entry = Entry {
            id: job.id,
            key: job.key,
            packed: Packed::new(&job),
            ready_at: place.ready_at,
            seq: place.seq,
            place_priority: place.priority,
            priority: job.priority,
            rare: rare.says_something().then(|| Box::new(rare)),
            topic,
            segment: 0,
            bytes,
            job_type: job.job_type,
            phase,
            running: false,
            superceedable: job.superceedable,
        };
        entry.set_kept(kept);
        entry
    }
}

impl Rare {
    fn says_something(&self) -> bool {
        let Story { failures, last_error, cause, fan_out, waits_for } = &self.story;
        self.payload.is_some()
            || self.trace.is_some()
            || *failures > 0
            || last_error.is_some()
            || cause.is_some()
            || fan_out.is_some()
            || !waits_for.is_empty()
    }
}

impl Entry {
    /// As it may be changed.
    pub(super) fn loose(&self, topics: &Topics) -> Loose {
        let story = self.story().cloned().unwrap_or_default();
        Loose { job: self.job(topics), kept: self.kept(), place: self.place(), phase: self.phase, story }
    }

    /// Where it stands in the order.
    pub(super) fn place(&self) -> Place {
        Place { priority: self.place_priority, ready_at: self.ready_at, seq: self.seq }
    }

    pub(super) fn set_place(&mut self, Place { priority, ready_at, seq }: Place) {
        (self.place_priority, self.ready_at, self.seq) = (priority, ready_at, seq);
    }

    /// The job itself.
    pub(super) fn job(&self, topics: &Topics) -> Job {
        let beside = Beside {
            id: self.id,
            key: self.key,
            job_type: self.job_type,
            topic: topics.name(self.topic).clone(),
            superceedable: self.superceedable,
        };
        let rare = self.rare.as_deref();
        Job {
            payload: rare.and_then(|rare| rare.payload.clone()),
            trace: rare.and_then(|rare| rare.trace.clone()),
            ..self.packed.job(beside)
        }
    }

    /// What of the job is packed.
    pub(super) fn unpacked(&self) -> Unpacked<'_> {
        self.packed.unpacked()
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.rare.as_deref().and_then(|rare| rare.trace.as_deref())
    }

    /// How it has fared, if there is anything to tell.
    pub(super) fn story(&self) -> Option<&Story> {
        self.rare.as_deref().map(|rare| &rare.story)
    }

    pub(super) fn story_mut(&mut self) -> &mut Story {
        &mut self.rare.get_or_insert_default().story
    }

    pub(super) fn failures(&self) -> u32 {
        self.story().map_or(0, |story| story.failures)
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        self.story().and_then(|story| story.cause)
    }

    pub(super) fn waits_for(&self) -> &[Arc<str>] {
        self.story().map_or(&[], |story| &story.waits_for)
    }

    /// What it is counted with.
    pub(super) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Where the journal keeps the jobs whose work this is.
    pub(super) fn kept(&self) -> Kept {
        let kept = self.rare.as_deref().and_then(|rare| rare.kept.clone());
        kept.unwrap_or_else(|| smallvec![Ref { entry: EntryId::first(self.id), segment: self.segment }])
    }

    pub(super) fn set_kept(&mut self, kept: Kept) {
        match *kept {
            [Ref { entry, segment }] if entry == EntryId::first(self.id) => {
                self.segment = segment;
                if let Some(rare) = &mut self.rare {
                    rare.kept = None;
                }
            }
            _ => self.rare.get_or_insert_default().kept = Some(kept),
        }
    }

    /// How many jobs it stands for.
    pub(super) fn stands_for(&self) -> usize {
        self.rare.as_deref().and_then(|rare| rare.kept.as_ref()).map_or(1, |kept| kept.len())
    }

    /// The key under which another job may take its work, where one may. A job that only evicts has a duty of its own,
    /// which it shares with others that evict the same copy.
    pub(super) fn merge_key(&self) -> Option<JobKey> {
        self.superceedable.then(|| match self.phase {
            Phase::Work => self.key,
            Phase::Evict(_) if holds(Clause::EvictingApart) => JobKey(!self.key.0),
            Phase::Evict(_) => self.key,
        })
    }

    /// An invalidation, revocation or eviction that has failed, or whatever waits for a cache: until it is done the promise is
    /// suspended for its entity or holder.
    pub(super) fn is_suspended(&self) -> bool {
        let Some(story) = self.story() else { return false };
        let removes =
            self.job_type.fans_out() || matches!(self.phase, Phase::Evict(_)) || !story.waits_for.is_empty();
        removes && story.failures > 0
    }

    pub(super) fn start(&mut self, now: Tick, topics: &Topics) -> Attempt {
        self.running = true;
        let job = self.job(topics);
        if self.phase == Phase::Work && job.expires_at.is_some_and(|expires_at| expires_at < now) {
            self.phase = Phase::Evict(Ending::Expired);
        }
        let story = self.story();
        Attempt {
            job: Arc::new(job),
            phase: self.phase,
            failures: self.failures(),
            fan_out: story.and_then(|story| story.fan_out.as_deref()).cloned().unwrap_or_default(),
            waits_for: story.map(|story| story.waits_for.clone()).unwrap_or_default(),
            waited: now.since(self.ready_at),
            kept: self.kept().to_vec(),
        }
    }

    /// The entry as it can be seen while it waits or runs.
    pub(super) fn view(&self, topics: &Topics) -> JobView {
        let (unpacked, story) = (self.unpacked(), self.story());
        JobView {
            id: self.id,
            job_type: self.job_type,
            topic: topics.name(self.topic).clone(),
            resource_type: unpacked.resource_type.into(),
            entity_id: unpacked.entity_id.into(),
            state: self.state(),
            priority: unpacked.priority,
            attempts: self.failures(),
            last_error: story.and_then(|story| story.last_error.clone()),
            cause: self.cause(),
            accepted_at: unpacked.accepted_at,
            finished_at: None,
            superseded_by: None,
            tally: story.and_then(|story| story.fan_out.as_deref()).map(|fan_out| fan_out.tally),
        }
    }

    pub(super) fn state(&self) -> JobState {
        if self.running { JobState::Running } else { JobState::Queued }
    }
}

/// The bytes that a job is counted with: its own, its texts', and what the queue keeps beside it (an estimate).
pub(crate) fn weigh(job: &Job) -> usize {
    /// A place in the order, in the list by ids and in that by keys; numbers that are packed.
    const BESIDE: usize = 144;
    let copy = job.copy.as_deref().map_or(0, |copy| size_of::<HolderId>() + texts(copy));
    let payload = job
        .payload
        .as_deref()
        .map_or(0, |payload| size_of::<Rare>() + payload.iter().map(weigh_field).sum::<usize>());
    let entity = &job.entity;
    size_of::<Entry>() + BESIDE + entity.resource_type.len() + entity.id.len() + copy + payload
}

fn weigh_field((name, value): (&String, &Value)) -> usize {
    const NODE: usize = 64;
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| weigh_field((&String::new(), item))).sum(),
        Value::Object(fields) => fields.iter().map(weigh_field).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    NODE + name.len() + inside
}
