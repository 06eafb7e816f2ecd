//! A real browser: Debian's chromium, headless, driven by its chromedriver. The protocol (WebDriver) is a handful of JSON requests,
//! so there is no crate for it here: the one that is kept well brings forty others.

use std::{path::Path, process::Command, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, poll};

/// How an element is named in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// What chromium is started with: no first run, and nothing asked of the internet.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser with one window. It ends with its test.
pub(crate) struct Browser {
    client: Client,
    session: String,
    _driver: Process,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let driver = Process::start("chromedriver", Command::new("chromedriver").arg("--port=0"));
        let port = poll("chromedriver listens", async || {
            let output = driver.output();
            let (_, port) = output.split_once("started successfully on port ")?;
            Some(port.split_once('.')?.0.to_owned())
        })
        .await;
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let url = format!("http://127.0.0.1:{port}/session");
        let begun: Value = client.post(&url).json(&capabilities).send().await.unwrap().json().await.unwrap();
        let id = begun["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}"));
        Self { client, session: format!("{url}/{id}"), _driver: driver, _profile: profile }
    }

    async fn ask(&self, command: &str, parameters: &Value) -> Result<Value, Value> {
        let answer =
            self.client.post(format!("{}/{command}", self.session)).json(parameters).send().await.unwrap();
        let is_success = answer.status().is_success();
        let mut body: Value = answer.json().await.unwrap();
        if is_success { Ok(body["value"].take()) } else { Err(body) }
    }

    async fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.ask(command, parameters).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub(crate) async fn open(&self, url: &str) {
        self.tell("url", &json!({ "url": url })).await;
    }

    /// Runs a script, and returns what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.tell("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    pub(crate) async fn address(&self) -> String {
        self.run("return location.pathname + location.search").await.as_str().unwrap().to_owned()
    }

    /// The text that can be seen.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body ? document.body.innerText : ''").await.as_str().unwrap().to_owned()
    }

    /// Waits until a text can be seen.
    pub(crate) async fn sees(&self, text: &str) {
        poll(&format!("{text} can be seen"), async || {
            let script = json!({ "script": "return document.body.innerText", "args": [] });
            self.ask("execute/sync", &script).await.ok()?.as_str()?.contains(text).then_some(())
        })
        .await;
    }

    /// How many elements there are.
    pub(crate) async fn count(&self, css: &str) -> u64 {
        let css = Value::from(css);
        self.run(&format!("return document.querySelectorAll({css}).length")).await.as_u64().unwrap()
    }

    /// Waits for an element.
    async fn find(&self, css: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": css });
        let found = poll(&format!("there is {css}"), async || self.ask("element", &wanted).await.ok()).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on an element. One that the page has replaced meanwhile is looked for again.
    pub(crate) async fn click(&self, css: &str) {
        poll(&format!("{css} can be clicked"), async || {
            let element = self.find(css).await;
            self.ask(&format!("element/{element}/click"), &json!({})).await.ok()
        })
        .await;
    }

    /// Types into a field, in the place of what stood there.
    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        self.tell(&format!("element/{element}/clear"), &json!({})).await;
        self.tell(&format!("element/{element}/value"), &json!({ "text": text })).await;
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|action| json!({ "type": action, "value": key })))
            .collect();
        self.tell("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }))
            .await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.tell("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// Has the window so wide, and light or dark.
    pub(crate) async fn look(&self, width: u32, is_dark: bool) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// A picture of the whole page, as PNG.
    pub(crate) async fn picture(&self, file: &Path) {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", parameters).await;
        let png = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            picture["data"].as_str().unwrap(),
        );
        std::fs::write(file, png.unwrap()).unwrap();
    }

    /// What the browser has complained of, as of something that the policy does not allow; not that an answer was no success.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.tell("se/log", &json!({ "type": "browser" })).await;
        let severe = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        let texts = severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned());
        texts.filter(|text| !text.contains("Failed to load resource: the server responded")).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // chromium ends with its session and not with its driver. By a client of its own, for a connection of the test's
        // would wait for the test's runtime.
        let session = self.session.clone();
        let ending = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
            runtime.block_on(async { client.delete(session).send().await }).ok();
        });
        ending.join().ok();
    }
}
