//! The demonstration: it lives, can be looked at, and leaves nothing behind.

use std::process::Command;

use crate::{
    browser::Browser,
    process::{Process, decache, poll},
};

#[tokio::test]
async fn the_demonstration_lives_is_shown_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(decache());
    command.args(["demo", "--port", "0"]).env("TMPDIR", temporary.path()).current_dir(temporary.path());
    let mut process = Process::start("decache demo", &mut command);
    let url = process.listening().await;
    assert!(process.output().contains("Ctrl-C ends it"), "it says what to try");
    let browser = Browser::start().await;
    browser.open(&format!("{url}/console/entity?resource_type=Posts&entity_id=1")).await;
    poll("somebody has read post 1", async || {
        browser.run("location.reload()").await;
        (browser.count("#entity tbody tr").await > 1).then_some(())
    })
    .await;
    browser.open(&format!("{url}/console/live")).await;
    browser.sees("Feeds").await;
    browser.open(&format!("{url}/")).await;
    browser.sees("All is well").await;
    let entries = || std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(entries(), 1, "all of it is in one folder");
    let status = process.terminate().await;
    assert!(status.success(), "{status}");
    assert_eq!(entries(), 0, "the folder has gone");
}
