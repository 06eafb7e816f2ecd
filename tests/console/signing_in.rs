//! Signing in and out, and who may do what.

use crate::stage::{API, OPERATOR, READER, Stage};

#[tokio::test]
async fn who_signs_in_goes_on_where_they_wanted_to_and_sees_what_their_key_may() {
    let stage = Stage::start().await;
    let browser = &stage.browser;
    stage.let_die(&["1"]).await;
    stage.open("/console/jobs?state=dead").await;
    browser.type_into("input[name=key]", "no-key-of-anybody").await;
    browser.click("button").await;
    browser.sees("This key is not known").await;
    assert_eq!(browser.run("return document.querySelector('input[name=key]').value").await, "");
    browser.type_into("input[name=key]", API).await;
    browser.click("button").await;
    browser.sees("it lacks the scope read").await;
    browser.type_into("input[name=key]", READER).await;
    browser.click("button").await;
    browser.sees("may only look").await;
    assert_eq!(browser.address().await, "/console/jobs?state=dead");
    assert_eq!(browser.count("td form").await, 0, "nothing can be done with this key");
    assert_eq!(browser.run("return document.cookie").await, "", "no script reads the session");

    browser.click("header form button").await;
    browser.sees("Sign in").await;
    stage.open("/").await;
    assert_eq!(browser.address().await, "/console/sign-in");
    stage.sign_in(OPERATOR).await;
    browser.sees("an-operator").await;
    stage.open("/console/jobs?state=dead").await;
    assert!(browser.count("td form").await > 0);
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_page_that_is_open_notices_that_its_session_is_over() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.open("/console/live").await;
    browser.sees("live").await;
    browser
        .run(
            "const form = document.querySelector('header form'); \
             fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)) })",
        )
        .await;
    browser.sees("API key").await;
    assert!(browser.address().await.starts_with("/console/sign-in"));
}
