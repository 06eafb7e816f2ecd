//! `PURGE`, for those who know it from proxies.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp, encoded, read};

impl TestApp {
    async fn purge(&self, url: &str) -> Answer {
        self.send(Method::from_bytes(b"PURGE").unwrap(), url, &[("prefer", "wait=60")], "").await
    }
}

#[tokio::test]
async fn a_purge_is_an_invalidation_of_one_entity_in_both_forms_of_its_url() {
    let app = TestApp::embedded().await;
    let odd = "a/b";
    app.done(&json!([read(1, "alice"), read(1, "bob"), read(odd, "alice"), read(2, "alice")])).await;
    let purged = app.purge("/v1/entities/Posts/1").await.success(200);
    assert_eq!((&purged["matched"], &purged["jobs"][0]["outcome"]), (&json!(2), &json!("done")), "{purged}");
    let url = format!("/v1/entities?resource_type=Posts&entity_id={}", encoded(odd));
    assert_eq!(app.purge(&url).await.success(200)["matched"], 1);
    assert_eq!(app.entity("Posts", "2").await.success(200)["holders"], 1, "what was not named stays");
    assert_eq!(app.purge("/v1/entities/Nothings/1").await.problem().0, "invalid-entity");
    assert_eq!(app.purge("/v1/entities/Posts/1?limit=1").await.problem().0, "invalid-parameter");
    assert_eq!(app.purge("/v1/queue").await.problem().0, "method-not-allowed");
}
