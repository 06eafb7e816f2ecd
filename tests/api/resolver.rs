//! The service that decache takes over from, asked while the index may not know who holds an entity.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, copy_key, read, token, update},
};

/// How the service answers.
#[derive(Clone)]
enum Mode {
    /// With these holders, so many on a page.
    Pages(Vec<Value>, usize),
    Status(u16),
    Body(Bytes),
    /// Elsewhere, where nobody may be asked.
    Redirect,
    Hang,
    /// The next page is always the same.
    Circle,
    /// There is always one more.
    Endless,
}

/// An HTTP service with who holds what, and a count of its requests.
struct Service {
    url: String,
    answers: Arc<Answers>,
    _server: tokio::task::JoinSet<()>,
}

struct Answers {
    mode: Mutex<Mode>,
    asked: AtomicUsize,
    keys: Mutex<Vec<String>>,
}

impl Service {
    async fn start(mode: Mode) -> Self {
        let answers = Answers { mode: Mutex::new(mode), asked: AtomicUsize::new(0), keys: Mutex::default() };
        let answers = Arc::new(answers);
        let router = Router::new().route("/holders", get(answer)).with_state(answers.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/holders", listener.local_addr().unwrap());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, answers, _server: server }
    }

    fn set(&self, mode: Mode) {
        *self.answers.mode.lock().unwrap() = mode;
    }

    fn asked(&self) -> usize {
        self.answers.asked.load(Ordering::Relaxed)
    }
}

#[derive(serde::Deserialize)]
struct Asked {
    r#type: String,
    id: String,
    cursor: String,
}

async fn answer(
    State(answers): State<Arc<Answers>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    answers.asked.fetch_add(1, Ordering::Relaxed);
    answers.keys.lock().unwrap().push(headers[header::AUTHORIZATION].to_str().unwrap().to_owned());
    assert_eq!((&*asked.r#type, &*asked.id), ("Posts", "a/42"));
    let mode = answers.mode.lock().unwrap().clone();
    match mode {
        Mode::Pages(holders, size) => {
            let from: usize = asked.cursor.parse().unwrap_or_default();
            let until = holders.len().min(from + size);
            let next = (until < holders.len()).then(|| until.to_string());
            axum::Json(json!({ "holders": holders[from..until], "next": next })).into_response()
        }
        Mode::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mode::Body(body) => body.into_response(),
        Mode::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Mode::Hang => std::future::pending().await,
        Mode::Endless => {
            let next = asked.cursor.parse::<u64>().unwrap_or_default() + 1;
            axum::Json(json!({ "holders": [], "next": next.to_string() })).into_response()
        }
        Mode::Circle => axum::Json(json!({ "holders": [], "next": "again" })).into_response(),
    }
}

fn setup(service: &Service, cache: &RedisServer) -> Setup {
    let url = format!("{}?type={{resource_type}}&id={{entity_id}}&cursor={{cursor}}", service.url);
    let resolver = json!({ "url": url, "bearer": "key-of-decache", "timeout": "200ms", "attempts": 2, "max_body": "64KiB", "max_pages": 20 });
    Setup::embedded().cache("api", cache, "").with("resolver", resolver)
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_from_before_the_first_start_go_with_the_others_page_by_page() {
    let users: Vec<String> = (0..1_300).map(|number| format!("user-{number}")).collect();
    let mut holders: Vec<Value> = users.iter().map(|user| json!(token(user))).collect();
    let variant = "/posts/a/42?page=2&access_token={access_token}";
    holders.push(json!({ "access_token": token("bob"), "user_id": "bob", "cache_key": variant }));
    // Not a copy of this post, so nobody's to delete.
    holders
        .push(json!({ "access_token": token("bob"), "cache_key": "/posts/b/1?access_token={access_token}" }));
    let (service, server) = (Service::start(Mode::Pages(holders, 600)).await, RedisServer::start());
    let cache = RedisView::of(&server.url());
    for user in &users {
        cache.set(&copy_key("a/42", user), "old").await;
    }
    let app = TestApp::start(setup(&service, &server)).await;
    cache.set("/posts/a/42?page=2&access_token=tok-bob", "old").await;
    cache.set("/posts/b/1?access_token=tok-bob", "another").await;
    cache.set(&copy_key("a/42", "known"), "old").await;
    app.done(&json!([read("a/42", "known")])).await;

    app.done(&json!([update("a/42")])).await;
    let left: Vec<String> = cache.keys().await.into_iter().filter(|key| key.starts_with("/posts/")).collect();
    assert_eq!(left, ["/posts/b/1?access_token=tok-bob"]);
    assert_eq!(service.asked(), 3, "a page at a time");
    assert!(service.answers.keys.lock().unwrap().iter().all(|key| key == "Bearer key-of-decache"));
    assert_eq!(app.metric("decache_resolved_holders_total").await, 1_302.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_is_not_done_before_the_resolver_has_answered_well() {
    let (service, server) = (Service::start(Mode::Status(500)).await, RedisServer::start());
    let cache = RedisView::of(&server.url());
    let app = TestApp::start(setup(&service, &server)).await;
    cache.set(&copy_key("a/42", "alice"), "old").await;
    let posted = app.post_events(&json!([update("a/42")])).await.success(202);
    let job = posted["jobs"][0]["id"].as_str().unwrap().to_owned();
    let garbage = [
        (Mode::Status(500), "answers 500"),
        (Mode::Status(401), "answers 401"),
        (Mode::Redirect, "answers 302"),
        (Mode::Body("<html>".into()), "no list of holders"),
        (Mode::Body(vec![b' '; 70_000].into()), "more than 65536 bytes"),
        (Mode::Hang, "no answer in time"),
        (Mode::Circle, "in a circle"),
        (Mode::Endless, "do not end"),
    ];
    for (mode, said) in garbage {
        service.set(mode);
        poll(said, async || {
            let job = app.get(&format!("/v1/jobs/{job}")).await.success(200);
            job["last_error"].as_str().unwrap_or_default().contains(said).then_some(())
        })
        .await;
        assert!(cache.keys().await.contains(&copy_key("a/42", "alice")));
    }
    let ready = app.get("/readyz").await.success(200);
    assert!(ready["reasons"].to_string().contains("promise is suspended"), "{ready}");

    service.set(Mode::Pages(vec![json!(token("alice"))], 10));
    poll("the copy is gone", async || {
        (!cache.keys().await.contains(&copy_key("a/42", "alice"))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_asked_any_more_once_every_copy_from_before_has_ended() {
    let (service, server) = (Service::start(Mode::Status(404)).await, RedisServer::start());
    let short = json!({ "Posts": { "ttl": "50ms" }, "Comments": { "ttl": "50ms" } });
    let app = TestApp::start(setup(&service, &server).with("resources", short)).await;
    poll("the index is complete", async || {
        (app.metric("decache_index_incomplete").await == 0.0).then_some(())
    })
    .await;
    app.done(&json!([update("a/42")])).await;
    assert_eq!(service.asked(), 0);
}
