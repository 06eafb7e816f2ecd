//! Every page at three widths, light and dark: nothing sticks out, everything has its name, and pictures are left for people.

use std::path::PathBuf;

use crate::stage::Stage;

const PAGES: [(&str, &str); 12] = [
    ("overview", "/"),
    ("jobs-dead", "/console/jobs?state=dead"),
    ("jobs-failing", "/console/jobs?state=failing"),
    ("jobs-empty", "/console/jobs?state=expired"),
    ("entity", "/console/entity?resource_type=Posts&entity_id=42"),
    ("holder", "/console/holder?holder="),
    ("invalidate", "/console/invalidate?resource_type=Posts&entity_id=42"),
    ("explain", "/console/explain"),
    ("live", "/console/live"),
    ("configuration", "/console/configuration"),
    ("health", "/console/health"),
    ("failure", "/console/holder?holder=x"),
];
const WIDTHS: [u32; 3] = [360, 768, 1280];
/// A long word that does not break by itself.
const LONG: &str = "a-very-long-name-without-a-space-in-it-0123456789-0123456789-0123456789-0123456789";

/// Fields without a name, tables without one, ids that stand twice, headings that skip a level.
const NAMELESS: &str = r#"
const wrong = [];
for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
  if (!field.labels.length) wrong.push("a field without a label: " + field.name);
for (const table of document.querySelectorAll("table"))
  if (!table.caption || !table.querySelector("th[scope=col]")) wrong.push("a table without caption or heads");
for (const button of document.querySelectorAll("button, a, summary"))
  if (!(button.textContent.trim() || button.ariaLabel)) wrong.push("something without a name: " + button.outerHTML);
for (const svg of document.querySelectorAll("svg")) if (!svg.ariaLabel) wrong.push("a chart without a name");
const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
if (new Set(ids).size !== ids.length) wrong.push("an id stands twice");
const levels = [...document.querySelectorAll("h1, h2, h3")].map((it) => Number(it.tagName[1]));
if (levels.filter((level) => level === 1).length !== 1) wrong.push("not one h1");
levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push("a heading skips a level"); });
if (!document.documentElement.lang || !document.title || document.querySelectorAll("main").length !== 1) wrong.push("no lang, title or main");
return wrong.join("; ");
"#;

/// Whatever is wider than the window without being in a box that scrolls.
const STICKING_OUT: &str = r#"
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
if (wide <= 0) return "";
const out = [...document.querySelectorAll("body *")].filter((it) => it.getBoundingClientRect().right > innerWidth + 1 && !it.closest(".scroll, pre"));
return wide + " px: " + out.map((it) => it.tagName + "." + it.className).slice(0, 5).join(" ");
"#;

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn every_page_fits_every_width_light_and_dark_and_names_all_that_it_has() {
    let mut stage = Stage::signed_in().await;
    for user in ["alice", "bob", LONG] {
        stage.read("42", user).await;
    }
    stage.update("7", true).await;
    stage.let_die(&["1", LONG]).await;
    stage.cache.stop();
    stage.update("42", false).await;
    let browser = &stage.browser;
    stage.open("/console/entity?resource_type=Posts&entity_id=42").await;
    let holder = browser.run("return document.querySelector('#entity table a').textContent").await;
    for (name, path) in PAGES {
        let path =
            if name == "holder" { format!("{path}{}", holder.as_str().unwrap()) } else { path.to_owned() };
        for is_dark in [false, true] {
            for width in WIDTHS {
                browser.look(width, is_dark).await;
                stage.open(&path).await;
                if name == "explain" {
                    explain(&stage).await;
                }
                if name == "overview" {
                    browser.sees("events taken").await;
                }
                assert_eq!(browser.run(STICKING_OUT).await, "", "{name} at {width}");
                assert_eq!(browser.run(NAMELESS).await, "", "{name}");
                let theme = if is_dark { "dark" } else { "light" };
                browser.picture(&folder().join(format!("{name}-{width}-{theme}.png"))).await;
            }
        }
    }
}

async fn explain(stage: &Stage) {
    let browser = &stage.browser;
    let event = format!(
        r#"{{"action_type": "Read", "resource_type": "Posts", "entity_id": "{LONG}", "access_token": "tok-alice"}}"#
    );
    browser.type_into("textarea", &event).await;
    browser.click("main button").await;
    browser.sees("makes the job").await;
}

#[tokio::test]
async fn the_way_in_fits_every_width() {
    let stage = Stage::start().await;
    let browser = &stage.browser;
    for (width, is_dark) in [(360, false), (360, true), (768, false), (1280, false), (1280, true)] {
        browser.look(width, is_dark).await;
        stage.open("/").await;
        browser.sees("API key").await;
        assert_eq!(browser.run(STICKING_OUT).await, "", "at {width}");
        assert_eq!(browser.run(NAMELESS).await, "");
        let theme = if is_dark { "dark" } else { "light" };
        browser.picture(&folder().join(format!("sign-in-{width}-{theme}.png"))).await;
    }
}
