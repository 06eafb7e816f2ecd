//! A running decache, and what a client and an operator ask of it.

use std::process::ExitStatus;

use reqwest::{Client, Response};
use serde_json::Value;

use crate::{
    process::{Process, poll},
    setup::Setup,
};

/// decache as a process, at the address that it got.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) url: String,
    client: Client,
}

/// What `/readyz` says.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) status: u16,
    pub(crate) word: String,
    /// `component: detail`, each.
    pub(crate) reasons: Vec<String>,
}

impl Readiness {
    pub(crate) fn names(&self, component: &str) -> bool {
        self.reasons.iter().any(|reason| reason.starts_with(&format!("{component}: ")))
    }
}

impl Service {
    /// Starts it and waits until it listens. It may still replay its journal.
    pub(crate) async fn start(setup: &Setup) -> Self {
        Self::of(Process::start("decache", &mut setup.command())).await
    }

    /// A decache that was just started.
    pub(crate) async fn of(mut process: Process) -> Self {
        let url = process.listening().await;
        Self { process, url, client: client() }
    }

    /// Starts it and waits until it takes events.
    pub(crate) async fn ready(setup: &Setup) -> Self {
        let service = Self::start(setup).await;
        service.wait_for("events are taken", |readiness| readiness.status == 200).await;
        service
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        response.json().await.unwrap()
    }

    pub(crate) async fn post(&self, events: &Value) -> Response {
        self.client.post(format!("{}/v1/events", self.url)).json(events).send().await.unwrap()
    }

    /// Posts events and waits until their jobs have ended.
    pub(crate) async fn post_and_wait(&self, events: &Value) -> Response {
        let request = self.client.post(format!("{}/v1/events", self.url)).header("prefer", "wait=60");
        request.json(events).send().await.unwrap()
    }

    /// Revokes everybody who holds a post, and waits until it is done.
    pub(crate) async fn revoke_holders(&self, post: &str) {
        let holders = self.get(&format!("/v1/entities/Posts/{post}/holders")).await;
        for holder in holders["items"].as_array().unwrap() {
            let url = format!("{}/v1/holders/{}", self.url, text(&holder["holder"]));
            let answer = self.client.delete(url).header("prefer", "wait=60").send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }

    pub(crate) async fn readiness(&self) -> Readiness {
        let response = self.client.get(format!("{}/readyz", self.url)).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        let reasons = body["reasons"].as_array().cloned().unwrap_or_default();
        let reason = |it: &Value| format!("{}: {}", text(&it["component"]), text(&it["detail"]));
        Readiness { status, word: text(&body["status"]), reasons: reasons.iter().map(reason).collect() }
    }

    /// Waits until readiness is as wanted, and returns it.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl Fn(&Readiness) -> bool) -> Readiness {
        poll(what, async || Some(self.readiness().await).filter(&wanted)).await
    }

    /// Waits until all is well and nothing is left to do.
    pub(crate) async fn wait_until_done(&self) {
        self.wait_for("all is well", |readiness| readiness.word == "ok").await;
        self.wait_until_empty().await;
    }

    /// Waits until nothing is left to do, for as long as what is left becomes less.
    pub(crate) async fn wait_until_empty(&self) {
        let mut left = self.left().await;
        while left > 0 {
            left = poll("the queue becomes shorter", async || {
                let now = self.left().await;
                (now < left).then_some(now)
            })
            .await;
        }
    }

    /// Jobs that wait or run.
    async fn left(&self) -> u64 {
        let queue = self.get("/v1/queue").await;
        queue["queued"].as_u64().unwrap() + queue["running"].as_u64().unwrap()
    }

    /// The value of a metric, given with its labels; 0 where it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let response = self.client.get(format!("{}/metrics", self.url)).send().await.unwrap();
        let text = response.text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_default()
    }

    /// A number that a line of the log gives: the first such line that there is.
    pub(crate) fn logged(&self, line: &str, field: &str) -> Option<usize> {
        let output = self.process.output();
        let found = output.lines().find(|candidate| candidate.contains(line))?;
        let (_, value) = found.split_once(&format!("{field}="))?;
        value.split_whitespace().next()?.parse().ok()
    }

    /// Ends it by SIGTERM.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().await
    }

    /// A line of `/proc/<pid>/status`, in KiB.
    pub(crate) fn memory(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches(|char: char| !char.is_ascii_digit()).parse().unwrap()
    }
}

pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
