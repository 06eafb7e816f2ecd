//! A disk that is full, or read-only, or gives files no room; and a log that nobody can write.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::{
    ledger::{events, now, update},
    limits::{self, Mount},
    process::Process,
    service::{Readiness, Service},
    world::World,
};

/// A file's header has room, and no record.
const NO_ROOM: u64 = 60;
const REFUSED: usize = 50;
const READERS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_are_told_and_the_process_lives_on() {
    let world = World::new().await;
    let mut service = Service::ready(&world.setup).await;
    some_work(&world, &service).await;
    limits::file_size(service.process.id(), Some(NO_ROOM));
    let readiness = refused(&world, &service).await;
    assert!(readiness.reasons[0].contains("File too large"), "{readiness:?}");
    assert!(world.setup.journal_files().len() < 5, "{:?}", world.setup.journal_files());
    limits::file_size(service.process.id(), None);
    recovered(&world, &mut service, "file-size limit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_recovers_when_space_returns() {
    for world in [World::new().await, World::embedded().await] {
        fs::create_dir_all(world.setup.data()).unwrap();
        let Some(_mount) = Mount::over(&world.setup.data(), "size=32m") else { return };
        let mut service = Service::ready(&world.setup).await;
        some_work(&world, &service).await;
        let filler = world.setup.data().join("filler");
        fill(&filler);
        let readiness = refused(&world, &service).await;
        assert!(readiness.reasons[0].contains("No space left"), "{readiness:?}");
        fs::remove_file(filler).unwrap();
        recovered(&world, &mut service, "full disk").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_has_filled_its_disk_by_itself_goes_on_when_its_jobs_are_done() {
    let world = World::new().await;
    fs::create_dir_all(world.setup.journal()).unwrap();
    let Some(_mount) = Mount::over(&world.setup.journal(), "size=1m") else { return };
    let mut service = Service::ready(&world.setup).await;
    refused(&world, &service).await;
    recovered(&world, &mut service, "a disk that the journal has filled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_become_read_only_is_told_and_recovers() {
    let world = World::new().await;
    let mut service = Service::ready(&world.setup).await;
    some_work(&world, &service).await;
    let Some(mount) = Mount::over(&world.setup.journal(), "ro") else { return };
    // Has the journal give up the file that it has open; the next one would be on the disk that is read-only.
    limits::file_size(service.process.id(), Some(NO_ROOM));
    let at = now();
    assert_eq!(service.post(&update("post-0", at)).await.status(), 503);
    limits::file_size(service.process.id(), None);
    let readiness = refused(&world, &service).await;
    assert!(readiness.reasons[0].contains("Read-only file system"), "{readiness:?}");
    drop(mount);
    recovered(&world, &mut service, "read-only disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_at_the_start_is_a_clear_error() {
    let world = World::new().await;
    fs::create_dir_all(world.setup.data()).unwrap();
    let Some(_mount) = Mount::over(&world.setup.data(), "ro") else { return };
    let mut process = Process::start("decache", &mut world.setup.command());
    let status = process.ended().await;
    assert_eq!(status.code(), Some(1));
    let expected = format!("the journal in {} cannot be opened: Read-only", world.setup.journal().display());
    assert!(process.output().contains(&expected), "{}", process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let world = World::new().await;
    let mut shell = Command::new("sh");
    let decache = world.setup.command();
    shell.arg("-c").arg(r#"exec "$0" "$@" 2>/dev/full"#).arg(decache.get_program()).args(decache.get_args());
    shell.env("DECACHE__LOG__FILTER", "trace");
    let mut service = Service::of(Process::start("decache", &mut shell)).await;
    service.wait_for("events are taken", |readiness| readiness.status == 200).await;
    some_work(&world, &service).await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "log on a full disk").await;
    assert!(service.terminate().await.success());
}

/// Writes until there is no room left.
fn fill(file: &Path) {
    let mut filler = File::create(file).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
}

/// Three posts are read, and one of them is changed.
async fn some_work(world: &World, service: &Service) {
    for n in 0..3 {
        let post = world.ledger.accepted_read(service, READERS).await;
        if n == 0 {
            world.ledger.accepted_update(service, &post).await;
        }
    }
}

/// Posts until nothing is accepted any more, as the last bytes may have room for a small record, and then goes on.
async fn refused(world: &World, service: &Service) -> Readiness {
    let (mut accepted, mut refused) = (0, 0);
    while refused < REFUSED {
        let post = world.ledger.new_post();
        let reads = world.ledger.read(&post, READERS).await;
        let response = service.post(&events(&reads)).await;
        if response.status() == 202 {
            accepted += 1;
            assert!(accepted < 5000, "there is still room");
            world.ledger.reads_accepted(reads);
            continue;
        }
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(response.headers().contains_key("retry-after"));
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["type"], "urn:decache:problem:journal-unwritable");
        refused += 1;
    }
    println!("nothing can be written: {accepted} requests still accepted, {refused} refused");
    service.wait_for("readiness tells", |it| it.word == "unavailable" && it.names("journal")).await
}

/// It takes events again by itself; and after a crash, all that it ever accepted is done.
async fn recovered(world: &World, service: &mut Service, test: &str) {
    service.wait_for("all is well", |readiness| readiness.word == "ok").await;
    some_work(world, service).await;
    service.process.kill();
    let service = Service::ready(&world.setup).await;
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, test).await;
}
