//! Answers against `openapi.yaml`, as far as they come without a running service.

#[path = "../../../tests/support/openapi.rs"]
mod openapi;

use openapi::Contract;
use serde_json::json;

use super::*;
use crate::{
    clock::Timestamp,
    event::AccessToken,
    http::{
        jobs::JobAnswer,
        outcome::{Source, entries},
    },
    ingest::QueuedJob,
    job::{Cause, JobId, JobType},
    queue::{JobState, JobView, Tally},
};

#[tokio::test]
async fn answers_are_what_the_contract_says() {
    let (app, contract) = (App::new(), Contract::load());
    app.record("Posts", "42", "alice").await;
    let variant = Some("/posts/42?page=2&access_token={access_token}");
    app.index.record(&Entity::new("Posts", "42").unwrap(), "bob", variant).await;
    app.health.report("store", Some("timed out".to_owned()));
    let entity = "/v1/entities/{resource_type}/{entity_id}";
    for (template, url) in [
        ("/v1/entities", "/v1/entities?resource_type=Posts&entity_id=42"),
        ("/v1/entities", "/v1/entities"),
        (entity, "/v1/entities/Posts/42"),
        ("/v1/entities/{resource_type}/{entity_id}/holders", "/v1/entities/Posts/42/holders"),
        ("/v1/holders", "/v1/holders?resource_type=Posts&entity_id=42&limit=1"),
        ("/v1/holders", "/v1/holders?resource_type=Posts&entity_id=42&cursor=x"),
        ("/v1/jobs", "/v1/jobs"),
        ("/v1/jobs", "/v1/jobs?state=x"),
        ("/v1/jobs/{id}", "/v1/jobs/x"),
        ("/v1/queue", "/v1/queue"),
        ("/v1/reconciliations/current", "/v1/reconciliations/current"),
        ("/metrics", "/metrics"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
        ("/healthz", "/healthz"),
        ("/openapi.yaml", "/openapi.yaml"),
        ("/docs", "/docs"),
        ("/docs/{file}", "/docs/page.js"),
        ("/docs/{file}", "/docs/nothing"),
        ("/nowhere", "/nowhere"),
        ("/v1/events", "/v1/events"),
    ] {
        app.get(url).await.keeps(&contract, "GET", template);
    }
    let entities = "/v1/holders/{holder}/entities";
    let alice = app.index.lookup.holder_id(&AccessToken::new("tok-alice"));
    for url in [
        format!("/v1/holders/{alice}/entities"),
        format!("/v1/holders/{alice}/entities?limit=0"),
        "/v1/holders/alice/entities".to_owned(),
    ] {
        app.get(&url).await.keeps(&contract, "GET", entities);
    }
    let revoke = async || {
        let request = Request::delete(format!("/v1/holders/{alice}")).body(Body::empty()).unwrap();
        app.send(request).await.keeps(&contract, "DELETE", "/v1/holders/{holder}");
    };
    revoke().await;
    let some = r#"{"entities":[{"resource_type":"Posts","entity_id":42}],"dry_run":true}"#;
    let none = r#"{"entities":[{"resource_type":"Posts","entity_id":""}]}"#;
    for (url, body) in [
        ("/v1/events", "{"),
        ("/v1/events/explain", "{"),
        (
            "/v1/events/explain",
            r#"[{}, {"action_type":"Read","resource_type":"Posts","entity_id":42,"access_token":"tok-alice"}]"#,
        ),
        ("/v1/events/explain", r#"{"action_type":"Update","resource_type":"Posts","entity_id":42}"#),
        ("/v1/invalidations", "{"),
        ("/v1/invalidations", some),
        ("/v1/invalidations", none),
        ("/v1/reconciliations", "{"),
        ("/v1/reconciliations", r#"{"untracked":"evict"}"#),
        ("/v1/reconciliations", r#"{"dry_run":true}"#),
        ("/v1/holders/lookup", "{"),
        ("/v1/holders/lookup", r#"{"access_token":"tok-alice"}"#),
    ] {
        app.post(url, body).await.keeps(&contract, "POST", url);
    }
    let current = "/v1/reconciliations/current";
    app.get(current).await.keeps(&contract, "GET", current);
    app.index.relations.forget_holders();
    revoke().await;
    app.get(&format!("/v1/holders/{alice}/entities")).await.keeps(&contract, "GET", entities);
}

impl Answer {
    #[track_caller]
    fn keeps(&self, contract: &Contract, method: &str, template: &str) {
        let content_type = self.headers[header::CONTENT_TYPE].to_str().unwrap();
        let body = match content_type.contains("json") {
            true => serde_json::from_str(&self.text).unwrap(),
            false => Value::String(self.text.clone()),
        };
        contract.check(method, template, self.status.as_u16(), content_type, &body).unwrap();
    }
}

fn view(id: JobId, state: JobState, superseded_by: Option<JobId>) -> JobView {
    JobView {
        id,
        job_type: JobType::Invalidate,
        topic: "pp-cache".into(),
        resource_type: "Posts".into(),
        entity_id: "42".into(),
        state,
        priority: 0,
        attempts: 1,
        last_error: Some("timed out".into()),
        cause: Some(Cause::StoreUnavailable),
        accepted_at: Timestamp(1),
        finished_at: Some(Timestamp(2)),
        superseded_by,
        tally: Some(Tally { matched: 1, deleted: 1, absent: 0, failed: 0 }),
    }
}

#[test]
fn jobs_are_shown_as_the_contract_says() {
    let (contract, [first, second]) = (Contract::load(), [1, 2].map(|ms| JobId::new(Timestamp(ms))));
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let views = [view(first, JobState::Superseded, Some(second)), view(second, JobState::Done, None)];
    let job = serde_json::to_value(JobAnswer::from(views[0].clone())).unwrap();
    contract.validate(&schema("Job"), &job).unwrap();
    let queued = |event_id: Option<&str>| {
        let event_id = event_id.map(Into::into);
        vec![QueuedJob { event: 0, event_id, id: first, supersedes: Some(second) }]
    };
    for ended in [None, Some(&views[..])] {
        let of_event =
            serde_json::to_value(entries(queued(Some("e-1")), Source::Event, ended, &queue())).unwrap();
        contract.validate(&schema("EventJob"), &of_event[0]).unwrap();
        let of_entity = serde_json::to_value(entries(queued(None), Source::Entity, ended, &queue())).unwrap();
        contract.validate(&schema("EntityJob"), &of_entity[0]).unwrap();
        assert_eq!(of_entity[0].get("outcome").is_some(), ended.is_some());
        let holder = |_| Source::Holder("0a".repeat(16));
        let of_holder = serde_json::to_value(entries(queued(None), holder, ended, &queue())).unwrap();
        contract.validate(&schema("HolderJob"), &of_holder[0]).unwrap();
    }
}
