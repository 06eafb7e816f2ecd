//! Recovery of a journal: from files of any bytes, of whole frames with any records, and of a journal's own with some
//! bytes changed.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, OnceLock, mpsc},
};

use decache::{
    clock::{Clock, Tick, Timestamp},
    event::Entity,
    job::{Accepted, Job, JobId, JobKey, JobType},
    journal::{Journal, Kept, Log, OpenError, Record, Replayed, Settings},
    secret::{Keys, Secret},
};

const SETTINGS: Settings = Settings { sync: false, file_bytes: 1 << 20 };
const NOW: Accepted = Accepted { now: Timestamp(1_763_812_800_000), tick: Tick(0) };
const SEGMENT: &str = "00000001.journal";
/// Jobs in the journal that is mutated, each in a record of its own.
const JOBS: u64 = 24;
/// A record of nothing: no jobs, none ended.
const EMPTY: &[u8] = &[0, 0];
/// A segment's header: magic, fingerprint, nonce, checksum.
const HEADER: usize = 8 + 16 + 16 + 4;

/// A file of any bytes.
pub(super) fn bytes(data: &[u8]) {
    if let Some(replayed) = replay(data) {
        let lost: usize = replayed.damage.iter().map(|damage| damage.bytes).sum();
        assert!(lost <= data.len());
        assert!(replayed.jobs.is_empty(), "a job that nobody sealed");
    }
}

/// Records of any bytes, split at 0xff, in frames as they have to be: what is not understood is told, record by record.
pub(super) fn records(data: &[u8]) {
    let nonce = [9; 16];
    let mut segment = header(&nonce);
    let records: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    for (number, record) in records.iter().enumerate() {
        put(&mut segment, &nonce, number as u64, record);
    }
    let replayed = replay(&segment).expect("a journal of our secret");
    assert!(replayed.damage.len() <= records.len(), "{:?}", replayed.damage);
    // Where these fail, decache has another format by now than this file.
    assert!(replayed.damage.iter().all(|damage| damage.from >= HEADER), "{:?}", replayed.damage);
    assert!(records.iter().any(|record| *record != EMPTY) || replayed.damage.is_empty());
}

/// A journal's own file, where pairs of bytes say what is changed: how much further on, and to what.
pub(super) fn mutations(data: &[u8]) {
    let (whole, written) = journal();
    let (mut segment, mut at, mut changed) = (whole.clone(), HEADER, 0);
    for pair in data.chunks_exact(2) {
        at += usize::from(pair[0]);
        let Some(byte) = segment.get_mut(at) else { break };
        changed += usize::from(pair[1] != 0);
        *byte ^= pair[1];
    }
    let replayed = replay(&segment).expect("a journal of our secret");
    let found: BTreeSet<JobId> = replayed.jobs.iter().map(|((job, _), _)| job.id).collect();
    assert!(found.is_subset(written), "a job that nobody wrote");
    let lost = written.len() - found.len();
    assert!(lost <= changed, "{changed} bytes cost {lost} records");
    assert_eq!(replayed.damage.is_empty(), lost == 0, "{:?}", replayed.damage);
}

fn keys() -> &'static Arc<Keys> {
    static KEYS: OnceLock<Arc<Keys>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let secret = Secret::from_text("a secret for fuzzing, thirty-two bytes or more").expect("a secret");
        Arc::new(Keys::derive(&secret))
    })
}

/// What a journal of this one file gives back. `None` where it is refused as another secret's.
fn replay(segment: &[u8]) -> Option<Replayed> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(SEGMENT), segment).expect("the segment");
    match open(folder.path()) {
        Ok(log) => Some(log.replay().expect("a file that can be read")),
        Err(OpenError::OtherSecret { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn open(folder: &Path) -> Result<Log, OpenError> {
    Log::open(folder, keys().clone(), SETTINGS, Clock::start())
}

/// A journal as decache writes it, and the jobs in it.
fn journal() -> &'static (Vec<u8>, BTreeSet<JobId>) {
    static JOURNAL: OnceLock<(Vec<u8>, BTreeSet<JobId>)> = OnceLock::new();
    JOURNAL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path()).expect("a new journal");
        let jobs = (0..JOBS).map(|number| write(&log, &job(number))).collect();
        drop(log);
        (std::fs::read(folder.path().join(SEGMENT)).expect("the segment"), jobs)
    })
}

fn write(log: &Log, job: &Job) -> JobId {
    let record = Record::new([Kept::first(job)], Vec::new(), NOW).expect("a record");
    let (answer, answered) = mpsc::channel();
    log.write(record, Box::new(move |written| answer.send(written).expect("somebody waits")));
    answered.recv().expect("an answer").expect("a disk with room");
    job.id
}

fn job(number: u64) -> Job {
    Job {
        id: JobId::new(NOW.now),
        key: JobKey(number.into()),
        job_type: JobType::Invalidate,
        topic: "pp-cache".into(),
        entity: Entity::new("Posts", &number.to_string()).expect("an entity"),
        priority: 0,
        superceedable: true,
        ready_at: Tick(0),
        expires_at: None,
        occurred_at: Some(NOW.now),
        generation: None,
        accepted_at: NOW.now,
        copy: None,
        payload: None,
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}

fn header(nonce: &[u8; 16]) -> Vec<u8> {
    let mut bytes = b"decache3".to_vec();
    bytes.extend_from_slice(keys().fingerprint().as_bytes());
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// As `journal::frame` writes it: without it no random record would be more than refused.
fn put(segment: &mut Vec<u8>, nonce: &[u8; 16], number: u64, plain: &[u8]) {
    let mut sealed = plain.to_vec();
    keys().record_key().of_segment(*nonce).seal(number, &mut sealed, 0);
    let mut frame = u32::try_from(sealed.len()).expect("a small record").to_le_bytes().to_vec();
    frame.extend_from_slice(&number.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame);
    crc.update(&sealed);
    segment.extend_from_slice(b"\xdeCJ\x01");
    segment.extend_from_slice(&frame);
    segment.extend_from_slice(&crc.finalize().to_le_bytes());
    segment.extend_from_slice(&sealed);
}
