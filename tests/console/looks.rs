//! Every page at three widths, light and dark: nothing sticks out, everything has its name, and pictures are left for people.

use std::path::PathBuf;

use crate::stage::Stage;

/// Those of a job and of a holder are found where there is one.
const PAGES: [(&str, &str); 20] = [
    ("overview", "/"),
    ("jobs-dead", "/console/jobs?state=dead"),
    ("jobs-failing", "/console/jobs?state=failing"),
    ("jobs-done", "/console/jobs?state=done"),
    ("jobs-empty", "/console/jobs?state=expired"),
    ("job", "/console/jobs"),
    ("entity", "/console/entity?resource_type=Posts&entity_id=42"),
    ("entity-none", "/console/entity"),
    ("entity-unknown", "/console/entity?resource_type=Postz&entity_id=nobody"),
    ("entity-mistyped", "/console/entity?resource_type=P+o&entity_id=1"),
    ("holder", "/console/holder"),
    ("holder-none", "/console/holder"),
    ("holder-mistyped", "/console/holder?holder=x"),
    ("invalidate", "/console/invalidate?resource_type=Posts&entity_id=42"),
    ("explain", "/console/explain"),
    ("live", "/console/live"),
    ("configuration", "/console/configuration"),
    ("health", "/console/health"),
    ("no-such-job", "/console/jobs/x"),
    ("no-such-page", "/console/nowhere"),
];
const WIDTHS: [u32; 3] = [360, 768, 1440];
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

/// Whatever is wider than the window without being in a box that scrolls, or sticks out of the card that it stands in; on a
/// phone no table scrolls either, for nobody looks for what they do not see.
const STICKING_OUT: &str = r#"
const wrong = [];
const right = (it) => it.getBoundingClientRect().right;
const name = (it) => it.tagName + "." + it.className + " " + it.textContent.trim().slice(0, 30);
const wide = document.documentElement.scrollWidth - innerWidth;
if (wide > 0) wrong.push(wide + " px", ...[...document.querySelectorAll("body *")].filter((it) => right(it) > innerWidth + 1 && !it.closest(".scroll, pre")).map(name));
for (const card of document.querySelectorAll("main, .note, .tile, .card, .chart, .counted, .job, .confirm > div"))
  for (const it of card.querySelectorAll("a, button, summary, input, p, code, b, h2, h3"))
    if (it.checkVisibility() && !it.closest(".scroll, pre") && right(it) > right(card) + 1) wrong.push("out of its card: " + name(it));
if (innerWidth < 500)
  for (const box of document.querySelectorAll(".scroll"))
    if (box.scrollWidth > box.clientWidth + 1) wrong.push("a table scrolls: " + box.ariaLabel);
return wrong.slice(0, 5).join("; ");
"#;

/// On a wide screen all begins at the same line.
const NOT_ALIGNED: &str = r##"
const left = (css) => document.querySelector(css).getBoundingClientRect().left;
const [brand, link] = [left(".brand"), left("nav a") + parseFloat(getComputedStyle(document.querySelector("nav a")).paddingLeft)];
return [link, left("h1"), left("footer")].filter((it) => Math.abs(it - brand) > 1).join(" ");
"##;

const OPEN: &str = "document.querySelectorAll('details.confirm').forEach((it) => { it.open = true; })";

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
    let href = async |page: &str, css: &str| {
        stage.open(page).await;
        let href =
            browser.run(&format!("return document.querySelector(\"{css}\").getAttribute('href')")).await;
        href.as_str().unwrap().to_owned()
    };
    let holder = href("/console/entity?resource_type=Posts&entity_id=42", "#entity table a").await;
    let job = href("/console/jobs?state=dead", "#jobs tbody a[href^='/console/jobs/0']").await;
    for (name, path) in PAGES {
        let path = match name {
            "holder" => &holder,
            "job" => &job,
            _ => path,
        };
        for is_dark in [false, true] {
            for width in WIDTHS {
                browser.look(width, is_dark).await;
                stage.open(path).await;
                match name {
                    "explain" => explain(&stage).await,
                    "overview" => browser.sees("events taken").await,
                    "invalidate" => {
                        browser.click("form.row button").await;
                        browser.sees("Remove them from every cache").await;
                    }
                    _ => {}
                }
                assert_eq!(browser.run(STICKING_OUT).await, "", "{name} at {width}");
                assert_eq!(browser.run(NAMELESS).await, "", "{name}");
                if width == 1440 && !name.starts_with("no-such") {
                    assert_eq!(browser.run(NOT_ALIGNED).await, "", "{name}");
                }
                let theme = if is_dark { "dark" } else { "light" };
                browser.picture(&folder().join(format!("{name}-{width}-{theme}.png"))).await;
                browser.run(OPEN).await;
                assert_eq!(
                    browser.run(STICKING_OUT).await,
                    "",
                    "{name} at {width}, with what asks once more"
                );
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
    for is_dark in [false, true] {
        for width in WIDTHS {
            browser.look(width, is_dark).await;
            stage.open("/").await;
            browser.sees("API key").await;
            assert_eq!(browser.run(STICKING_OUT).await, "", "at {width}");
            assert_eq!(browser.run(NAMELESS).await, "");
            let theme = if is_dark { "dark" } else { "light" };
            browser.picture(&folder().join(format!("sign-in-{width}-{theme}.png"))).await;
        }
    }
}

#[tokio::test]
async fn on_a_phone_a_row_says_what_each_of_its_cells_is_and_can_be_acted_on() {
    let stage = Stage::signed_in().await;
    let browser = &stage.browser;
    stage.let_die(&["1"]).await;
    browser.look(360, false).await;
    stage.open("/console/jobs?state=dead").await;
    let labels = "return [...document.querySelectorAll('#jobs .scroll:last-of-type tbody td')].map((it) => it.dataset.label).join()";
    assert_eq!(browser.run(labels).await, "Job,State,About,Priority,Failed,Last error,Accepted,Actions");
    let label = "return getComputedStyle(document.querySelector('#jobs td[data-label=\"Last error\"]'), '::before').content";
    assert_eq!(browser.run(label).await, "\"Last error\"");
    browser.click("form[action='/console/jobs/retry'] button").await;
    browser.sees("Its work is done").await;
}
