//! Whatever comes from outside is shown as what it is, and does nothing.

use std::fs;

use serde_json::json;

use crate::stage::{HOSTILE, READER, Stage, read};

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Stage {
    /// The page shows the hostile text so many times at least, and nothing of it has become part of the page.
    async fn shows_it_harmlessly(&self, path: &str, times: usize) {
        self.open(path).await;
        let browser = &self.browser;
        let text = browser.text().await;
        assert!(
            text.matches("<script>window.hacked=1</script>").count() >= times,
            "{path} shows it {times} times: {text}"
        );
        self.is_unharmed(path).await;
    }

    async fn is_unharmed(&self, what: &str) {
        let browser = &self.browser;
        assert_eq!(browser.count("img, script:not([src]), [onerror], [onclick], [style]").await, 0, "{what}");
        assert_eq!(browser.run("return window.hacked === undefined").await, true, "{what}");
    }
}

#[tokio::test]
async fn hostile_data_is_text_wherever_it_is_shown() {
    let mut stage = Stage::start().await;
    let browser = &stage.browser;
    stage.open(&format!("/console/sign-in?back={}", encoded(HOSTILE))).await;
    stage.is_unharmed("what to go back to").await;
    stage.sign_in(READER).await;
    browser.sees("a-reader").await;
    stage.shows_it_harmlessly("/", 1).await;

    let mut variant = read(HOSTILE, HOSTILE);
    variant["cache_key"] = format!("/posts/{HOSTILE}?access_token={{access_token}}&{HOSTILE}").into();
    stage.post(&json!([read(HOSTILE, HOSTILE), variant]), true).await;
    stage.let_die(&[HOSTILE]).await;
    let entity = format!("/console/entity?resource_type=Posts&entity_id={}", encoded(HOSTILE));
    // The key's name, the entity, its users and variant, its jobs.
    stage.shows_it_harmlessly(&entity, 5).await;
    browser.click("#entity table a").await;
    browser.sees("What they hold").await;
    let holder = browser.address().await;
    stage.shows_it_harmlessly(&holder, 3).await;
    stage.cache.stop();
    stage.update(HOSTILE, false).await;
    let browser = &stage.browser;
    stage.open("/console/jobs?state=failing").await;
    browser.sees("cache_unavailable").await;
    for (path, times) in [
        ("/console/jobs?state=dead", 2),
        ("/console/jobs?state=done", 2),
        ("/console/jobs?state=failing", 2),
        ("/console/health", 1),
        ("/console/configuration", 3),
    ] {
        stage.shows_it_harmlessly(path, times).await;
    }
    browser.open(&format!("{}/console/jobs?state=dead", stage.url)).await;
    browser.click("#jobs tbody a[href^='/console/jobs/0']").await;
    browser.sees("Topic").await;
    stage.shows_it_harmlessly(&browser.address().await, 3).await;

    stage.cache.restart();
    let browser = &stage.browser;
    stage.open("/console/live").await;
    browser.sees("live").await;
    stage.update(HOSTILE, true).await;
    browser.sees("Posts \"'><img").await;
    stage.is_unharmed("an event of the stream").await;
    stage.shows_it_harmlessly("/console/live", 2).await;
}

#[tokio::test]
async fn what_is_typed_in_or_stands_in_a_url_is_text_too() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    let it = encoded(HOSTILE);
    for path in [
        format!("/console/entity?resource_type={it}&entity_id={it}"),
        format!("/console/entity?resource_type=Posts&entity_id=1&cursor={it}"),
        format!("/console/holder?holder={it}"),
        format!("/console/invalidate?resource_type={it}&entity_id={it}"),
        format!("/console/jobs?state=dead&reason=unknown&resource_type={it}&topic={it}"),
        format!("/console/jobs?state={it}"),
        format!("/console/jobs?state=done&told={it}&count={it}"),
        format!("/console/jobs?cursor={it}"),
        format!("/console/jobs/{it}"),
        format!("/console/live?after={it}"),
    ] {
        stage.open(&path).await;
        stage.is_unharmed(&path).await;
    }
    stage.open("/console/explain").await;
    let event = json!({ "id": HOSTILE, "action_type": "Read", "resource_type": "Posts", "entity_id": HOSTILE, "access_token": HOSTILE });
    browser.type_into("textarea", &event.to_string()).await;
    browser.click("main button").await;
    browser.sees("makes the job").await;
    stage.is_unharmed("an explanation").await;
    browser.type_into("textarea", HOSTILE).await;
    browser.click("main button").await;
    browser.sees("It cannot be read").await;
    stage.is_unharmed("what cannot be read").await;

    let file = stage.folder.path().join("decache.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let hostile = json!({ HOSTILE: 1 }).to_string();
    fs::write(
        &file,
        before.replace("\"workers\":{", &format!("\"workers\":{},", &hostile[..hostile.len() - 1])),
    )
    .unwrap();
    stage.open("/console/configuration").await;
    browser.sees("A change was refused").await;
    stage.is_unharmed("a configuration that is refused").await;
}
