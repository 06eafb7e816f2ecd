//! Files that are not as decache has left them.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use crate::{
    ledger::Ledger,
    process::Process,
    service::Service,
    world::{AWAY, World},
};

const POSTS: usize = 30;
/// Bytes of a journal file's header: magic, fingerprint, nonce, checksum.
const HEADER: usize = 44;
/// What a record begins with: a mark, its length, number and checksum.
const MARK: &[u8] = b"\xdeCJ\x01";
const PREFIX: usize = 4 + 4 + 8 + 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_record_costs_nothing_that_was_answered_and_is_told_once() {
    let (world, file) = with_a_journal().await;
    let whole = fs::read(&file).unwrap();
    let end = end_of_records(&whole);
    // The beginning of another record, as a crash leaves it. A zero at its end would not be told from room.
    let length = (80..=90).rev().find(|length| whole[HEADER + length - 1] != 0).unwrap();
    let torn = OpenOptions::new().write(true).open(&file).unwrap();
    torn.write_all_at(&whole[HEADER..HEADER + length], end as u64).unwrap();
    fs::write(world.setup.journal().join("notes.txt"), "mine").unwrap();

    world.heal();
    let service = Service::ready(&world.setup).await;
    let line = "ends in a record that was not written to its end";
    let told = (service.logged(line, "from"), service.logged(line, "bytes"));
    assert_eq!(told, (Some(end), Some(length)));
    assert!(service.process.output().contains("notes.txt"), "a file that is none of ours is told");
    service.wait_until_done().await;
    world.ledger.assert_all_done(&service, "torn last record").await;
    drop(service);
    let again = Service::ready(&world.setup).await;
    assert_eq!(again.logged("journal", "bytes"), None, "{}", again.process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_costs_one_record_is_told_to_the_byte_and_a_copy_is_kept() {
    let (world, file) = with_a_journal().await;
    let mut bytes = fs::read(&file).unwrap();
    let middle = end_of_records(&bytes) / 2;
    bytes[middle] ^= 0x10;
    fs::write(&file, &bytes).unwrap();
    let journal = world.setup.journal();
    fs::write(journal.join("00000900.journal"), "").unwrap();
    fs::write(journal.join("00000901.journal"), "something else").unwrap();
    fs::create_dir(journal.join("00000902.journal")).unwrap();

    world.heal();
    let service = Service::ready(&world.setup).await;
    let line = "a part of the journal is damaged";
    let (from, length) = (service.logged(line, "from").unwrap(), service.logged(line, "bytes").unwrap());
    assert!((from..from + length).contains(&middle), "{from} and {length} bytes do not hold {middle}");
    let copy = format!("{}.damaged", file.display());
    let kept = fs::read(copy).unwrap();
    // Room that was never filled is cut off before.
    let (records, room) = bytes.split_at(kept.len());
    assert!(kept == records && room.iter().all(|byte| *byte == 0), "{} of {} bytes", kept.len(), bytes.len());
    assert_eq!(fs::read(journal.join("00000901.journal.damaged")).unwrap(), b"something else");
    let lost = length + "something else".len();
    let reason = format!("journal: {lost} bytes could not be read at start");
    let readiness = service.readiness().await;
    assert!(readiness.reasons.iter().any(|it| it.starts_with(&reason)), "{readiness:?}");
    assert_eq!((readiness.status, &*readiness.word), (200, "degraded"));
    service.wait_until_empty().await;
    let effects = world.ledger.effects(&service).await;
    effects.print("flipped bit in one of 30 records");
    assert_eq!((effects.removed, effects.faults.len()), (POSTS - 1, 1));
    let after = Ledger::new(world.cache.url());
    after.accepted_read(&service, 3).await;
    service.wait_until_empty().await;
    after.assert_all_done(&service, "the service that goes on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_an_empty_file_in_place_of_the_store_is_refused_and_left_as_it_is() {
    for content in ["", "something else"] {
        let world = World::embedded().await;
        fs::create_dir_all(world.setup.data()).unwrap();
        let store = world.setup.data().join("relations.redb");
        fs::write(&store, content).unwrap();
        let output = refused(&mut world.setup.command()).await;
        assert!(output.contains("is not a decache store; it was left untouched"), "{output}");
        assert_eq!(fs::read_to_string(&store).unwrap(), content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_another_secret_is_refused_and_left_as_it_is() {
    let (world, file) = with_a_journal().await;
    let bytes = fs::read(&file).unwrap();
    let mut command = world.setup.command();
    command
        .env("DECACHE__SECRET__VALUE", "another secret, thirty-two bytes or more")
        .env_remove("DECACHE__SECRET__FILE");
    let output = refused(&mut command).await;
    assert!(output.contains("secret"), "{output}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

/// A decache that has accepted a change of each of 30 posts, done none, and died. With the file of its journal.
async fn with_a_journal() -> (World, Box<Path>) {
    let world = World::new().await;
    let mut service = Service::ready(&world.setup).await;
    let mut posts = Vec::new();
    for _ in 0..POSTS {
        posts.push(world.ledger.accepted_read(&service, 1).await);
    }
    service.wait_until_done().await;
    service.terminate().await;
    world.both(AWAY);
    let mut service = Service::ready(&world.setup).await;
    for post in &posts {
        world.ledger.accepted_update(&service, post).await;
    }
    service.process.kill();
    let file = world.setup.journal_files().pop().unwrap();
    (world, file.into_boxed_path())
}

/// Where the records of a journal's file end, and the room begins that the process had made and not filled.
fn end_of_records(bytes: &[u8]) -> usize {
    let mut at = HEADER;
    while bytes[at..].starts_with(MARK) {
        let length: [u8; 4] = bytes[at + MARK.len()..][..4].try_into().unwrap();
        at += PREFIX + u32::from_le_bytes(length) as usize;
    }
    at
}

/// What a decache says that does not start.
async fn refused(command: &mut Command) -> String {
    let mut process = Process::start("decache", command);
    let status = process.ended().await;
    assert_eq!(status.code(), Some(1), "{}", process.output());
    assert!(!process.output().contains("panicked"), "{}", process.output());
    process.output()
}
