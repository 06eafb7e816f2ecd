//! What can be looked up and done.

use crate::stage::Stage;

#[tokio::test]
async fn an_entity_is_looked_up_counted_and_invalidated() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    for user in ["alice", "bob"] {
        stage.read("42", user).await;
    }
    browser.click("nav a[href='/console/entity']").await;
    browser.type_into("input[name=resource_type]", "Posts").await;
    browser.type_into("input[name=entity_id]", "42").await;
    browser.click("main button").await;
    browser.sees("Nothing has invalidated it lately").await;
    let text = browser.text().await;
    assert!(text.contains("alice") && text.contains("bob") && text.contains("Copies known\n2"), "{text}");

    browser.click("a.button").await;
    browser.click("form.row button").await;
    browser.sees("2 copies are known").await;
    browser.click(".counted button").await;
    browser.sees("2 removed, 0 were not there").await;
    browser.click("dl a.about").await;
    browser.sees("Its last invalidation is done").await;
    assert!(browser.text().await.contains("Nobody, as far as decache knows."));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_holder_is_found_by_a_token_that_is_not_shown_again_and_revoked() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    for post in ["1", "2"] {
        stage.read(post, "alice").await;
    }
    stage.open("/console/holder").await;
    browser.type_into("input[name=access_token]", "tok-alice").await;
    browser.click("form.stack[method=post] button").await;
    browser.sees("What they hold").await;
    let address = browser.address().await;
    assert!(address.starts_with("/console/holder?holder=") && !address.contains("tok-"), "{address}");
    assert!(
        !browser
            .run("return document.documentElement.outerHTML")
            .await
            .as_str()
            .unwrap()
            .contains("tok-alice")
    );
    assert_eq!(browser.count("#holder tbody tr").await, 2);
    browser.click("details.confirm summary").await;
    browser.click("details.confirm button").await;
    browser.sees("2 removed").await;
    stage.open(&address).await;
    browser.sees("Nothing, as far as decache knows").await;
    browser.sees("revoke").await;
}

#[tokio::test]
async fn dead_letters_are_retried_and_discarded_one_by_one_and_all_of_a_reason() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.let_die(&["1", "2", "3", "4"]).await;
    stage.open("/console/jobs").await;
    browser.sees("store_refused").await;
    assert_eq!(browser.count("form[action='/console/jobs/retry']").await, 4, "they are what is shown first");
    browser.click("form[action='/console/jobs/retry'] button").await;
    browser.sees("Its work is done").await;

    stage.open("/console/jobs?state=dead").await;
    browser.click("form[action='/console/jobs/retry'] + details summary").await;
    browser.click("form[action='/console/jobs/discard'] button").await;
    browser.sees("1 discarded.").await;
    assert_eq!(browser.count("form[action='/console/jobs/retry']").await, 2);
    browser.click("form[action='/console/jobs/retry-all'] button").await;
    browser.sees("2 are tried again.").await;
    browser.sees("There are no dead letters").await;

    stage.let_die(&["5", "6"]).await;
    stage.open("/console/jobs?state=dead&reason=store_refused&resource_type=Posts").await;
    assert_eq!(browser.count("form[action='/console/jobs/retry']").await, 2);
    browser.click("form[action='/console/jobs/retry-all'] + details summary").await;
    browser.click("form[action='/console/jobs/discard-all'] button").await;
    browser.sees("2 discarded.").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_event_is_explained_in_place_and_what_was_pasted_stays_in_the_browser() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.open("/console/explain").await;
    let event =
        r#"{"action_type": "Read", "resource_type": "Posts", "entity_id": 42, "access_token": "tok-alice"}"#;
    browser.type_into("textarea", event).await;
    browser.click("main button").await;
    browser.sees("makes the job").await;
    let text = browser.text().await;
    assert!(
        text.contains("/posts/42?access_token={access_token}") && text.contains("Job 1: cache"),
        "{text}"
    );
    assert_eq!(browser.run("return document.querySelector('textarea').value").await, event);
    assert!(
        !browser
            .run("return document.querySelector('#result').innerHTML")
            .await
            .as_str()
            .unwrap()
            .contains("tok-alice")
    );
    browser
        .type_into("textarea", r#"{"action_type": "Moved", "resource_type": "Posts", "entity_id": 42}"#)
        .await;
    browser.click("main button").await;
    browser.sees("accepted and ignored").await;
}

#[tokio::test]
async fn what_is_removed_is_shown_as_it_happens_and_in_numbers() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.read("1", "alice").await;
    stage.update("1", true).await;
    stage.open("/console/live").await;
    browser.sees("live").await;
    assert_eq!(browser.count("tbody tr").await, 1, "what was before is there");
    stage.update("2", true).await;
    browser.sees("Posts 2").await;
    assert_eq!(browser.count("tbody tr").await, 2, "and nothing twice");
    stage.open("/").await;
    browser.sees("All is well").await;
    browser.sees("events taken").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
