//! A simulated journal: a disk that keeps the bytes of real records once they are synced, and a process that writes to it.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::{network::Network, trace::note};
use crate::{
    clause::{Clause, holds},
    job::Accepted,
    journal::{Journal, JournalError, Record, Ref, ReplayedJob, Then, replay_plain},
};

/// Records that a process keeps: they outlive it.
#[derive(Default)]
pub(super) struct Disk {
    records: Mutex<Vec<(u32, Vec<u8>)>>,
}

impl Disk {
    /// What a process finds that starts now.
    pub(super) fn replay(&self, now: Accepted) -> Vec<ReplayedJob> {
        let records = self.records.lock().unwrap();
        let jobs = replay_plain(records.iter().map(|(segment, plain)| (*segment, &**plain)), now);
        if holds(Clause::ReplayMerges) { jobs } else { last_of_each_key(&jobs) }
    }
}

/// A process's journal while the process lives.
pub(super) struct SimJournal {
    disk: Arc<Disk>,
    network: Network,
    /// Every life writes to a part of its own.
    segment: u32,
    clock: crate::clock::Clock,
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Record, Then)>,
    /// What is being synced.
    syncing: Vec<Vec<u8>>,
    ended: Vec<Ref>,
    dead: bool,
}

impl SimJournal {
    pub(super) fn new(disk: Arc<Disk>, network: Network, segment: u32, clock: crate::clock::Clock) -> Self {
        Self { disk, network, segment, clock, state: Mutex::default(), asked: Notify::new() }
    }

    /// Group commit: what comes while it syncs shares the next sync.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.asked.notified().await;
            self.network.pause(3).await;
            let waiting = self.begin_sync();
            self.network.pause(4).await;
            self.end_sync();
            // A process may die between the sync and the answer.
            self.network.pause(2).await;
            for then in waiting {
                then(Ok(self.segment));
            }
        }
    }

    fn begin_sync(&self) -> Vec<Then> {
        let mut state = self.state.lock().unwrap();
        let (records, thens): (Vec<_>, Vec<_>) = std::mem::take(&mut state.waiting).into_iter().unzip();
        state.syncing = records.iter().map(|record: &Record| record.plain().to_vec()).collect();
        let ended = std::mem::take(&mut state.ended);
        if !ended.is_empty() {
            let record = Record::new([], ended, self.clock.accepted()).unwrap();
            state.syncing.push(record.plain().to_vec());
        }
        thens
    }

    fn end_sync(&self) {
        let mut state = self.state.lock().unwrap();
        let synced = std::mem::take(&mut state.syncing);
        self.keep(synced);
    }

    fn keep(&self, synced: Vec<Vec<u8>>) {
        note!(self.network.trace, "journal: {} records synced", synced.len());
        self.disk.records.lock().unwrap().extend(synced.into_iter().map(|plain| (self.segment, plain)));
        if !holds(Clause::SurvivorKeptMerged) {
            self.let_superseded_go();
        }
    }

    /// As a journal would do it that supersedes by itself, without a merge.
    fn let_superseded_go(&self) {
        let jobs = self.disk.replay(self.clock.accepted());
        let last = last_of_each_key(&jobs);
        let superseded = jobs.into_iter().filter(|job| !last.contains(job)).map(|(_, kept)| kept).collect();
        let record = Record::new([], superseded, self.clock.accepted()).unwrap();
        self.disk.records.lock().unwrap().push((self.segment, record.plain().to_vec()));
    }

    /// The process dies: of what was being synced the beginning may be there, and nothing that waited.
    pub(super) fn crash(&self) {
        let mut state = self.state.lock().unwrap();
        let mut syncing = std::mem::take(&mut state.syncing);
        syncing.truncate(self.network.dice.number(0..=syncing.len() as u64) as usize);
        self.keep(syncing);
        state.dead = true;
        // These may hold what writes here when it goes.
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }
}

impl Journal for SimJournal {
    fn write(&self, record: Record, then: Then) {
        let mut state = self.state.lock().unwrap();
        if state.dead {
            drop(state);
            return then(Err(JournalError("the process is dead".to_owned())));
        }
        state.waiting.push((record, then));
        self.asked.notify_one();
    }

    fn forget(&self, ended: Vec<Ref>) {
        if !ended.is_empty() {
            self.state.lock().unwrap().ended.extend(ended);
            self.asked.notify_one();
        }
    }

    fn sparse_segment(&self) -> Option<u32> {
        self.network.dice.chance(100).then_some(self.segment.saturating_sub(1))
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

/// As a replay would do it that lets the later of two jobs replace the earlier one without a merge.
fn last_of_each_key(jobs: &[ReplayedJob]) -> Vec<ReplayedJob> {
    let is_last = |(index, ((job, _), _)): &(usize, &ReplayedJob)| {
        !jobs[index + 1..].iter().any(|((later, _), _)| later.key == job.key)
    };
    jobs.iter().enumerate().filter(is_last).map(|(_, job)| job.clone()).collect()
}
