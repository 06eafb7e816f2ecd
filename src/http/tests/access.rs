//! Who may ask what, and what every answer has around it.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::config::auth::{ApiKey, KeyHash, Scope};

fn keys() -> Auth {
    let key = |scope: Scope| ApiKey {
        name: scope.as_str().into(),
        hash: KeyHash::of(&format!("key-for-{}", scope.as_str())),
        scopes: [scope].into(),
        rate: None,
    };
    Auth::new(Scope::ALL.map(key).to_vec())
}

/// A request to a route of the table, without a body.
fn request(method: Method, template: &str, key: Option<&str>) -> Request<Body> {
    let path =
        template.replace("{resource_type}", "Posts").replace("{entity_id}", "42").replace("{id}", "nobody");
    let path = path.replace("{holder}", &"0a".repeat(16));
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn every_route_opens_to_the_one_scope_it_needs() {
    let app = App::with(|service| service.auth = keys());
    for (method, path, access) in routes() {
        let status = async |key: Option<&str>| app.status(request(method.clone(), path, key)).await;
        let lets_in =
            |status: StatusCode| status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN;
        let Access::Needs(needed) = access else {
            assert!(lets_in(status(None).await), "{path} is open");
            continue;
        };
        assert_eq!(status(None).await, StatusCode::UNAUTHORIZED, "{path} without a key");
        assert_eq!(
            status(Some("key-of-nobody")).await,
            StatusCode::UNAUTHORIZED,
            "{path} with an unknown key"
        );
        for scope in Scope::ALL {
            let status = status(Some(&format!("key-for-{}", scope.as_str()))).await;
            match scope == needed {
                true => assert!(lets_in(status), "{path} with {scope:?}: {status}"),
                false => assert_eq!(status, StatusCode::FORBIDDEN, "{path} with {scope:?}"),
            }
        }
    }
}

#[tokio::test]
async fn without_configured_keys_every_route_is_open() {
    let app = App::new();
    for (method, path, _) in routes() {
        let status = app.status(request(method, path, None)).await;
        assert!(status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_refused_client_is_told_how_to_come_in() {
    let app = App::with(|service| service.auth = keys());
    let missing = app.get("/v1/queue").await;
    assert_eq!((missing.problem().as_str(), missing.status), ("unauthorized", StatusCode::UNAUTHORIZED));
    assert_eq!(missing.headers[header::WWW_AUTHENTICATE], "Bearer");
    let narrow = app.send(request(Method::POST, "/v1/events", Some("key-for-read"))).await;
    assert_eq!(narrow.problem(), "forbidden");
    assert!(narrow.detail().contains("`ingest`"), "{}", narrow.text);
}

#[tokio::test]
async fn a_url_that_leads_nowhere_is_a_problem() {
    let app = App::new();
    for url in [
        "/v1",
        "/v1/events/",
        "/v1/entities/Posts",
        "/v1/entities/Posts/",
        "/v1/entities/Posts/a/b",
        "/docs/x/",
        "/docs/swagger-ui.js",
        "/docs/%FF",
    ] {
        let answer = app.get(url).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::NOT_FOUND, "unknown-route"),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_slash_more_leads_to_the_reader_wherever_a_proxy_has_put_it() {
    let answer = App::new().get("/docs/").await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers[header::LOCATION], "../docs");
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_a_problem_that_lists_those_it_does() {
    let app = App::new();
    for (method, url, allow) in [
        (Method::GET, "/v1/events", "POST"),
        (Method::DELETE, "/v1/queue", "GET,HEAD"),
        (Method::POST, "/livez", "GET,HEAD"),
        (Method::PUT, "/v1/entities/Posts/42", "GET,HEAD,PURGE"),
        (Method::DELETE, "/v1/entities", "GET,HEAD,PURGE"),
        (Method::GET, "/v1/holders/0123456789abcdef0123456789abcdef", "DELETE"),
        (Method::DELETE, "/v1/holders/lookup", "POST"),
    ] {
        let answer = app.send(request(method, url, None)).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.problem(), "method-not-allowed");
        assert_eq!(answer.headers[header::ALLOW], allow, "{url}");
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_problem_that_shows_nothing_of_it() {
    let app = App::with(|service| service.metrics = Arc::new(|| panic!("tok-alice")));
    let answer = app.get("/metrics").await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    assert!(!answer.text.contains("tok-"));
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let app = App::new();
    let id = async |own: &str| {
        let request = Request::get("/nowhere").header("x-request-id", own).body(Body::empty()).unwrap();
        app.send(request).await.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id("trace-7.a_B").await, "trace-7.a_B");
    for unfit in ["", "a b", "\"", &"a".repeat(65)] {
        assert_eq!(id(unfit).await.len(), 36, "a UUID instead of {unfit:?}");
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_matched_path_and_never_the_url() {
    let app = App::new();
    let ask = async || {
        app.get("/v1/entities/Posts/tok-alice?entity_id=tok-bob").await;
        app.get("/nowhere/tok-carol?access_token=tok-dan").await;
    };
    // Once unheard: a place that logs for the first time on another test's thread, which has no subscriber, while this
    // one has the only one, would be taken for one that nobody listens to.
    ask().await;
    let captured = Captured::default();
    let writer = captured.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    let subscriber = log.with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    ask().await;
    drop(guard);
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains(r#"route="/v1/entities/{resource_type}/{entity_id}""#), "{log}");
    assert!(log.contains("status=404"), "{log}");
    assert!(!log.contains("tok-"), "{log}");
}
