//! A running decache, and what an API and an operator ask of it.

use std::{
    process::{Command, ExitStatus},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::{Client, Method, header};
use serde_json::{Value, json};

mod answer;
mod raw;
mod setup;
mod spill;

pub(crate) use answer::Answer;
pub(crate) use raw::until_closed;
pub(crate) use setup::{Setup, copy_key};

use crate::{
    openapi::Contract,
    process::{Process, poll},
};

/// Longer than any work takes on a loaded machine; only what waits for ever waits this long.
const PATIENCE: &str = "wait=60";
const JSON: (&str, &str) = ("content-type", "application/json");

/// decache as a process. Every answer is held against the contract, and when a test is over, nothing that the process
/// has said or stored may hold an access token: every token in these tests begins with [`spill::TOKEN`].
pub(crate) struct TestApp {
    pub(crate) process: Process,
    /// Where it listens, as `http://127.0.0.1:12345`.
    pub(crate) url: String,
    pub(crate) setup: Setup,
    key: Option<&'static str>,
    client: Client,
    contract: Contract,
}

impl TestApp {
    /// Starts decache and waits until it takes events.
    pub(crate) async fn start(setup: Setup) -> Self {
        let mut process = Process::start("decache", &mut setup.command(&[]));
        let url = process.listening().await;
        let client = Client::builder().no_proxy().build().unwrap();
        let app = Self { process, url, setup, key: None, client, contract: Contract::load() };
        app.replayed().await;
        app
    }

    /// Asks on connections of their own, which are closed at once: what the tests count are the others.
    async fn replayed(&self) {
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let url = format!("{}/readyz", self.url);
        let replayed = async || client.get(&url).send().await.ok()?.status().is_success().then_some(());
        poll("the journal is replayed", replayed).await;
    }

    /// One with the defaults of [`Setup::embedded`].
    pub(crate) async fn embedded() -> Self {
        Self::start(Setup::embedded()).await
    }

    /// Asks with this API key from now on.
    pub(crate) fn use_key(&mut self, key: Option<&'static str>) {
        self.key = key;
    }

    /// Stops it by SIGTERM, and starts it again with the same configuration and data.
    pub(crate) async fn restart(&mut self) {
        let status = self.process.terminate().await;
        assert!(status.success(), "{status}");
        self.start_again().await;
    }

    /// Starts it again after it has ended.
    pub(crate) async fn start_again(&mut self) {
        spill::assert_none("the output", self.process.output().as_bytes());
        self.process = Process::start("decache", &mut self.setup.command(&[]));
        self.url = self.process.listening().await;
        self.replayed().await;
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.process.ended().await
    }

    /// Posts events, or whatever stands in their place.
    pub(crate) async fn post_events(&self, events: &Value) -> Answer {
        self.post("/v1/events", &[], events).await
    }

    /// Posts events and waits until their jobs have ended.
    pub(crate) async fn post_events_and_wait(&self, events: &Value) -> Answer {
        self.post("/v1/events", &[("prefer", PATIENCE)], events).await
    }

    /// Posts events that all lead to jobs, and waits until these are done.
    #[track_caller]
    pub(crate) fn done(&self, events: &Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.post_events_and_wait(events).await.success(200);
            let outcomes = answer["jobs"].as_array().unwrap().iter().map(|job| &job["outcome"]);
            assert!(outcomes.clone().all(|it| it == "done") && outcomes.count() > 0, "{caller}: {answer}");
            answer
        }
    }

    /// Asks for invalidations.
    pub(crate) async fn invalidate(&self, request: &Value) -> Answer {
        self.post("/v1/invalidations", &[], request).await
    }

    /// Asks for invalidations and waits until they have ended.
    pub(crate) async fn invalidate_and_wait(&self, request: &Value) -> Answer {
        self.post("/v1/invalidations", &[("prefer", PATIENCE)], request).await
    }

    /// The holder id of a token.
    pub(crate) async fn look_up(&self, token: &str) -> Answer {
        self.post("/v1/holders/lookup", &[], &json!({ "access_token": token })).await
    }

    /// The holder id of a user's token.
    pub(crate) async fn holder_of(&self, user: &str) -> String {
        let answer = self.look_up(&token(user)).await.success(200);
        answer["holder"].as_str().unwrap().to_owned()
    }

    /// Revokes a user and waits until that has ended.
    pub(crate) async fn revoke_and_wait(&self, user: &str) -> Value {
        let url = format!("/v1/holders/{}", self.holder_of(user).await);
        let answer = self.send(Method::DELETE, &url, &[("prefer", PATIENCE)], "").await;
        assert_eq!(answer.header("preference-applied"), "wait=60");
        answer.success(200)
    }

    /// A page of what a user holds; `paging` as `?limit=2`.
    pub(crate) async fn held_by(&self, user: &str, paging: &str) -> Answer {
        self.get(&format!("/v1/holders/{}/entities{paging}", self.holder_of(user).await)).await
    }

    /// An entity at a glance, in the path form.
    pub(crate) async fn entity(&self, resource_type: &str, id: &str) -> Answer {
        self.get(&format!("/v1/entities/{resource_type}/{}", encoded(id))).await
    }

    /// An entity at a glance, in the query form.
    pub(crate) async fn entity_by_query(&self, resource_type: &str, id: &str) -> Answer {
        self.get(&format!("/v1/entities?resource_type={resource_type}&entity_id={}", encoded(id))).await
    }

    /// The first page of an entity's holders, in the path form.
    pub(crate) async fn holders(&self, resource_type: &str, id: &str) -> Answer {
        self.get(&format!("/v1/entities/{resource_type}/{}/holders", encoded(id))).await
    }

    /// A page of an entity's holders, in the query form; `paging` as `&limit=2`.
    pub(crate) async fn holders_by_query(&self, resource_type: &str, id: &str, paging: &str) -> Answer {
        self.get(&format!("/v1/holders?resource_type={resource_type}&entity_id={}{paging}", encoded(id)))
            .await
    }

    /// How many relationships a post has.
    pub(crate) async fn count(&self, post: &str) -> u64 {
        self.entity_by_query("Posts", post).await.success(200)["holders"].as_u64().unwrap()
    }

    /// A page of jobs; `query` as `?state=dead`.
    pub(crate) async fn jobs(&self, query: &str) -> Answer {
        self.get(&format!("/v1/jobs{query}")).await
    }

    /// A job.
    pub(crate) async fn job(&self, id: &str) -> Answer {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// The job, once it is as it should be.
    pub(crate) async fn job_once(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        poll(what, async || Some(self.job(id).await.success(200)).filter(&is)).await
    }

    /// The queue at a glance.
    pub(crate) async fn queue(&self) -> Value {
        self.get("/v1/queue").await.success(200)
    }

    /// A metric's value, by its name and labels as they stand; zero where there is none.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until so many jobs have been counted, by their labels; whoever waits for a job is told before.
    pub(crate) async fn counted_jobs(&self, labels: &str, count: f64) {
        let name = format!("decache_jobs_total{{{labels}}}");
        poll(&format!("{name} {count}"), async || (self.metric(&name).await == count).then_some(())).await;
    }

    /// Waits until it has said something.
    pub(crate) async fn said(&self, what: &str) {
        poll(what, async || self.process.output().contains(what).then_some(())).await;
    }

    /// Whether it takes events, and what is wrong meanwhile.
    pub(crate) async fn readiness(&self) -> Value {
        let answer = self.get("/readyz").await;
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        answer.body
    }

    /// Waits until readiness names exactly these components as being in trouble. Returns the reasons.
    pub(crate) async fn in_trouble(&self, components: &[&str]) -> Value {
        poll(&format!("in trouble: {components:?}"), async || {
            let readiness = self.readiness().await;
            let reasons = readiness["reasons"].as_array().cloned().unwrap_or_default();
            let mut named: Vec<_> = reasons.iter().map(|it| it["component"].as_str().unwrap()).collect();
            named.sort_unstable();
            (named == components).then(|| reasons.clone().into())
        })
        .await
    }

    /// A request without a body.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// A request with a JSON body.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send(Method::POST, path, &[&[JSON], headers].concat(), body.to_string()).await
    }

    /// Any request. Its answer is held against the contract.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let answer = Answer::of(request.body(body).send().await.expect("decache answers")).await;
        answer.keep(&self.contract, method.as_str(), path);
        answer
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        spill::assert_nowhere(self);
    }
}

/// Runs a command of decache to its end. Returns its exit code, standard output and standard error.
pub(crate) fn run(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    use std::{io::Write, process::Stdio};
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // Fails where the command ends without reading, which is its right.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A user's access token.
pub(crate) fn token(user: &str) -> String {
    format!("{}{user}", spill::TOKEN)
}

/// A user reads a post, now.
pub(crate) fn read(post: impl Into<Value>, user: &str) -> Value {
    json!({
        "action_type": "Read", "resource_type": "Posts", "entity_id": post.into(),
        "access_token": token(user), "user_id": user, "occurred_at": now(),
    })
}

/// Somebody changes a post; it happens when the event arrives.
pub(crate) fn update(post: impl Into<Value>) -> Value {
    json!({ "action_type": "Update", "resource_type": "Posts", "entity_id": post.into() })
}

/// The event with another value for a field, or with one more field.
pub(crate) fn with(mut event: Value, field: &str, value: impl Into<Value>) -> Value {
    event[field] = value.into();
    event
}

/// The event without a field.
pub(crate) fn without(mut event: Value, field: &str) -> Value {
    event.as_object_mut().unwrap().remove(field);
    event
}

/// The API's clock, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "an API's clock, which is not decache's")]
pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The API's clock, as text.
pub(crate) fn now_rfc3339() -> String {
    decache::clock::Timestamp(now()).to_string()
}

/// So many seconds ago, in milliseconds.
pub(crate) fn ago(seconds: u64) -> u64 {
    now() - u64::try_from(Duration::from_secs(seconds).as_millis()).unwrap()
}

/// An id as it stands in a URL.
pub(crate) fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}
