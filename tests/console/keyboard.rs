//! Without a mouse.

use crate::stage::{OPERATOR, Stage};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

#[tokio::test]
async fn everything_is_reached_with_the_keyboard_and_one_sees_where_one_is() {
    let stage = Stage::start().await;
    let browser = &stage.browser;
    stage.open("/").await;
    browser.sees("API key").await;
    browser.press(OPERATOR).await;
    browser.press(ENTER).await;
    browser.sees("an-operator").await;

    let focused = async || browser.run("return document.activeElement.textContent.trim()").await;
    browser.press(TAB).await;
    assert_eq!(focused().await, "Skip to the content");
    assert!(
        browser.run("return document.activeElement.getBoundingClientRect().left >= 0").await == true,
        "it can be seen"
    );
    browser.press(ENTER).await;
    assert_eq!(browser.run("return document.activeElement.id").await, "main");

    stage.open("/console/entity").await;
    for wanted in
        ["Skip to the content", "decache", "working", "Sign out", "Overview", "Jobs", "Entity", "Holder"]
    {
        browser.press(TAB).await;
        assert_eq!(focused().await, wanted);
        let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle").await;
        assert_eq!(outline, "solid", "{wanted}");
    }
    browser.press(ENTER).await;
    browser.sees("or access token").await;

    stage.let_die(&["1"]).await;
    stage.open("/console/jobs?state=dead").await;
    browser.run("document.querySelector('#jobs .scroll:last-of-type details summary').focus()").await;
    browser.press(ENTER).await;
    browser.press(TAB).await;
    assert_eq!(focused().await, "Discard it");
    browser.press(ENTER).await;
    browser.sees("1 discarded.").await;
}
