//! A journal on a real disk: what it gives back, and what it does with files that are not as it left them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::{
    clock::{Clock, Tick, Timestamp},
    event::{AccessToken, Entity},
    job::{Accepted, Cause, CopyHeld, Death, Job, JobKey, JobType},
    secret::{HolderId, Keys, Secret},
};

const SETTINGS: Settings = Settings { sync: true, file_bytes: 64 << 10 };
const NOW: Accepted = Accepted { now: Timestamp(1_000_000), tick: Tick(0) };

fn keys(secret: &str) -> Arc<Keys> {
    Arc::new(Keys::derive(&Secret::from_text(&format!("{secret}, thirty-two bytes or more")).unwrap()))
}

fn open(folder: &Path) -> Log {
    Log::open(folder, keys("a secret for tests"), SETTINGS, Clock::start()).unwrap()
}

fn job(n: u64) -> Job {
    let copy = CopyHeld {
        holder: HolderId([3; 16]),
        token: AccessToken::new("tok-alice"),
        user_id: Some("alice".into()),
        cache_key: Some("/posts/42?page=2&t={access_token}".into()),
        life: Duration::from_secs(300),
    };
    Job {
        id: JobId::new(Timestamp(n)),
        key: JobKey(n.into()),
        job_type: JobType::Cache,
        topic: Arc::from("pp-cache"),
        entity: Entity { resource_type: "Posts".into(), id: n.to_string().into() },
        priority: 3,
        superceedable: true,
        ready_at: Tick(0),
        expires_at: None,
        occurred_at: Some(Timestamp(n)),
        generation: Some(7),
        accepted_at: Timestamp(n),
        copy: Some(Box::new(copy)),
        payload: json!({ "author_id": 7, "tags": ["a"] }).as_object().cloned().map(Arc::new),
        depth: 1,
        recheck: true,
        rules: 0,
        trace: None,
    }
}

async fn try_write(log: &Log, jobs: &[Job], ended: Vec<Ref>) -> Result<Vec<Ref>, JournalError> {
    let record = Record::new(jobs.iter().map(Kept::first), ended, NOW).unwrap();
    let (answer, answered) = oneshot::channel();
    log.write(record, Box::new(|written| answer.send(written).unwrap()));
    let segment = answered.await.unwrap()?;
    Ok(jobs.iter().map(|job| Ref { entry: EntryId::first(job.id), segment }).collect())
}

async fn write(log: &Log, jobs: &[Job]) -> Vec<Ref> {
    try_write(log, jobs, Vec::new()).await.unwrap()
}

fn living(folder: &Path) -> Vec<EntryId> {
    let replayed = open(folder).replay().unwrap();
    assert_eq!(replayed.damage, []);
    replayed.jobs.into_iter().map(|(_, kept)| kept.entry).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "journal"));
    files.sort();
    files
}

#[tokio::test]
async fn a_job_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let written = job(5);
    write(&open(folder.path()), std::slice::from_ref(&written)).await;
    let read = open(folder.path()).replay().unwrap().jobs.pop().unwrap().0;
    // Its times on the monotonic clock are those of another process.
    assert_eq!(read, (Job { ready_at: read.0.ready_at, ..written }, None));
}

#[tokio::test]
async fn a_revocation_comes_back_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let entity = Job::of_holder(HolderId([7; 16]));
    let revoke = Job { job_type: JobType::Revoke, entity, copy: None, recheck: false, ..job(1) };
    let again = Job { id: JobId::new(Timestamp(2)), recheck: true, ..revoke.clone() };
    write(&open(folder.path()), &[revoke, again]).await;
    let replayed = open(folder.path()).replay().unwrap();
    let back = replayed.jobs.into_iter().map(|((job, _), _)| (job.job_type, job.holder(), job.recheck));
    let of_holder = |recheck| (JobType::Revoke, Some(HolderId([7; 16])), recheck);
    assert_eq!(
        back.collect::<Vec<_>>(),
        [of_holder(false), of_holder(true)],
        "whether it is a recheck or not"
    );
}

#[tokio::test]
async fn jobs_that_were_let_go_do_not_come_back_and_others_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let first = write(&log, &[job(1), job(2)]).await;
    let second = write(&log, &[job(3)]).await;
    log.forget(vec![first[0]]);
    drop(log);
    assert_eq!(living(folder.path()), [first[1].entry, second[0].entry]);
    assert_eq!(living(folder.path()), [first[1].entry, second[0].entry], "nor do they after another start");
}

#[tokio::test]
async fn what_follows_and_what_it_follows_are_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let parent = write(&log, &[job(1)]).await;
    let follow_up = try_write(&log, &[job(2)], parent).await.unwrap();
    drop(log);
    assert_eq!(living(folder.path()), [follow_up[0].entry]);
}

#[tokio::test]
async fn a_dead_letter_comes_back_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let dead = job(1);
    let (cause, at) = (Cause::StoreUnavailable, Timestamp(7));
    let death = Death { cause, error: "store unavailable".into(), attempts: 8, at };
    let record = Record::new([Kept { dead: Some(&death), ..Kept::first(&dead) }], Vec::new(), NOW).unwrap();
    let (answer, answered) = oneshot::channel();
    log.write(record, Box::new(|written| answer.send(written).unwrap()));
    answered.await.unwrap().unwrap();
    drop(log);
    let ((_, read), _) = open(folder.path()).replay().unwrap().jobs.pop().unwrap();
    assert_eq!(read, Some(death));
}

#[tokio::test]
async fn many_requests_share_a_file_and_all_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let jobs: Vec<[Job; 1]> = (0..500).map(|n| [job(n)]).collect();
    futures_util::future::join_all(jobs.iter().map(|job| write(&log, job))).await;
    drop(log);
    assert_eq!(living(folder.path()).len(), 500);
}

#[tokio::test]
async fn files_that_hold_no_living_job_go_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.replay().unwrap();
    let big = |n| Job {
        payload: json!({ "text": "x".repeat(8 << 10) }).as_object().cloned().map(Arc::new),
        ..job(n)
    };
    let mut refs = Vec::new();
    for n in 0..27 {
        refs.extend(write(&log, &[big(n)]).await);
    }
    assert!(files(folder.path()).len() >= 3, "each is full after 64 KiB");
    log.forget(refs);
    // Whoever writes next finds the files gone: what was forgotten has been written before.
    write(&log, &[job(99)]).await;
    write(&log, &[job(100)]).await;
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn no_token_stands_in_a_file_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    write(&open(folder.path()), &[job(1)]).await;
    for file in files(folder.path()) {
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"tok-" || window == b"alic"));
    }
}

#[tokio::test]
async fn another_secrets_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let error = Log::open(folder.path(), keys("another secret"), SETTINGS, Clock::start()).err().unwrap();
    assert!(matches!(error, OpenError::OtherSecret { .. }), "{error}");
}

#[tokio::test]
async fn another_process_s_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _open = open(folder.path());
    let error = Log::open(folder.path(), keys("a secret for tests"), SETTINGS, Clock::start()).err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
}

/// Kept jobs in a journal that was closed, its only file and that file's bytes.
async fn closed(folder: &Path, jobs: u64) -> (Vec<Ref>, PathBuf, Vec<u8>) {
    let log = open(folder);
    let mut kept = Vec::new();
    for n in 0..jobs {
        kept.extend(write(&log, &[job(n)]).await);
    }
    drop(log);
    let file = files(folder).pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    (kept, file, bytes)
}

#[tokio::test]
async fn a_torn_end_is_told_once_and_costs_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, file, whole) = closed(folder.path(), 1).await;
    let mut torn = whole.clone();
    torn.extend_from_slice(&whole[frame::HEADER..whole.len() - 40]);
    fs::write(&file, &torn).unwrap();
    let replayed = open(folder.path()).replay().unwrap();
    assert_eq!(replayed.jobs[0].1.entry, kept[0].entry);
    let bytes = torn.len() - whole.len();
    let expected = Damage { file: file.display().to_string(), from: whole.len(), bytes, torn: true };
    assert_eq!(replayed.damage, [expected]);
    assert_eq!(living(folder.path()), [kept[0].entry], "it is not damage at the next start");
}

#[tokio::test]
async fn an_altered_last_record_is_damage_and_not_a_torn_end() {
    for altered in [5, 40] {
        let folder = tempfile::tempdir().unwrap();
        let (kept, file, mut bytes) = closed(folder.path(), 2).await;
        let last = bytes.len() - altered;
        bytes[last] ^= 4;
        fs::write(&file, &bytes).unwrap();
        let replayed = open(folder.path()).replay().unwrap();
        assert_eq!(replayed.jobs.iter().map(|(_, kept)| kept.entry).collect::<Vec<_>>(), [kept[0].entry]);
        let torn: Vec<bool> = replayed.damage.iter().map(|damage| damage.torn).collect();
        assert_eq!(torn, [false]);
        assert_eq!(fs::read(format!("{}.damaged", file.display())).unwrap(), bytes);
    }
}

#[tokio::test]
async fn room_that_was_never_filled_is_no_damage_and_other_bytes_are() {
    for (added, told) in [(vec![0; 100], 0), (b"something else".to_vec(), 14), (b"x\0\0".to_vec(), 1)] {
        let folder = tempfile::tempdir().unwrap();
        let (_, file, whole) = closed(folder.path(), 1).await;
        fs::write(&file, [whole.as_slice(), &added].concat()).unwrap();
        let replayed = open(folder.path()).replay().unwrap();
        let damage: Vec<_> =
            replayed.damage.iter().map(|damage| (damage.from, damage.bytes, damage.torn)).collect();
        let expected = (told > 0).then_some((whole.len(), told, false));
        assert_eq!((replayed.jobs.len(), damage), (1, Vec::from_iter(expected)));
        assert_eq!(fs::read(&file).unwrap() == whole, told == 0, "room goes, and damage is left as it is");
    }
}

#[tokio::test]
async fn a_process_that_dies_leaves_room_in_its_file_and_one_that_ends_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let kept = write(&log, &[job(1)]).await;
    let died = tempfile::tempdir().unwrap();
    let file = files(folder.path()).pop().unwrap();
    fs::copy(&file, died.path().join(file.file_name().unwrap())).unwrap();
    drop(log);
    let (left, ended) = (fs::read(&files(died.path())[0]).unwrap(), fs::read(&file).unwrap());
    assert!(left.len() > ended.len() && left.starts_with(&ended));
    assert!(left[ended.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(living(died.path()), [kept[0].entry]);
    assert_eq!(living(folder.path()), [kept[0].entry]);
}

#[tokio::test]
async fn what_only_looks_like_a_file_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("00000001.journal")).unwrap();
    fs::write(folder.path().join("00000000.journal"), "none of ours has this number").unwrap();
    fs::write(folder.path().join("4294967295.journal"), "nor this").unwrap();
    let kept = write(&open(folder.path()), &[job(1)]).await;
    assert_eq!(living(folder.path()), [kept[0].entry]);
    assert_eq!(fs::read(folder.path().join("4294967295.journal")).unwrap(), b"nor this");
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_costs_one_record_is_told_and_a_copy_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for n in 0..3 {
        write(&log, &[job(n)]).await;
    }
    drop(log);
    let file = files(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&file, &bytes).unwrap();
    let replayed = open(folder.path()).replay().unwrap();
    assert_eq!(replayed.jobs.len(), 2);
    let [damage] = replayed.damage.as_slice() else { panic!("{:?}", replayed.damage) };
    assert!(!damage.torn && damage.from <= middle && middle < damage.from + damage.bytes);
    assert_eq!(fs::read(format!("{}.damaged", file.display())).unwrap(), bytes);
}

#[tokio::test]
async fn empty_and_foreign_files_are_survived_and_a_foreign_one_under_our_name_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let kept = write(&open(folder.path()), &[job(1)]).await;
    fs::write(folder.path().join("00000008.journal"), "").unwrap();
    fs::write(folder.path().join("00000009.journal"), "something else").unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let log = open(folder.path());
    let replayed = log.replay().unwrap();
    assert_eq!(replayed.jobs[0].1, kept[0]);
    assert_eq!(replayed.damage.len(), 1);
    assert!(replayed.damage[0].file.ends_with("00000009.journal"));
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
}
