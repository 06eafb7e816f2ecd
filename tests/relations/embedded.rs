//! The embedded store: the contract, and its file.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use decache::{
    clock::Clock,
    event::Entity,
    relations::{
        Member, Position, Recording, Relations, Sealed, StaleMark,
        embedded::{Embedded, OpenError},
    },
    secret::HolderId,
};

use crate::contract::Opened;

async fn opened() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    (Box::new(open(folder.path())), Box::new(folder))
}

mod contract {
    sentences!(super::opened);
}

const HOUR: Duration = Duration::from_secs(3600);

fn open(folder: &Path) -> Embedded {
    Embedded::open(folder, Clock::start()).unwrap()
}

fn refused(folder: &Path) -> OpenError {
    Embedded::open(folder, Clock::start()).err().expect("not to open")
}

fn entity() -> Entity {
    Entity { resource_type: "Posts".into(), id: "42".into() }
}

fn recording(holder: u8, is_living: bool) -> Recording {
    let now = Clock::start().now();
    Recording {
        entity: entity(),
        member: Member { holder: HolderId([holder; 16]), variant: None },
        expires_at: if is_living { now.after(HOUR) } else { now.before(HOUR) },
        vault: Sealed(vec![holder]),
        names_holder: true,
    }
}

async fn held(store: &Embedded) -> Vec<(Member, u64)> {
    let page = store.walk(&entity(), Position(0), 1_000).await.unwrap();
    page.held.into_iter().map(|held| (held.member, held.stamp.0)).collect()
}

#[tokio::test]
async fn what_was_recorded_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.claim("0123456789abcdef").await.unwrap();
    let first = store.record(&[recording(1, true)]).await.unwrap()[0];
    let stale =
        store.invalidate(&entity(), StaleMark { at: Clock::start().now(), life: HOUR }).await.unwrap();
    drop(store);

    let store = open(folder.path());
    assert_eq!(held(&store).await, [(recording(1, true).member, first.stamp.0)]);
    assert_eq!(store.vault(&[HolderId([1; 16])]).await.unwrap(), [Some(Sealed(vec![1]))]);
    assert!(store.claim("fedcba9876543210").await.is_err());
    let again = store.record(&[recording(1, true)]).await.unwrap()[0];
    assert_eq!(again.stale, Some(stale));
    assert_ne!(again.stamp, first.stamp);
}

/// What a process leaves behind that is killed is the file as it stands after its last answer.
#[tokio::test]
async fn what_was_answered_survives_a_crash_and_no_stamp_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut stamps = Vec::new();
    for holder in 0..20 {
        stamps.push(store.record(&[recording(holder, true)]).await.unwrap()[0].stamp);
        let left = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join(Embedded::FILE), left.path().join(Embedded::FILE)).unwrap();
        let after = open(left.path());
        assert_eq!(held(&after).await.len(), stamps.len());
        let next = after.record(&[recording(holder, true)]).await.unwrap()[0].stamp;
        assert!(!stamps.contains(&next));
    }
}

#[tokio::test]
async fn a_store_that_is_open_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    store.ping().await.unwrap();
    drop(store);
    open(folder.path()).ping().await.unwrap();
}

#[tokio::test]
async fn processes_that_start_at_once_make_one_store_and_leave_no_draft() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let together = std::sync::Barrier::new(4);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                together.wait();
                Embedded::open(&path, Clock::start())
            };
            let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let (stores, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!(stores.len(), 1);
        assert!(refused.iter().all(|refused| matches!(refused, Err(OpenError::InUse(_)))));
        let files: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, [Embedded::FILE]);
        let mode = fs::metadata(path.join(Embedded::FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_by_its_path_and_left_untouched() {
    for content in ["", "x", "not a database", &"not a database ".repeat(10_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Embedded::FILE);
        fs::write(&path, content).unwrap();
        let error = refused(folder.path());
        assert!(matches!(&error, OpenError::NotAStore(at) if *at == path), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn another_programs_database_and_a_later_format_are_refused() {
    const META: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("meta");
    for format in [None, Some("2")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Embedded::FILE);
        let txn = redb::Database::create(&path).unwrap().begin_write().unwrap();
        if let Some(format) = format {
            txn.open_table(META).unwrap().insert("format", format).unwrap();
        }
        txn.commit().unwrap();
        match (refused(folder.path()), format) {
            (OpenError::NotAStore(at), None) => assert_eq!(at, path),
            (OpenError::OtherFormat { found, .. }, Some(format)) => assert_eq!(found, format),
            (error, _) => panic!("{error}"),
        }
    }
}

#[test]
fn a_folder_that_cannot_be_one_is_refused_by_its_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = refused(file.path());
    assert!(matches!(error, OpenError::Failed { .. }), "{error}");
    assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn sweeps_remove_what_has_expired_in_bounded_steps_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // From the bottom up, so that no recording finds an expired neighbour to trim.
    for holder in 0..10 {
        store.record(&[recording(holder, holder % 2 == 0)]).await.unwrap();
    }
    let living = held(&store).await;
    assert_eq!(living.len(), 5);
    let over = StaleMark { at: Clock::start().now(), life: Duration::ZERO };
    let ended = Entity { id: "43".into(), ..entity() };
    store.invalidate(&ended, over).await.unwrap();
    store.invalidate(&entity(), StaleMark { life: HOUR, ..over }).await.unwrap();
    store.revoke(HolderId([1; 16]), over).await.unwrap();
    store.revoke(HolderId([0; 16]), StaleMark { life: HOUR, ..over }).await.unwrap();

    // 5 members, entries and vault entries, a revocation, and the mark once the clock has passed its generation.
    let removed = sweep_until(&store, 17).await;
    assert_eq!(removed, 17);
    assert_eq!(sweep_until(&store, 1).await, 0, "and nothing else");
    assert_eq!(held(&store).await, living);
    let holders: Vec<_> = (0..10).map(|holder| HolderId([holder; 16])).collect();
    let vault = store.vault(&holders).await.unwrap();
    assert_eq!(vault.iter().filter(|entry| entry.is_some()).count(), 5);
    assert!(store.staleness(&entity()).await.unwrap().stale.is_some());
    let again = store.record(&[recording(0, true), recording(1, true)]).await.unwrap();
    let revoked: Vec<_> = again.iter().map(|recorded| recorded.revoked.is_some()).collect();
    assert_eq!(revoked, [true, false]);
}

/// Sweeps two rows at a time until so many are removed, or for a good many rounds where they are not.
async fn sweep_until(store: &Embedded, expected: usize) -> usize {
    let mut removed = 0;
    for _ in 0..2_000 {
        let step = store.sweep(2).await.unwrap();
        assert!(step <= 2, "{step} at once");
        removed += step;
        if removed >= expected {
            break;
        }
    }
    removed
}

#[tokio::test]
async fn a_recording_removes_expired_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.record(&[recording(2, false), recording(3, false), recording(4, true)]).await.unwrap();
    let living = held(&store).await;
    store.record(&[recording(1, true)]).await.unwrap();
    assert_eq!(held(&store).await[1..], living);
    let left = sweep_until(&store, 6).await;
    assert_eq!(left, 4, "their vault entries and their own entries are left, their members are not");
}

#[tokio::test]
async fn a_sweep_takes_no_generation_back_that_is_ahead_of_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let over = StaleMark { at: Clock::start().now(), life: Duration::ZERO };
    let entity = entity();
    // So many at once that there are more of them than milliseconds.
    let marks = futures_util::future::join_all((0..500).map(|_| store.invalidate(&entity, over))).await;
    let last = marks.into_iter().map(|mark| mark.unwrap().generation).max().unwrap();
    for _ in 0..3 {
        store.sweep(10).await.unwrap();
    }
    assert!(store.staleness(&entity).await.unwrap().generation >= last);
}

#[tokio::test]
async fn a_recording_removes_expired_neighbours_of_its_holders_entries() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let of = |id: usize, is_living| {
        let entity = Entity { resource_type: "Posts".into(), id: id.to_string().into() };
        Recording { entity, ..recording(1, is_living) }
    };
    let all: Vec<_> = (0..100).map(|id| of(id, false)).collect();
    store.record(&all).await.unwrap();
    for id in 100..400 {
        store.record(&[of(id, true)]).await.unwrap();
    }
    // The holder's vault entry lives; of the members, each of an entity of its own, all are left.
    let left = sweep_until(&store, 200).await;
    assert!((100..110).contains(&left), "{left} left");
}

#[tokio::test]
async fn a_store_that_is_not_by_holder_keeps_nothing_of_holders() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).by_holder(false);
    let holder = recording(1, true).member.holder;
    store.revoke(holder, StaleMark { at: Clock::start().now(), life: HOUR }).await.unwrap();
    assert_eq!(store.record(&[recording(1, true)]).await.unwrap()[0].revoked, None);
    assert_eq!(store.entities_of(holder, Position(0), 10).await.unwrap().held, []);
    assert_eq!(held(&store).await.len(), 1);
}
