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
    browser.click("form[action='/console/holder'][method=post] button").await;
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

#[tokio::test]
async fn the_first_page_leads_to_what_people_come_to_ask() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.read("42", "alice").await;
    stage.open("/").await;
    browser.type_into("input[name=resource_type]", "Posts").await;
    browser.type_into("input[name=entity_id]", "42").await;
    browser.click("main form[role=search] button").await;
    browser.sees("Who holds it").await;
    browser.sees("alice").await;
    browser.sees(" UTC)").await;
    browser.click("#entity .about").await;
    browser.sees("What they hold").await;
    stage.open("/").await;
    let links = browser
        .run(
            "return [...document.querySelectorAll('.card a')].map((it) => it.getAttribute('href')).join(' ')",
        )
        .await;
    for href in links.as_str().unwrap().split(' ') {
        stage.open(href).await;
        assert!(browser.count("nav a[aria-current]").await > 0, "{href} is a page");
    }
}

#[tokio::test]
async fn what_is_mistyped_is_told_beside_its_field_and_an_address_as_a_page() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.open("/console/holder?holder=x").await;
    browser.sees("That is no holder id, which has 32 hex digits; tokens go into the other field.").await;
    assert_eq!(browser.count("input[name=holder]").await, 1);
    stage.open("/console/entity?resource_type=P+o&entity_id=1").await;
    browser.sees("resource_type must be").await;
    assert_eq!(browser.run("return document.querySelector('[name=entity_id]').value").await, "1");
    stage.open("/console/nowhere/at/all").await;
    browser.sees("There is no such page").await;
    stage.open("/console").await;
    browser.sees("What do you want to know?").await;
}

#[tokio::test]
async fn what_has_ended_is_listed_with_the_latest_first() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    for post in ["1", "2", "3"] {
        stage.update(post, true).await;
    }
    stage.open("/console/jobs?state=done").await;
    let posts =
        "return [...document.querySelectorAll('#jobs tbody .about')].map((it) => it.textContent).join()";
    assert_eq!(browser.run(posts).await, "Posts 3,Posts 2,Posts 1");
}
