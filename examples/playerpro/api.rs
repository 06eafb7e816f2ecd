//! `GET`, `PUT` and `DELETE` of `/posts/{id}?access_token=...`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::{
    copies::{Copies, Copy, Found, Provisional},
    database::DatabaseError,
    events::{Decache, EpochMillis, Event, User, Verdict},
    outbox::Outbox,
    posts::Posts,
};

/// How long a response waits for decache. An API would answer at once; this one waits, so that whoever tries it finds
/// that decache has heard of what was just done. Away or slow, decache holds up nobody for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many hits may be telling decache at the same time; the rest go untold.
const HITS_TELLING: usize = 64;

/// What handlers share.
pub(crate) struct Api {
    posts: Posts,
    copies: Arc<Copies>,
    decache: Decache,
    outbox: Outbox,
    tasks: TaskTracker,
    hits: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Caller {
    access_token: String,
}

#[derive(Deserialize)]
struct Draft {
    body: String,
}

/// All URLs.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().route("/posts/{id}", get(read).put(write).delete(remove)).with_state(api)
}

/// A user reads a post: from their own copy, or from the database into a copy.
async fn read(State(api): State<Arc<Api>>, Path(id): Path<u64>, Query(caller): Query<Caller>) -> Response {
    // Before anything is looked up. Taken later, a write could come in between, and a copy of the old post would
    // look newer than the write that it has missed.
    let began = EpochMillis::now();
    let Some(user) = User::of(caller.access_token) else { return unknown_token() };
    match api.copies.get(id, &user).await {
        // Nobody is told: it is a copy of one that decache knows of, or that is about to end.
        Ok(Some(Found::InMemory(response))) => return cached("memory", response),
        Ok(Some(Found::InRedis(copy))) => {
            api.tell_of_hit(id, &user, &copy);
            return cached("hit", copy.response);
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "reading past the cache"),
    }
    // That there is no post is not cached: it would be a copy as well, and need an event as well.
    let post = match api.posts.get(id).await {
        Ok(Some(post)) => post,
        Ok(None) => return no_such_post(),
        Err(error) => return unavailable(&error),
    };
    let copy = Copy::new(began, json!({ "post": post, "read_by": user.id }));
    let verdict = match api.copies.write(id, &user, &copy).await {
        Ok(written) => told(api.track(Event::read(id, &user, began, api.copies.lives.full), written)).await,
        Err(error) => {
            tracing::warn!(%error, "copy not cached");
            "nothing to tell"
        }
    };
    ([("x-cache", "miss"), ("x-decache", verdict), NOT_ELSEWHERE], Json(copy.response)).into_response()
}

/// A user writes a post, new or not.
async fn write(
    State(api): State<Arc<Api>>,
    Path(id): Path<u64>,
    Query(caller): Query<Caller>,
    Json(draft): Json<Draft>,
) -> Response {
    let Some(user) = User::of(caller.access_token) else { return unknown_token() };
    let (outbox, shared) = (api.outbox.clone(), Arc::clone(&api));
    let committing = async move {
        let committed = shared.posts.put(id, &user.id, draft.body).await?;
        let post = committed.post.clone();
        Ok::<_, DatabaseError>((post, outbox.push("Update", committed)))
    };
    match api.to_its_end(committing).await {
        Ok((post, verdict)) => ([("x-decache", told(verdict).await)], Json(post)).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// A user removes a post.
async fn remove(State(api): State<Arc<Api>>, Path(id): Path<u64>, Query(caller): Query<Caller>) -> Response {
    if User::of(caller.access_token).is_none() {
        return unknown_token();
    }
    let (outbox, shared) = (api.outbox.clone(), Arc::clone(&api));
    let committing = async move {
        let committed = shared.posts.delete(id).await?;
        Ok::<_, DatabaseError>(committed.map(|committed| outbox.push("Delete", committed)))
    };
    match api.to_its_end(committing).await {
        Ok(Some(verdict)) => (StatusCode::NO_CONTENT, [("x-decache", told(verdict).await)]).into_response(),
        Ok(None) => no_such_post(),
        Err(error) => unavailable(&error),
    }
}

impl Api {
    /// The API, with nothing under way.
    pub(crate) fn new(posts: Posts, copies: Copies, decache: Decache, outbox: Outbox) -> Self {
        let hits = Arc::new(Semaphore::new(HITS_TELLING));
        Self { posts, copies: Arc::new(copies), decache, outbox, tasks: TaskTracker::new(), hits }
    }

    /// Does something in a task of its own: a client that hangs up must not come between a commit and its event.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DatabaseError>> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.tasks.spawn(work).await.map_err(|_| DatabaseError("the task has failed".to_owned()))?
    }

    /// Tells decache of a copy that was just written, and raises its life once it is accepted. In a task of its own,
    /// so that it goes on if the client hangs up. It insists for as long as the copy lives: a copy that nobody has
    /// raised is gone after its provisional life, and then there is nothing left to tell.
    fn track(&self, event: Event, written: Provisional) -> oneshot::Receiver<Verdict> {
        let (done, verdict) = oneshot::channel();
        let (decache, copies) = (self.decache.clone(), Arc::clone(&self.copies));
        self.tasks.spawn(async move {
            let posting = decache.post_until_accepted(&event);
            let Ok(verdict) = tokio::time::timeout(copies.lives.provisional, posting).await else { return };
            if verdict == Verdict::Accepted
                && let Err(error) = copies.raise(&written).await
            {
                tracing::warn!(%error, "a copy keeps its provisional life");
            }
            done.send(verdict).ok();
        });
        verdict
    }

    /// Tells decache of a hit: once, and nobody waits for it. The copy is tracked already, or still provisional, so
    /// nothing stale comes of a hit that goes untold. What it is good for: an index that was lost fills again. It
    /// carries the time of the copy, for the copy is no newer than the read that made it.
    fn tell_of_hit(&self, id: u64, user: &User, copy: &Copy) {
        let Ok(permit) = Arc::clone(&self.hits).try_acquire_owned() else { return };
        let event = Event::read(id, user, copy.read_at, self.copies.lives.full);
        let decache = self.decache.clone();
        self.tasks.spawn(async move {
            if let Err(why) = decache.post(&event).await {
                tracing::debug!(%why, "a hit went untold");
            }
            drop(permit);
        });
    }
}

/// Every cache that may keep a response must be one that decache empties. It cannot empty browsers.
const NOT_ELSEWHERE: (&str, &str) = ("cache-control", "no-store");

/// What decache has said of an event by the time that the response goes out.
async fn told(verdict: oneshot::Receiver<Verdict>) -> &'static str {
    match tokio::time::timeout(PATIENCE, verdict).await {
        Ok(Ok(Verdict::Accepted)) => "accepted",
        Ok(Ok(Verdict::Refused)) => "refused",
        Ok(Err(_)) | Err(_) => "pending",
    }
}

fn cached(found: &'static str, response: Value) -> Response {
    ([("x-cache", found), NOT_ELSEWHERE], Json(response)).into_response()
}

fn unknown_token() -> Response {
    problem(StatusCode::UNAUTHORIZED, "unknown access token: try tok-alice")
}

fn unavailable(error: &DatabaseError) -> Response {
    tracing::warn!(%error, "a request failed");
    problem(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
}

fn no_such_post() -> Response {
    problem(StatusCode::NOT_FOUND, "no such post")
}

fn problem(status: StatusCode, title: &str) -> Response {
    let body: Json<Value> = Json(json!({ "title": title, "status": status.as_u16() }));
    (status, body).into_response()
}
