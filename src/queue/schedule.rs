//! The order of jobs, as a pure data structure: what is next, what waits for its due time, what supersedes what
//! (DESIGN 5). It never reads a clock; time is an argument.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use slab::Slab;

use super::{
    counts::Counts,
    entry::{Attempt, Entry, Kept, weigh},
    merge::merge,
    view::Owed,
};
use crate::{
    clock::Tick,
    job::{Cause, Job, JobId, JobKey, JobType},
};

/// How a level of priority weighs against waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aging {
    /// One level is worth this head start, so that no job waits more than `priority x aging` behind more urgent ones.
    PerLevel(Duration),
    /// A more urgent job always goes first.
    Strict,
}

/// Where a job stands in the order. A job that supersedes another may take the other's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    priority: u16,
    pub(super) ready_at: Tick,
    /// Never used twice, so a place that was left is told from one that is taken.
    seq: u64,
}

/// How many jobs a worker has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Of all types.
    pub jobs: usize,
    /// Of these, such as fan out: each may take long.
    pub fan_outs: usize,
}

impl Room {
    /// Makes use of it for a job; not where there is none.
    fn take(&mut self, job_type: JobType) -> bool {
        let for_it = if job_type.fans_out() { self.fan_outs } else { self.jobs };
        if self.jobs == 0 || for_it == 0 {
            return false;
        }
        self.jobs -= 1;
        self.fan_outs -= usize::from(job_type.fans_out());
        true
    }
}

/// A job that stands for so many is crowded, and again at each multiple.
const CROWDED: usize = 64;

/// A place in a heap and the slot of the job that had it; the smallest comes first.
type Waiting = Reverse<(Tick, u64, usize)>;

/// Jobs that wait and jobs that run.
#[derive(Debug)]
pub(super) struct Schedule {
    aging: Aging,
    entries: Slab<Entry>,
    by_id: BTreeMap<JobId, usize>,
    by_key: HashMap<JobKey, usize>,
    /// Due jobs, by the priority of their place: the head of each heap is the oldest.
    ready: BTreeMap<u16, BinaryHeap<Waiting>>,
    delayed: BinaryHeap<Waiting>,
    queued: Counts,
    running: HashSet<usize>,
    bytes: usize,
    next_seq: u64,
    crowded: BTreeSet<JobKey>,
}

impl Schedule {
    pub(super) fn new(aging: Aging) -> Self {
        Self {
            aging,
            entries: Slab::new(),
            by_id: BTreeMap::new(),
            by_key: HashMap::new(),
            ready: BTreeMap::new(),
            delayed: BinaryHeap::new(),
            queued: Counts::default(),
            running: HashSet::new(),
            bytes: 0,
            next_seq: 0,
            crowded: BTreeSet::new(),
        }
    }

    /// Queues a job, or lets it take the place and the work of the queued one with the same key, which is returned.
    pub(super) fn push(&mut self, job: Job, kept: Kept) -> (JobId, Option<Entry>) {
        let id = job.id;
        let mut newer = self.entry(job, kept);
        let Some(slot) = self.same_key(&newer) else {
            self.insert(newer);
            return (id, None);
        };
        self.unindex(slot);
        let older = &self.entries[slot];
        if self.urgency(older.place) <= self.urgency(newer.place) {
            newer.place = older.place;
        }
        merge(&mut newer, older);
        let older = std::mem::replace(&mut self.entries[slot], newer);
        self.index(slot);
        self.note_crowded(slot);
        // Only a place that is not the old one needs a reference, so a steady stream of one key does not grow the heaps.
        if self.entries[slot].place != older.place {
            self.refer_to(slot);
        }
        (id, Some(older))
    }

    /// A running job waits again, until `ready_at`: it failed, or it lets others go first. Where a newer job with its
    /// key has been queued meanwhile, that one takes over its work; returns that one's id and the job that ended.
    pub(super) fn requeue(
        &mut self,
        id: JobId,
        ready_at: Tick,
        change: impl FnOnce(&mut Entry),
    ) -> Option<(JobId, Entry)> {
        let mut older = self.remove(id)?;
        change(&mut older);
        older.running = false;
        let Some(slot) = self.same_key(&older) else {
            older.place = self.new_place(older.job.priority, ready_at);
            self.insert(older);
            return None;
        };
        self.unindex(slot);
        merge(&mut self.entries[slot], &older);
        self.index(slot);
        self.note_crowded(slot);
        Some((self.entries[slot].job.id, older))
    }

    /// Jobs that may start at `now`, the most urgent first, until `room` is used up. They are running from here on.
    pub(super) fn take(&mut self, now: Tick, mut room: Room) -> Vec<Attempt> {
        self.promote(now);
        let mut taken = Vec::new();
        while let Some((priority, slot)) = self.most_urgent() {
            if !room.take(self.entries[slot].job.job_type) {
                break;
            }
            self.ready.get_mut(&priority).and_then(BinaryHeap::pop);
            taken.push(self.start(slot, now));
        }
        taken
    }

    /// When to look again: at once where a job is ready, else when the next one is due.
    pub(super) fn next_ready(&self) -> Option<Tick> {
        if self.ready.values().any(|heap| !heap.is_empty()) {
            return Some(Tick::default());
        }
        self.delayed.peek().map(|Reverse((ready_at, ..))| *ready_at)
    }

    /// A running job leaves.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Entry> {
        let slot = *self.by_id.get(&id).filter(|slot| self.running.contains(*slot))?;
        self.running.remove(&slot);
        self.by_id.remove(&id);
        let entry = self.entries.remove(slot);
        self.bytes -= entry.bytes;
        Some(entry)
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Entry> {
        self.by_id.get(&id).map(|slot| &self.entries[*slot])
    }

    pub(super) fn after(&self, after: Option<JobId>) -> impl Iterator<Item = &Entry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id.range((from, Bound::Unbounded)).map(|(_, slot)| &self.entries[*slot])
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Entry> {
        self.running.iter().map(|slot| &self.entries[*slot])
    }

    /// Invalidations and evictions that wait or are tried again after a failure.
    pub(super) fn suspended(&self) -> usize {
        self.queued.suspended + self.running().filter(|entry| entry.is_suspended()).count()
    }

    /// What waits for caches, or is tried again for them.
    pub(super) fn owed(&self) -> BTreeMap<Arc<str>, Owed> {
        let mut owed = self.queued.owed.clone();
        for entry in self.running() {
            for cache in &entry.waits_for {
                owed.entry(cache.clone()).or_default().add(entry.bytes);
            }
        }
        owed
    }

    /// Jobs that have failed because their resource type is not configured, by that.
    pub(super) fn without_resource(&self) -> BTreeMap<Box<str>, usize> {
        let mut types = self.queued.without_resource.clone();
        for entry in self.running().filter(|entry| entry.cause == Some(Cause::NoResource)) {
            *types.entry(entry.job.entity.resource_type.clone()).or_default() += 1;
        }
        types
    }

    pub(super) fn queued(&self) -> &Counts {
        &self.queued
    }

    /// Jobs that wait or run.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Waiting jobs that stand for so many others that the journal had better keep them as they are now; each once.
    pub(super) fn take_crowded(&mut self) -> Vec<&Entry> {
        let keys = std::mem::take(&mut self.crowded);
        keys.iter().filter_map(|key| self.by_key.get(key)).map(|slot| &self.entries[*slot]).collect()
    }

    /// Jobs that the journal keeps, among others, in a segment; looks at every job.
    pub(super) fn kept_in(&self, segment: u32) -> impl Iterator<Item = &Entry> {
        let is_there = move |entry: &&Entry| entry.kept.iter().any(|kept| kept.segment == segment);
        self.entries.iter().map(|(_, entry)| entry).filter(is_there)
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Entry> {
        self.by_id.get(&id).map(|slot| &mut self.entries[*slot])
    }

    /// The jobs and bytes that a job would add: one that supersedes another may still be larger.
    pub(super) fn added_by(&self, job: &Job) -> (usize, usize) {
        let superseded = self.by_key.get(&job.key).filter(|_| job.superceedable);
        match superseded {
            None => (1, weigh(job)),
            Some(slot) => (0, weigh(job).saturating_sub(self.entries[*slot].bytes)),
        }
    }

    /// How long the oldest ready job of each priority has been ready.
    pub(super) fn oldest_by_priority(&mut self, now: Tick) -> BTreeMap<u16, Duration> {
        self.promote(now);
        self.drop_left_places();
        let heads = self.ready.iter().filter_map(|(priority, heap)| Some((*priority, heap.peek()?)));
        heads.map(|(priority, Reverse((ready_at, ..)))| (priority, now.since(*ready_at))).collect()
    }

    #[cfg(test)]
    pub(super) fn references(&self) -> usize {
        self.delayed.len() + self.ready.values().map(BinaryHeap::len).sum::<usize>()
    }

    /// An entry for a job, which is not queued by that.
    pub(super) fn entry(&mut self, job: Job, kept: Kept) -> Entry {
        let place = self.new_place(job.priority, job.ready_at);
        Entry::new(job, kept, place)
    }

    fn new_place(&mut self, priority: u16, ready_at: Tick) -> Place {
        self.next_seq += 1;
        Place { priority, ready_at, seq: self.next_seq }
    }

    /// What the order goes by: the least is next, the first come among equals.
    fn urgency(&self, place: Place) -> (u64, u64, u64) {
        let priority = u64::from(place.priority);
        match self.aging {
            Aging::PerLevel(level) => {
                let head_start = Duration::from_micros(as_micros(level).saturating_mul(priority));
                (place.ready_at.after(head_start).0, place.seq, 0)
            }
            Aging::Strict => (priority, place.ready_at.0, place.seq),
        }
    }

    fn same_key(&self, entry: &Entry) -> Option<usize> {
        self.by_key.get(&entry.merge_key()?).copied()
    }

    fn insert(&mut self, entry: Entry) {
        let slot = self.entries.insert(entry);
        self.index(slot);
        self.refer_to(slot);
    }

    fn refer_to(&mut self, slot: usize) {
        let place = self.entries[slot].place;
        self.delayed.push(Reverse((place.ready_at, place.seq, slot)));
    }

    fn index(&mut self, slot: usize) {
        let entry = &self.entries[slot];
        self.by_id.insert(entry.job.id, slot);
        if let Some(key) = entry.merge_key() {
            self.by_key.insert(key, slot);
        }
        self.bytes += entry.bytes;
        self.queued.add(entry);
    }

    fn note_crowded(&mut self, slot: usize) {
        let entry = &self.entries[slot];
        if entry.kept.len().is_multiple_of(CROWDED) {
            self.crowded.extend(entry.merge_key());
        }
    }

    fn unindex(&mut self, slot: usize) {
        let entry = &self.entries[slot];
        self.by_id.remove(&entry.job.id);
        if let Some(key) = entry.merge_key() {
            self.by_key.remove(&key);
        }
        self.bytes -= entry.bytes;
        self.queued.subtract(entry);
    }

    fn promote(&mut self, now: Tick) {
        while let Some(waiting @ Reverse((ready_at, seq, slot))) = self.delayed.peek().copied()
            && ready_at <= now
        {
            self.delayed.pop();
            if let Some(place) = place_held(&self.entries, slot, seq) {
                self.ready.entry(place.priority).or_default().push(waiting);
            }
        }
    }

    fn drop_left_places(&mut self) {
        let Self { ready, entries, .. } = self;
        ready.retain(|_, heap| {
            while let Some(Reverse((_, seq, slot))) = heap.peek()
                && place_held(entries, *slot, *seq).is_none()
            {
                heap.pop();
            }
            !heap.is_empty()
        });
    }

    /// The job that is next, and the heap at whose head it is.
    fn most_urgent(&mut self) -> Option<(u16, usize)> {
        self.drop_left_places();
        let head = |(priority, heap): (&u16, &BinaryHeap<Waiting>)| {
            let Reverse((ready_at, seq, slot)) = *heap.peek()?;
            Some((Place { priority: *priority, ready_at, seq }, slot))
        };
        let heads = self.ready.iter().filter_map(head);
        heads.min_by_key(|(place, _)| self.urgency(*place)).map(|(place, slot)| (place.priority, slot))
    }

    fn start(&mut self, slot: usize, now: Tick) -> Attempt {
        let entry = &mut self.entries[slot];
        self.queued.subtract(entry);
        if let Some(key) = entry.merge_key()
            && self.by_key.get(&key) == Some(&slot)
        {
            self.by_key.remove(&key);
        }
        self.running.insert(slot);
        entry.start(now)
    }
}

/// The place of the queued job in a slot, where it is still the one of this number.
fn place_held(entries: &Slab<Entry>, slot: usize, seq: u64) -> Option<Place> {
    let entry = entries.get(slot)?;
    (!entry.running && entry.place.seq == seq).then_some(entry.place)
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
