//! A job as the queue keeps it while it waits: nearly all of it in one piece of memory, for there may be a million. What is
//! asked for at every step stands beside it in the [`Entry`](super::entry::Entry).

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{
    clock::{Tick, Timestamp},
    event::{AccessToken, Entity},
    job::{CopyHeld, Job, JobId, JobKey, JobType},
    secret::HolderId,
};

/// Bytes that nearly every job has room in.
const USUAL: usize = 512;

/// A packed job. An access token may be in it: it does not print, and its memory is wiped when it goes.
pub(super) struct Packed(Box<[u8]>);

/// What is in it, read in place.
#[derive(Serialize, Deserialize)]
pub(super) struct Unpacked<'a> {
    pub(super) resource_type: &'a str,
    pub(super) entity_id: &'a str,
    pub(super) priority: u16,
    ready_at: Tick,
    pub(super) expires_at: Option<Tick>,
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) generation: Option<u64>,
    pub(super) accepted_at: Timestamp,
    pub(super) depth: u8,
    recheck: bool,
    rules: u32,
    #[serde(borrow)]
    pub(super) copy: Option<UnpackedCopy<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UnpackedCopy<'a> {
    holder: [u8; 16],
    token: &'a str,
    pub(super) user_id: Option<&'a str>,
    cache_key: Option<&'a str>,
    pub(super) life: Duration,
}

/// What of a job stands beside it.
pub(super) struct Beside {
    pub(super) id: JobId,
    pub(super) key: JobKey,
    pub(super) job_type: JobType,
    pub(super) topic: Arc<str>,
    pub(super) superceedable: bool,
}

impl Packed {
    pub(super) fn new(job: &Job) -> Self {
        let unpacked = Unpacked::of(job);
        let mut room = [0; USUAL];
        if let Ok(used) = postcard::to_slice(&unpacked, &mut room) {
            let packed = Self(Box::from(&*used));
            used.zeroize();
            return packed;
        }
        room.zeroize();
        let length = job.entity.id.len() + USUAL + job.copy.as_deref().map_or(0, texts);
        let packed = postcard::to_extend(&unpacked, Vec::with_capacity(length));
        Self(packed.expect("texts and numbers can always be written").into())
    }

    pub(super) fn unpacked(&self) -> Unpacked<'_> {
        postcard::from_bytes(&self.0).expect("what was packed can be unpacked")
    }

    /// The job again, but for its payload and its trace.
    pub(super) fn job(&self, Beside { id, key, job_type, topic, superceedable }: Beside) -> Job {
        let unpacked = self.unpacked();
        Job {
            id,
            key,
            job_type,
            topic,
            entity: Entity { resource_type: unpacked.resource_type.into(), id: unpacked.entity_id.into() },
            priority: unpacked.priority,
            superceedable,
            ready_at: unpacked.ready_at,
            expires_at: unpacked.expires_at,
            occurred_at: unpacked.occurred_at,
            generation: unpacked.generation,
            accepted_at: unpacked.accepted_at,
            copy: unpacked.copy.map(|copy| Box::new(copy.held())),
            payload: None,
            depth: unpacked.depth,
            recheck: unpacked.recheck,
            rules: unpacked.rules,
            trace: None,
        }
    }
}

impl<'a> Unpacked<'a> {
    fn of(job: &'a Job) -> Self {
        Self {
            resource_type: &job.entity.resource_type,
            entity_id: &job.entity.id,
            priority: job.priority,
            ready_at: job.ready_at,
            expires_at: job.expires_at,
            occurred_at: job.occurred_at,
            generation: job.generation,
            accepted_at: job.accepted_at,
            depth: job.depth,
            recheck: job.recheck,
            rules: job.rules,
            copy: job.copy.as_deref().map(UnpackedCopy::of),
        }
    }
}

impl<'a> UnpackedCopy<'a> {
    fn of(copy: &'a CopyHeld) -> Self {
        Self {
            holder: copy.holder.0,
            token: copy.token.expose(),
            user_id: copy.user_id.as_deref(),
            cache_key: copy.cache_key.as_deref(),
            life: copy.life,
        }
    }

    fn held(self) -> CopyHeld {
        CopyHeld {
            holder: HolderId(self.holder),
            token: AccessToken::new(self.token),
            user_id: self.user_id.map(Into::into),
            cache_key: self.cache_key.map(Into::into),
            life: self.life,
        }
    }
}

/// Bytes of a copy's texts.
pub(super) fn texts(copy: &CopyHeld) -> usize {
    let others = [copy.user_id.as_deref(), copy.cache_key.as_deref()];
    copy.token.expose().len() + others.iter().flatten().map(|text| text.len()).sum::<usize>()
}

impl Drop for Packed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packed(..)")
    }
}
