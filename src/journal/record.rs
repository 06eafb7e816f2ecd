//! What is written: jobs that are kept from here on, and jobs that are let go, in one atomic record.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{EntryId, JournalError, Ref};
use crate::{
    clock::{Tick, Timestamp},
    event::{AccessToken, Entity},
    job::{Accepted, Cause, CopyHeld, Death, Job, JobId, JobKey, JobType},
    secret::HolderId,
    trace::{SpanContext, Trace},
};

/// A record to write: jobs that are kept from here on, and jobs that are let go.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// In the clear; a journal seals it.
    pub(super) plain: Vec<u8>,
    pub(super) jobs: usize,
    pub(super) ended: Vec<Ref>,
}

/// What a job takes up, written: only a guess, that a record be written to one piece of memory.
const USUAL_BYTES: usize = 224;

impl Record {
    /// Keeps these jobs, which are a request's or follow `ended`. `now` on both clocks, to translate between them.
    ///
    /// # Errors
    /// Where a job cannot be written down: it would be a mistake in this file.
    pub fn new<'a>(
        jobs: impl IntoIterator<Item = Kept<'a>>,
        ended: Vec<Ref>,
        now: Accepted,
    ) -> Result<Self, JournalError> {
        let written = Written {
            jobs: jobs.into_iter().map(|kept| WrittenJob::new(kept, now)).collect(),
            ended: ended.iter().map(|ended| ended.entry.0).collect(),
        };
        let room = Vec::with_capacity(written.jobs.len() * USUAL_BYTES + written.ended.len() * 19 + 16);
        let mut plain =
            postcard::to_extend(&written, room).map_err(|error| JournalError(error.to_string()))?;
        if written.jobs.iter().any(|job| job.trace.is_some()) {
            let traces: Vec<WrittenTrace> = written.jobs.iter().map(|job| job.trace).collect();
            plain = postcard::to_extend(&traces, plain).map_err(|error| JournalError(error.to_string()))?;
        }
        Ok(Self { plain, jobs: written.jobs.len(), ended })
    }

    /// What there is to seal and to write.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }
}

/// A job to keep.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The job.
    pub job: &'a Job,
    /// How it became a dead letter, if it is one.
    pub dead: Option<&'a Death>,
    /// What this is called.
    pub entry: EntryId,
}

impl<'a> Kept<'a> {
    /// A job that is kept for the first time.
    pub fn first(job: &'a Job) -> Self {
        Self { job, dead: None, entry: EntryId::first(job.id) }
    }
}

/// The bit of a job type that says that the job removes again what another has removed.
const RECHECK: u8 = 0x80;

/// The form in which a record is written (postcard). A field is only ever added at the end, under a new version of the
/// segment's header.
#[derive(Serialize, Deserialize)]
pub(super) struct Written<'a> {
    #[serde(borrow)]
    pub(super) jobs: Vec<WrittenJob<'a>>,
    pub(super) ended: Vec<u128>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WrittenJob<'a> {
    id: u128,
    key: u128,
    /// With [`RECHECK`]. A version that does not know of it tells of a job that it does not understand.
    job_type: u8,
    topic: &'a str,
    resource_type: &'a str,
    entity_id: &'a str,
    priority: u16,
    superceedable: bool,
    /// Wall clock, milliseconds: the monotonic clock begins anew with each process.
    ready_at: u64,
    expires_at: Option<u64>,
    occurred_at: Option<u64>,
    generation: Option<u64>,
    accepted_at: u64,
    #[serde(borrow)]
    copy: Option<WrittenCopy<'a>>,
    /// JSON.
    payload: Option<Cow<'a, str>>,
    depth: u8,
    #[serde(borrow)]
    dead: Option<WrittenDeath<'a>>,
    entry: u128,
    /// Stands behind the record, where any of its jobs has one ([`traces`]).
    #[serde(skip)]
    trace: WrittenTrace,
}

/// What has asked for a job, as trace and span.
pub(super) type WrittenTrace = Option<(u128, u64)>;

/// What has asked for a record's jobs, one for each, from what stands behind the record: a version that knows nothing of it does
/// not read so far. Links are made anew by the merges of a replay. What cannot be read costs a trace.
pub(super) fn traces(behind: &[u8]) -> Vec<WrittenTrace> {
    if behind.is_empty() { Vec::new() } else { postcard::from_bytes(behind).unwrap_or_default() }
}

#[derive(Serialize, Deserialize)]
struct WrittenDeath<'a> {
    cause: &'a str,
    error: &'a str,
    attempts: u32,
    at: u64,
}

#[derive(Serialize, Deserialize)]
struct WrittenCopy<'a> {
    holder: [u8; 16],
    token: &'a str,
    user_id: Option<&'a str>,
    cache_key: Option<&'a str>,
    life_ms: u64,
}

/// A job that was read back, and how it became a dead letter, if it is one.
pub(super) type ReadJob = (Job, Option<Death>);

impl<'a> WrittenJob<'a> {
    fn new(Kept { job, dead, entry }: Kept<'a>, now: Accepted) -> Self {
        let copy = job.copy.as_deref().map(|copy| WrittenCopy {
            holder: copy.holder.0,
            token: copy.token.expose(),
            user_id: copy.user_id.as_deref(),
            cache_key: copy.cache_key.as_deref(),
            life_ms: u64::try_from(copy.life.as_millis()).unwrap_or(u64::MAX),
        });
        // Serialising a map of JSON values does not fail.
        let payload = job.payload.as_deref().and_then(|payload| serde_json::to_string(payload).ok());
        Self {
            id: job.id.as_u128(),
            key: job.key.0,
            job_type: match job.job_type {
                JobType::Cache => 0,
                JobType::Invalidate => 1,
                JobType::Revoke => 2,
            } | if job.recheck { RECHECK } else { 0 },
            topic: &job.topic,
            resource_type: &job.entity.resource_type,
            entity_id: &job.entity.id,
            priority: job.priority,
            superceedable: job.superceedable,
            ready_at: to_wall(job.ready_at, now).0,
            expires_at: job.expires_at.map(|tick| to_wall(tick, now).0),
            occurred_at: job.occurred_at.map(|time| time.0),
            generation: job.generation,
            accepted_at: job.accepted_at.0,
            copy,
            payload: payload.map(Cow::Owned),
            depth: job.depth,
            dead: dead.map(WrittenDeath::new),
            entry: entry.0,
            trace: job.trace.as_ref().map(|trace| (trace.parent.trace_id, trace.parent.span_id)),
        }
    }

    /// The job as it was; `None` where this version does not understand it.
    pub(super) fn read(&self, trace: WrittenTrace, now: Accepted) -> Option<ReadJob> {
        let job = Job {
            id: JobId::from_u128(self.id),
            key: JobKey(self.key),
            job_type: match self.job_type & !RECHECK {
                0 => JobType::Cache,
                1 => JobType::Invalidate,
                2 => JobType::Revoke,
                _ => return None,
            },
            topic: Arc::from(self.topic),
            entity: Entity { resource_type: self.resource_type.into(), id: self.entity_id.into() },
            priority: self.priority,
            superceedable: self.superceedable,
            ready_at: to_tick(Timestamp(self.ready_at), now),
            expires_at: self.expires_at.map(|time| to_tick(Timestamp(time), now)),
            occurred_at: self.occurred_at.map(Timestamp),
            generation: self.generation,
            accepted_at: Timestamp(self.accepted_at),
            copy: self.copy.as_ref().map(|copy| Box::new(copy.read())),
            payload: match self.payload.as_deref() {
                Some(payload) => Some(Arc::new(serde_json::from_str(payload).ok()?)),
                None => None,
            },
            depth: self.depth,
            recheck: self.job_type & RECHECK != 0,
            rules: 0,
            trace: trace.map(|(trace_id, span_id)| Trace::of(SpanContext { trace_id, span_id })),
        };
        Some((job, self.dead.as_ref().map(WrittenDeath::read)))
    }

    pub(super) fn entry(&self) -> EntryId {
        EntryId(self.entry)
    }
}

impl<'a> WrittenDeath<'a> {
    fn new(death: &'a Death) -> Self {
        let Death { cause, error, attempts, at } = death;
        Self { cause: cause.as_str(), error, attempts: *attempts, at: at.0 }
    }

    fn read(&self) -> Death {
        let cause = Cause::parse(self.cause).unwrap_or(Cause::Unknown);
        Death { cause, error: self.error.into(), attempts: self.attempts, at: Timestamp(self.at) }
    }
}

impl WrittenCopy<'_> {
    fn read(&self) -> CopyHeld {
        CopyHeld {
            holder: HolderId(self.holder),
            token: AccessToken::new(self.token),
            user_id: self.user_id.map(Into::into),
            cache_key: self.cache_key.map(Into::into),
            life: Duration::from_millis(self.life_ms),
        }
    }
}

fn to_wall(tick: Tick, now: Accepted) -> Timestamp {
    now.now.after(tick.since(now.tick)).before(now.tick.since(tick))
}

/// What lies before the process began is at its beginning.
fn to_tick(time: Timestamp, now: Accepted) -> Tick {
    let past = now.now.since(time);
    Tick(
        now.tick
            .after(time.since(now.now))
            .0
            .saturating_sub(u64::try_from(past.as_micros()).unwrap_or(u64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64, tick: u64) -> Accepted {
        Accepted { now: Timestamp(now), tick: Tick(tick) }
    }

    #[test]
    fn a_time_on_the_monotonic_clock_is_carried_over_to_another_process() {
        // Due 5 s after it was written; another process reads it 2 s later.
        let written = to_wall(Tick(7_000_000), at(1_000_000, 2_000_000));
        assert_eq!(to_tick(written, at(1_002_000, 500_000)), Tick(3_500_000));
        let past = to_wall(Tick(1_000_000), at(1_000_000, 2_000_000));
        assert_eq!(past, Timestamp(999_000));
        assert_eq!(to_tick(past, at(1_002_000, 500_000)), Tick(0));
    }
}
