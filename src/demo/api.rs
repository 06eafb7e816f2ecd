//! The API: `GET` and `PUT` of `/posts/{id}`, `GET` of `/feeds/{author}` and `DELETE` of `/session`, each with `?access_token=`.
//! It plays its part of the contract as README tells it: the time of a read is taken before anything is looked up, a copy
//! lives shortly until decache has heard of it, and an event is posted after the write.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    cache::Cache,
    tell::Decache,
    users::{AUTHORS, POSTS, name_of},
};
use crate::clock::{Clock, Timestamp};

/// How long a copy lives; `ttl` in the configuration is the same.
const LIFE: Duration = Duration::from_secs(120);
/// How long until decache has heard of it.
const PROVISIONAL: Duration = Duration::from_secs(5);

pub(super) struct Api {
    /// The version of each post: our database.
    posts: Mutex<BTreeMap<u64, u64>>,
    pub(super) cache: Cache,
    pub(super) decache: Decache,
    clock: Clock,
}

/// What a request is about.
enum Target<'a> {
    Post(u64),
    Feed(&'a str),
}

/// Somebody who asks.
struct Caller<'a> {
    token: &'a str,
    name: &'a str,
}

impl Api {
    pub(super) fn new(decache: Decache, cache: Cache) -> Self {
        let posts = (1..=POSTS).map(|id| (id, 1)).collect();
        Self { posts: Mutex::new(posts), cache, decache, clock: Clock::start() }
    }

    fn posts(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A user reads: from their own copy, or from the database into a copy.
    async fn read(&self, key: &str, target: &Target<'_>, caller: &Caller<'_>) -> Response {
        let began = self.clock.now();
        if let Some(copy) = self.cache.get(key, began) {
            return answered("hit", copy.body);
        }
        let Some(body) = self.look_up(target, caller) else { return StatusCode::NOT_FOUND.into_response() };
        self.cache.put(key, body.clone(), began, PROVISIONAL, began);
        let (resource_type, id) = match target {
            Target::Post(id) => ("Posts", id.to_string()),
            Target::Feed(author) => ("Feeds", (*author).to_owned()),
        };
        let event = event("Read", resource_type, &id, began, caller);
        if self.decache.tell(&event).await {
            self.cache.raise(key, began, began.after(LIFE));
        }
        answered("miss", body)
    }

    fn look_up(&self, target: &Target<'_>, caller: &Caller<'_>) -> Option<String> {
        let posts = self.posts();
        let shown = |id: u64| json!({ "id": id, "author": author_of(id), "version": posts.get(&id) });
        let found: Value = match target {
            Target::Post(id) => posts.contains_key(id).then(|| shown(*id))?,
            Target::Feed(author) => {
                posts.keys().filter(|id| author_of(**id) == *author).map(|id| shown(*id)).collect()
            }
        };
        Some(json!({ "found": found, "read_by": caller.name }).to_string())
    }

    /// A user changes a post.
    async fn write(&self, target: &Target<'_>, caller: &Caller<'_>) -> Response {
        let Target::Post(id) = *target else { return StatusCode::METHOD_NOT_ALLOWED.into_response() };
        match self.posts().get_mut(&id) {
            Some(version) => *version += 1,
            None => return StatusCode::NOT_FOUND.into_response(),
        }
        let mut event = event("Update", "Posts", &id.to_string(), self.clock.now(), caller);
        event["payload"] = json!({ "author": author_of(id) });
        self.decache.tell(&event).await;
        StatusCode::NO_CONTENT.into_response()
    }

    /// A user goes: none of their copies is to stay.
    async fn log_out(&self, caller: &Caller<'_>) -> Response {
        self.decache.tell(&event("Logout", "Sessions", caller.name, self.clock.now(), caller)).await;
        StatusCode::NO_CONTENT.into_response()
    }

    /// decache asks to remove a copy, or how the cache is.
    fn be_purged(&self, key: &str) -> StatusCode {
        match (self.cache.is_away(), key) {
            (true, _) => StatusCode::SERVICE_UNAVAILABLE,
            (false, key) if self.cache.remove(key) => StatusCode::OK,
            (false, _) => StatusCode::NOT_FOUND,
        }
    }

    fn health(&self) -> StatusCode {
        if self.cache.is_away() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
    }
}

pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(answer).with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (method, uri) = (request.method(), request.uri());
    let key = uri.path_and_query().map(|it| it.as_str()).unwrap_or_default();
    if method.as_str() == "PURGE" {
        return api.be_purged(key).into_response();
    }
    if uri.path() == "/health" {
        return api.health().into_response();
    }
    let token = uri.query().and_then(|query| query.strip_prefix("access_token="));
    let caller = token.and_then(|token| Some(Caller { token, name: name_of(token)? }));
    let Some(caller) = caller else {
        return (StatusCode::UNAUTHORIZED, "add ?access_token=tok-ada\n").into_response();
    };
    match (method, target(uri.path())) {
        (&Method::GET, Some(target)) => api.read(key, &target, &caller).await,
        (&Method::PUT, Some(target)) => api.write(&target, &caller).await,
        (&Method::DELETE, None) if uri.path() == "/session" => api.log_out(&caller).await,
        (_, None) => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn target(path: &str) -> Option<Target<'_>> {
    let mut parts = path.strip_prefix('/')?.split('/');
    match (parts.next()?, parts.next()?, parts.next()) {
        ("posts", id, None) => id.parse().ok().map(Target::Post),
        ("feeds", author, None) => Some(Target::Feed(author)),
        _ => None,
    }
}

/// Who has written a post.
fn author_of(post: u64) -> &'static str {
    let at = usize::try_from(post).unwrap_or_default();
    AUTHORS[at % AUTHORS.len()]
}

fn event(action_type: &str, resource_type: &str, id: &str, at: Timestamp, caller: &Caller<'_>) -> Value {
    json!({
        "action_type": action_type, "resource_type": resource_type, "entity_id": id, "occurred_at": at.0,
        "access_token": caller.token, "user_id": caller.name,
    })
}

fn answered(cache: &'static str, body: String) -> Response {
    let headers = [("x-cache", cache), (header::CONTENT_TYPE.as_str(), "application/json")];
    (headers, body).into_response()
}
