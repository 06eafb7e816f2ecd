//! What the read routes show.

use serde_json::json;

use super::*;

#[tokio::test]
async fn holders_are_shown_page_by_page_without_a_token() {
    let app = App::new();
    for n in 0..5 {
        app.record("Posts", "42", &format!("user-{n}")).await;
    }
    let (mut users, mut url) = (Vec::new(), "/v1/entities/Posts/42/holders?limit=2".to_owned());
    loop {
        let answer = app.get(&url).await;
        assert!(!answer.text.contains("tok-"));
        let page = answer.json();
        users.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["user_id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => url = format!("/v1/holders?resource_type=Posts&entity_id=42&limit=2&cursor={next}"),
            None => break,
        }
    }
    users.sort();
    assert_eq!(users, ["user-0", "user-1", "user-2", "user-3", "user-4"]);
}

#[tokio::test]
async fn a_token_looks_up_the_holder_that_holders_show() {
    let app = App::new();
    app.record("Posts", "42", "alice").await;
    let shown = app.get("/v1/entities/Posts/42/holders").await.json();
    let found = app.post("/v1/holders/lookup", r#"{"access_token":"tok-alice"}"#).await.json();
    assert_eq!(shown["items"][0]["holder"], found["holder"]);
    assert_eq!(shown["items"][0]["expires_at"], "1970-01-01T00:00:01.000Z");
    assert!(shown["items"][0].get("cache_key").is_none());
}

#[tokio::test]
async fn what_a_holder_holds_is_shown_page_by_page_without_a_token() {
    let app = App::new();
    let variant = Some("/posts/0?page=2&access_token={access_token}");
    app.index.record(&Entity::new("Posts", "0").unwrap(), "alice", variant).await;
    for id in 0..5 {
        app.record("Posts", &id.to_string(), "alice").await;
        app.record("Posts", &id.to_string(), "bob").await;
    }
    let found = app.post("/v1/holders/lookup", r#"{"access_token":"tok-alice"}"#).await.json();
    let base = format!("/v1/holders/{}/entities?limit=2", found["holder"].as_str().unwrap());
    let (mut shown, mut url) = (Vec::new(), base.clone());
    loop {
        let answer = app.get(&url).await;
        assert!(!answer.text.contains("tok-"));
        let page = answer.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        shown.extend(items.iter().map(|item| {
            assert_eq!(
                (&item["resource_type"], &item["expires_at"]),
                (&json!("Posts"), &json!("1970-01-01T00:00:01.000Z"))
            );
            (item["entity_id"].as_str().unwrap().to_owned(), item["cache_key"].as_str().map(str::to_owned))
        }));
        match page["next"].as_str() {
            Some(next) => url = format!("{base}&cursor={next}"),
            None => break,
        }
    }
    shown.sort();
    let mut all: Vec<_> = (0..5).map(|id| (id.to_string(), None)).collect();
    all.insert(1, ("0".to_owned(), variant.map(str::to_owned)));
    assert_eq!(shown, all);
}

#[tokio::test]
async fn a_cursor_of_another_holder_or_of_an_entity_is_refused() {
    let app = App::new();
    for user in ["alice", "bob"] {
        for id in ["1", "2", "3"] {
            app.record("Posts", id, user).await;
        }
    }
    let page = |user: &str| {
        let holder = app.index.lookup.holder_id(&crate::event::AccessToken::new(format!("tok-{user}")));
        format!("/v1/holders/{holder}/entities?limit=1")
    };
    let next = async |url: &str| app.get(url).await.json()["next"].as_str().unwrap().to_owned();
    let of_alice = next(&page("alice")).await;
    let of_entity = next("/v1/entities/Posts/1/holders?limit=1").await;
    let altered = format!("{}00{}", &of_alice[..8], &of_alice[10..]);
    for cursor in [of_alice.as_str(), &of_entity, &altered, "x", ""] {
        let answer = app.get(&format!("{}&cursor={cursor}", page("bob"))).await;
        assert_eq!(answer.problem(), "invalid-cursor", "{cursor}");
    }
    assert_eq!(app.get(&format!("{}&cursor={of_alice}", page("alice"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_holder_id_is_refused_and_not_repeated() {
    let app = App::new();
    for id in ["tok-alice", "0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A", "0a0a", "%FF", &"0a".repeat(17)] {
        for (method, url) in [
            (Method::GET, format!("/v1/holders/{id}/entities")),
            (Method::DELETE, format!("/v1/holders/{id}")),
        ] {
            let request = Request::builder().method(method).uri(url).body(Body::empty()).unwrap();
            let answer = app.send(request).await;
            assert_eq!(answer.problem(), "invalid-parameter", "{id}");
            assert!(!answer.text.contains(id), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn an_index_that_is_not_by_holder_says_so() {
    let app = App::new();
    app.index.relations.forget_holders();
    let holder = "0a".repeat(16);
    let revoke = Request::delete(format!("/v1/holders/{holder}")).body(Body::empty()).unwrap();
    for answer in [app.get(&format!("/v1/holders/{holder}/entities")).await, app.send(revoke).await] {
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::NOT_IMPLEMENTED, "not-by-holder")
        );
        assert!(answer.detail().contains("store.by_holder"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_valid_is_a_problem() {
    let app = App::new();
    for (url, problem) in [
        ("/v1/entities/Posts/42/holders?limit=0", "invalid-parameter"),
        ("/v1/entities/Posts/42/holders?limit=1001", "invalid-parameter"),
        ("/v1/entities/Posts/42/holders?limt=1", "invalid-parameter"),
        ("/v1/entities/Posts/42/holders?cursor=ours", "invalid-cursor"),
        ("/v1/entities/Posts/42/holders?cursor=", "invalid-cursor"),
        ("/v1/entities/Posts/42?holders=1", "invalid-parameter"),
        ("/v1/jobs?state=lost", "invalid-parameter"),
        ("/v1/jobs?state=dead&reason=bad_luck", "invalid-parameter"),
        ("/v1/jobs?state=done&topic=pp-cache", "invalid-parameter"),
        ("/v1/jobs?state=dead&state=done", "invalid-parameter"),
        ("/v1/jobs?cursor=ours", "invalid-cursor"),
        ("/v1/jobs?limit=all", "invalid-parameter"),
    ] {
        let answer = app.get(url).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::BAD_REQUEST, problem), "{url}");
    }
}

#[tokio::test]
async fn a_job_that_is_not_there_is_a_problem() {
    let app = App::new();
    for id in ["019ab0b8-c9c0-7d0e-a9f5-2b8a8f0d7a11", "nobody", "%FF"] {
        let answer = app.get(&format!("/v1/jobs/{id}")).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::NOT_FOUND, "unknown-job"),
            "{id}"
        );
    }
}

#[tokio::test]
async fn an_index_that_is_away_is_a_problem_for_reads_and_not_for_liveness() {
    let app = App::new();
    app.index.relations.go_away();
    let body = r#"{"entities":[{"resource_type":"Posts","entity_id":42}],"dry_run":true}"#;
    for answer in [
        app.get("/v1/entities/Posts/42").await,
        app.get("/v1/entities/Posts/42/holders").await,
        app.post("/v1/invalidations", body).await,
    ] {
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable")
        );
        assert_eq!(answer.headers[header::RETRY_AFTER], "1");
        assert!(
            !answer.text.contains("refused"),
            "the store's address and state are not the client's: {}",
            answer.text
        );
    }
    for url in ["/livez", "/readyz", "/v1/queue"] {
        assert_eq!(app.get(url).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn readiness_is_refused_only_while_events_are_not_taken() {
    let app = App::new();
    assert_eq!(app.get("/readyz").await.json(), json!({ "status": "ok", "journal": "none" }));
    app.health.report("store", Some("timed out".to_owned()));
    let reasons = json!([{ "component": "store", "detail": "timed out" }]);
    let degraded = json!({ "status": "degraded", "journal": "none", "reasons": reasons });
    assert_eq!(app.get("/readyz").await.json(), degraded);
    app.health.stopping();
    for url in ["/readyz", "/healthz"] {
        let answer = app.get(url).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text.contains(r#""status":"unavailable""#), "{}", answer.text);
    }
    assert_eq!(app.get("/livez").await.json(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn the_contract_and_the_metrics_are_shown_as_what_they_are() {
    let app = App::new();
    let contract = app.get("/openapi.yaml").await;
    assert_eq!(contract.headers[header::CONTENT_TYPE], "application/yaml");
    assert!(contract.text.starts_with("openapi: 3.1"));
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(metrics.text, "# EOF\n");
}
