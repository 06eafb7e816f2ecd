//! How fast jobs are made safe: `cargo bench --bench journal`.
//!
//! Our framed log against redb, an embedded storage crate, at the same work: requests of 1 and of 500 jobs from 64
//! writers, each waiting for stable storage, those that wait together sharing a sync. By turns, A B A B, on one disk.
//! `DECACHE_BENCH_FOLDER` says on which; else the one for temporary files.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that gives up where it cannot go on"
)]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use decache::{
    clock::{Clock, Tick, Timestamp},
    event::{AccessToken, Entity},
    job::{Accepted, CopyHeld, Job, JobId, JobKey, JobType},
    journal::{Journal, JournalError, Kept, Log, Record, Settings, Then},
    secret::{HolderId, Keys, Secret, SegmentKey},
};
use redb::{Database, Durability, TableDefinition};

const WRITERS: usize = 64;
const ROUNDS: usize = 4;
/// Jobs in a request, and requests of one writer in a round.
const CASES: [(usize, usize); 2] = [(1, 100), (500, 4)];
const NOW: Accepted = Accepted { now: Timestamp(1_763_812_800_000), tick: Tick(0) };

fn main() {
    println!("{:>5} {:>14} {:>14} {:>7}", "jobs", "log, jobs/s", "redb, jobs/s", "ratio");
    for (jobs, requests) in CASES {
        let (mut log, mut tree) = (0.0, 0.0);
        for _ in 0..ROUNDS {
            log += measure(jobs, requests, |folder| Arc::new(open(folder)));
            tree += measure(jobs, requests, |folder| Arc::new(Tree::open(folder)));
        }
        let (log, tree) = (log / ROUNDS as f64, tree / ROUNDS as f64);
        println!("{jobs:>5} {log:>14.0} {tree:>14.0} {:>7.2}", log / tree);
    }
}

/// Jobs a second.
fn measure(jobs: usize, requests: usize, open: impl FnOnce(&Path) -> Arc<dyn Journal>) -> f64 {
    let folder = match std::env::var_os("DECACHE_BENCH_FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let journal = open(folder.path());
    let jobs: Arc<[Job]> = (0..jobs).map(job).collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..requests).for_each(|_| write(&*journal, &jobs)));
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    (WRITERS * requests * jobs.len()) as f64 / seconds
}

fn write(journal: &dyn Journal, jobs: &[Job]) {
    let again = |job| Kept { entry: decache::journal::EntryId::again(NOW.now), ..Kept::first(job) };
    let record = Record::new(jobs.iter().map(again), Vec::new(), NOW).unwrap();
    let (answer, answered) = mpsc::channel();
    journal.write(record, Box::new(move |written| answer.send(written).unwrap()));
    answered.recv().unwrap().unwrap();
}

fn open(folder: &Path) -> Log {
    let settings = Settings { sync: true, file_bytes: 64 << 20 };
    Log::open(folder, keys(), settings, Clock::start()).unwrap()
}

fn keys() -> Arc<Keys> {
    Arc::new(Keys::derive(&Secret::from_text("a secret for benches, thirty-two bytes or more").unwrap()))
}

/// A read, as most jobs are.
fn job(n: usize) -> Job {
    let copy = CopyHeld {
        holder: HolderId([7; 16]),
        token: AccessToken::new("tok-0123456789abcdef0123456789abcdef"),
        user_id: Some("user-12345678".into()),
        cache_key: None,
        life: Duration::from_secs(300),
    };
    Job {
        id: JobId::new(NOW.now),
        key: JobKey(n as u128),
        job_type: JobType::Cache,
        topic: "pp-cache".into(),
        entity: Entity::new("Posts", &n.to_string()).unwrap(),
        priority: 1,
        superceedable: true,
        ready_at: Tick(0),
        expires_at: None,
        occurred_at: Some(NOW.now),
        generation: None,
        accepted_at: NOW.now,
        copy: Some(Box::new(copy)),
        payload: None,
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}

/// The same over redb: sealed as well, one transaction for all that wait, committed before they are answered.
struct Tree(mpsc::Sender<(Record, Then)>);

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// As much as the log writes together.
const TOGETHER: usize = 8 << 20;

impl Tree {
    fn open(folder: &Path) -> Self {
        let database = Database::create(folder.join("journal.redb")).unwrap();
        let (requests, received) = mpsc::channel();
        thread::spawn(move || commit_all(&database, &keys().record_key().of_segment([0; 16]), &received));
        Self(requests)
    }
}

fn commit_all(database: &Database, key: &SegmentKey, requests: &mpsc::Receiver<(Record, Then)>) {
    let mut number: u64 = 0;
    while let Ok(first) = requests.recv() {
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        let mut transaction = database.begin_write().unwrap();
        transaction.set_durability(Durability::Immediate).unwrap();
        {
            let mut table = transaction.open_table(RECORDS).unwrap();
            let mut next = Some(first);
            while let Some((record, then)) = next {
                let mut sealed = record.plain().to_vec();
                key.seal(number, &mut sealed, 0);
                table.insert(number, &*sealed).unwrap();
                (number, bytes) = (number + 1, bytes + record.plain().len());
                waiting.push(then);
                next = if bytes < TOGETHER { requests.try_recv().ok() } else { None };
            }
        }
        transaction.commit().unwrap();
        waiting.into_iter().for_each(|then| then(Ok(1)));
    }
}

impl Journal for Tree {
    fn write(&self, record: Record, then: Then) {
        self.0.send((record, then)).map_err(|_| JournalError("closed".to_owned())).unwrap();
    }

    fn forget(&self, _: Vec<decache::journal::Ref>) {}

    fn sparse_segment(&self) -> Option<u32> {
        None
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
