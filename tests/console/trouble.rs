//! Three in the morning: what is wrong, what is stuck, and when it is over.

use std::fs;

use crate::stage::Stage;

#[tokio::test]
async fn a_cache_that_is_away_is_told_everywhere_with_what_to_do_and_what_waits_for_it() {
    let mut stage = Stage::signed_in().await;
    stage.read("42", "alice").await;
    stage.cache.stop();
    stage.update("42", false).await;
    let browser = &stage.browser;
    browser.sees("Copies in this cache stay until it answers").await;
    stage.open("/console/entity?resource_type=Posts&entity_id=42").await;
    browser.sees("An invalidation has not succeeded: copies of before may still be served.").await;
    stage.open("/console/jobs").await;
    browser.sees("failing").await;
    browser.sees("tried again: invalidations and revocations until they are done").await;
    browser.sees("cache_unavailable").await;
    stage.open("/console/health").await;
    browser.sees("in trouble").await;
    browser.click("td a[href='/console/jobs?state=failing']").await;
    browser.click("#jobs tbody a").await;
    browser.sees("is tried until it is done: until then old copies may be served").await;
    browser.sees("Look at that cache").await;
    stage.cache.restart();
    let browser = &stage.browser;
    browser.sees("working").await;
    assert_eq!(browser.count(".badge.bad").await, 0);
    stage.open("/console/entity?resource_type=Posts&entity_id=42").await;
    browser.sees("Its last invalidation is done").await;
}

#[tokio::test]
async fn a_reload_is_told_with_what_was_taken_over_and_what_was_refused() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.open("/console/configuration").await;
    browser.sees("There was none.").await;
    let text = browser.text().await;
    assert!(text.contains("prefix: 'decache:'") && text.contains("hash: (hidden)"), "{text}");
    let file = stage.folder.path().join("decache.yaml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.replace("\"ttl\":300", "\"ttl\":301")).unwrap();
    browser.sees("A change was taken over").await;
    browser.sees("resources.Posts.ttl").await;
    browser.sees("ttl: 301").await;
    fs::write(&file, before.replace("\"ttl\":300", "\"ttl\":-1")).unwrap();
    browser.sees("A change was refused").await;
    fs::write(&file, before.replace("\"max_attempts\":2", "\"max_attempts\":3")).unwrap();
    browser.sees("A restart is needed for").await;
    browser.sees("workers.max_attempts").await;
}

#[tokio::test]
async fn a_page_that_cannot_be_brought_up_to_date_says_so() {
    let mut stage = Stage::signed_in().await;
    stage.read("42", "alice").await;
    stage.open("/console/entity?resource_type=Posts&entity_id=42").await;
    stage.browser.sees("alice").await;
    stage.index.stop();
    stage.browser.sees("not up to date").await;
    stage.browser.sees("alice").await;
    stage.index.restart();
    stage.browser.sees("working").await;
}
