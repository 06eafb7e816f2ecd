//! The order of jobs, as a pure data structure: what is next, what waits for its due time, what supersedes what
//! (DESIGN 5). It never reads a clock; time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, btree_map},
    hash::{BuildHasher, RandomState},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use hashbrown::HashTable;
use slab::Slab;

use super::{
    counts::Counts,
    entry::{Attempt, Entry, Kept, Loose, weigh},
    lane::{Lane, Waiting},
    merge::merge,
    topics::Topics,
    view::{JobView, Owed},
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
    pub(super) priority: u16,
    pub(super) ready_at: Tick,
    /// Never used twice, so a place that was left is told from one that is taken.
    pub(super) seq: u64,
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

/// Jobs that wait and jobs that run.
#[derive(Debug)]
pub(super) struct Schedule {
    aging: Aging,
    entries: Slab<Entry>,
    by_id: BTreeMap<JobId, u32>,
    /// Slots of waiting jobs, by their keys.
    by_key: HashTable<u32>,
    /// Nobody outside can choose keys that meet in the table.
    hasher: RandomState,
    topics: Topics,
    /// Due jobs, by the priority of their place: the first of each lane is the oldest.
    ready: BTreeMap<u16, Lane>,
    delayed: Lane,
    queued: Counts,
    running: HashSet<u32>,
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
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            topics: Topics::default(),
            ready: BTreeMap::new(),
            delayed: Lane::default(),
            queued: Counts::default(),
            running: HashSet::new(),
            bytes: 0,
            next_seq: 0,
            crowded: BTreeSet::new(),
        }
    }

    /// Queues a job, or lets it take the place and the work of the queued one with the same key, which is returned. `now` only
    /// saves a look at what has become due.
    pub(super) fn push(&mut self, job: Job, kept: Kept, now: Tick) -> (JobId, Option<Entry>) {
        let id = job.id;
        let place = self.new_place(job.priority, job.ready_at);
        let topic = self.topics.number(&job.topic);
        let same = job.superceedable.then_some(job.key).and_then(|key| self.slot_of(key));
        let mut newer = Loose::new(job, kept, place);
        let Some(slot) = same else {
            self.insert(newer.packed(topic), now);
            return (id, None);
        };
        self.unindex(slot);
        let older = &self.entries[slot as usize];
        let old_place = older.place();
        if self.urgency(old_place) <= self.urgency(place) {
            newer.place = old_place;
        }
        merge(&mut newer, older);
        let moved = newer.place != old_place;
        let older = std::mem::replace(&mut self.entries[slot as usize], newer.packed(topic));
        self.index(slot);
        self.note_crowded(slot);
        // Only a place that is not the old one needs a reference, so a steady stream of one key does not grow the lanes.
        if moved {
            self.refer_to(slot, now);
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
        let Some(slot) = older.merge_key().and_then(|key| self.slot_of(key)) else {
            older.set_place(self.new_place(older.priority, ready_at));
            self.insert(older, Tick::default());
            return None;
        };
        self.unindex(slot);
        let mut newer = self.entries[slot as usize].loose(&self.topics);
        merge(&mut newer, &older);
        let (survivor, topic) = (newer.job.id, self.entries[slot as usize].topic);
        self.entries[slot as usize] = newer.packed(topic);
        self.index(slot);
        self.note_crowded(slot);
        Some((survivor, older))
    }

    /// Jobs that may start at `now`, the most urgent first, until `room` is used up. They are running from here on.
    pub(super) fn take(&mut self, now: Tick, mut room: Room) -> Vec<Attempt> {
        self.promote(now);
        let mut taken = Vec::new();
        while let Some((priority, slot)) = self.most_urgent() {
            if !room.take(self.entries[slot as usize].job_type) {
                break;
            }
            self.ready.get_mut(&priority).and_then(Lane::pop);
            taken.push(self.start(slot, now));
        }
        taken
    }

    /// When to look again: at once where a job is ready, else when the next one is due.
    pub(super) fn next_ready(&self) -> Option<Tick> {
        if self.ready.values().any(|lane| !lane.is_empty()) {
            return Some(Tick::default());
        }
        self.delayed.first().map(|(ready_at, ..)| ready_at)
    }

    /// A running job leaves.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Entry> {
        let btree_map::Entry::Occupied(slot) = self.by_id.entry(id) else { return None };
        if !self.running.remove(slot.get()) {
            return None;
        }
        let entry = self.entries.remove(slot.remove() as usize);
        self.bytes -= entry.bytes();
        Some(entry)
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Entry> {
        self.by_id.get(&id).map(|slot| &self.entries[*slot as usize])
    }

    pub(super) fn topics(&self) -> &Topics {
        &self.topics
    }

    pub(super) fn view(&self, entry: &Entry) -> JobView {
        entry.view(&self.topics)
    }

    pub(super) fn after(&self, after: Option<JobId>) -> impl Iterator<Item = &Entry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id.range((from, Bound::Unbounded)).map(|(_, slot)| &self.entries[*slot as usize])
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Entry> {
        self.running.iter().map(|slot| &self.entries[*slot as usize])
    }

    /// Invalidations and evictions that wait or are tried again after a failure.
    pub(super) fn suspended(&self) -> usize {
        self.queued.suspended + self.running().filter(|entry| entry.is_suspended()).count()
    }

    /// What waits for caches, or is tried again for them.
    pub(super) fn owed(&self) -> BTreeMap<Arc<str>, Owed> {
        let mut owed = self.queued.owed.clone();
        for entry in self.running() {
            for cache in entry.waits_for() {
                owed.entry(cache.clone()).or_default().add(entry.bytes());
            }
        }
        owed
    }

    /// Jobs that have failed because their resource type is not configured, by that.
    pub(super) fn without_resource(&self) -> BTreeMap<Box<str>, usize> {
        let mut types = self.queued.without_resource.clone();
        for entry in self.running().filter(|entry| entry.cause() == Some(Cause::NoResource)) {
            *types.entry(entry.unpacked().resource_type.into()).or_default() += 1;
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
    /// By their keys.
    pub(super) fn take_crowded(&mut self) -> BTreeSet<JobKey> {
        std::mem::take(&mut self.crowded)
    }

    /// The waiting jobs with these keys.
    pub(super) fn waiting(&self, keys: &BTreeSet<JobKey>) -> impl Iterator<Item = &Entry> {
        keys.iter().filter_map(|key| self.slot_of(*key)).map(|slot| &self.entries[slot as usize])
    }

    /// Jobs that the journal keeps, among others, in a segment; looks at every job.
    pub(super) fn kept_in(&self, segment: u32) -> impl Iterator<Item = &Entry> {
        let is_there = move |entry: &&Entry| entry.kept().iter().any(|kept| kept.segment == segment);
        self.entries.iter().map(|(_, entry)| entry).filter(is_there)
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Entry> {
        self.by_id.get(&id).map(|slot| &mut self.entries[*slot as usize])
    }

    /// The jobs and bytes that a job would add: one that supersedes another may still be larger.
    pub(super) fn added_by(&self, job: &Job) -> (usize, usize) {
        let superseded = job.superceedable.then_some(job.key).and_then(|key| self.slot_of(key));
        match superseded {
            None => (1, weigh(job)),
            Some(slot) => (0, weigh(job).saturating_sub(self.entries[slot as usize].bytes())),
        }
    }

    /// How long the oldest ready job of each priority has been ready.
    pub(super) fn oldest_by_priority(&mut self, now: Tick) -> BTreeMap<u16, Duration> {
        self.promote(now);
        self.drop_left_places();
        let firsts = self.ready.iter().filter_map(|(priority, lane)| Some((*priority, lane.first()?)));
        firsts.map(|(priority, (ready_at, ..))| (priority, now.since(ready_at))).collect()
    }

    #[cfg(test)]
    pub(super) fn references(&self) -> usize {
        self.delayed.len() + self.ready.values().map(Lane::len).sum::<usize>()
    }

    /// An entry for a job, which is not queued by that.
    pub(super) fn entry(&mut self, job: Job, kept: Kept) -> Entry {
        let place = self.new_place(job.priority, job.ready_at);
        let topic = self.topics.number(&job.topic);
        Loose::new(job, kept, place).packed(topic)
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

    fn hash(&self, key: JobKey) -> u64 {
        self.hasher.hash_one(key.0)
    }

    /// The slot of the waiting job with this key.
    fn slot_of(&self, key: JobKey) -> Option<u32> {
        let is_it = |slot: &u32| self.entries[*slot as usize].merge_key() == Some(key);
        self.by_key.find(self.hash(key), is_it).copied()
    }

    fn insert(&mut self, entry: Entry, now: Tick) {
        let slot = u32::try_from(self.entries.insert(entry)).expect("there is no memory for so many jobs");
        self.index(slot);
        self.refer_to(slot, now);
    }

    fn refer_to(&mut self, slot: u32, now: Tick) {
        let place = self.entries[slot as usize].place();
        let waiting = (place.ready_at, place.seq, slot);
        if place.ready_at <= now {
            self.ready.entry(place.priority).or_default().push(waiting);
        } else {
            self.delayed.push(waiting);
        }
    }

    fn index(&mut self, slot: u32) {
        let entry = &self.entries[slot as usize];
        self.by_id.insert(entry.id, slot);
        self.bytes += entry.bytes();
        self.queued.add(entry);
        self.topics.add(entry.topic);
        if let Some(key) = entry.merge_key() {
            let Self { by_key, entries, hasher, .. } = self;
            let rehash =
                |slot: &u32| hasher.hash_one(entries[*slot as usize].merge_key().map_or(0, |key| key.0));
            by_key.insert_unique(hasher.hash_one(key.0), slot, rehash);
        }
    }

    fn note_crowded(&mut self, slot: u32) {
        let entry = &self.entries[slot as usize];
        if entry.stands_for().is_multiple_of(CROWDED) {
            self.crowded.extend(entry.merge_key());
        }
    }

    fn unindex(&mut self, slot: u32) {
        let entry = &self.entries[slot as usize];
        self.by_id.remove(&entry.id);
        self.bytes -= entry.bytes();
        self.leaves_queue(slot);
    }

    /// It no longer counts as waiting, nor can another take its work.
    fn leaves_queue(&mut self, slot: u32) {
        let entry = &self.entries[slot as usize];
        self.queued.subtract(entry);
        self.topics.subtract(entry.topic);
        if let Some(key) = entry.merge_key()
            && let Ok(found) = self.by_key.find_entry(self.hasher.hash_one(key.0), |other| *other == slot)
        {
            found.remove();
        }
    }

    fn promote(&mut self, now: Tick) {
        while let Some(waiting @ (ready_at, seq, slot)) = self.delayed.first()
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
        ready.retain(|_, lane| {
            while let Some((_, seq, slot)) = lane.first()
                && place_held(entries, slot, seq).is_none()
            {
                lane.pop();
            }
            !lane.is_empty()
        });
    }

    /// The job that is next, and the lane at whose head it is.
    fn most_urgent(&mut self) -> Option<(u16, u32)> {
        self.drop_left_places();
        let first = |(priority, lane): (&u16, &Lane)| {
            let (ready_at, seq, slot): Waiting = lane.first()?;
            Some((Place { priority: *priority, ready_at, seq }, slot))
        };
        let firsts = self.ready.iter().filter_map(first);
        firsts.min_by_key(|(place, _)| self.urgency(*place)).map(|(place, slot)| (place.priority, slot))
    }

    fn start(&mut self, slot: u32, now: Tick) -> Attempt {
        self.leaves_queue(slot);
        self.running.insert(slot);
        self.entries[slot as usize].start(now, &self.topics)
    }
}

/// The place of the queued job in a slot, where it is still the one of this number.
fn place_held(entries: &Slab<Entry>, slot: u32, seq: u64) -> Option<Place> {
    let entry = entries.get(slot as usize)?;
    let place = entry.place();
    (!entry.running && place.seq == seq).then_some(place)
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
