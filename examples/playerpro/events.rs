//! What the API tells decache, and how it insists.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::posts::Committed;

/// The first pause between two tries of the same event; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long decache may take to answer one try.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Wall-clock time in milliseconds, as `occurred_at` takes it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct EpochMillis(u64);

impl EpochMillis {
    /// What the clock says now.
    #[expect(clippy::disallowed_methods, reason = "the example is a program of its own, with its own clock")]
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A read or a write of a post, as decache is told of it. It holds an access token, so it does not print.
#[derive(Serialize)]
pub(crate) struct Event {
    action_type: String,
    resource_type: &'static str,
    entity_id: u64,
    occurred_at: EpochMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    payload: Value,
}

impl Event {
    /// A user holds a copy of a post. `read_at` is when the read *that the copy was made of* began, before it looked
    /// in the database; `longest_life` is the longest that the copy can live in any cache, as if it were new.
    pub(crate) fn read(post: u64, user: &User, read_at: EpochMillis, longest_life: Duration) -> Self {
        Self {
            action_type: "Read".to_owned(),
            resource_type: "Posts",
            entity_id: post,
            occurred_at: read_at,
            access_token: Some(user.token.clone()),
            user_id: Some(user.id.clone()),
            expires_in: Some(longest_life.as_secs()),
            payload: Value::Null,
        }
    }

    /// A post was changed (`Update`) or removed (`Delete`), and the commit has returned.
    pub(crate) fn write(action_type: &str, committed: &Committed) -> Self {
        Self {
            action_type: action_type.to_owned(),
            resource_type: "Posts",
            entity_id: committed.post.id,
            occurred_at: committed.at,
            access_token: None,
            user_id: None,
            expires_in: None,
            payload: json!({ "author_id": committed.post.author_id }),
        }
    }
}

/// Who calls the API.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl User {
    /// Whose token this is. A real API asks its session store; here `tok-alice` is alice's.
    pub(crate) fn of(token: String) -> Option<Self> {
        let id = token.strip_prefix("tok-").filter(|id| !id.is_empty())?.to_owned();
        Some(Self { id, token })
    }
}

/// decache's last word on an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has the event, and will act on it.
    Accepted,
    /// It will never take it, or no rule of it matches: asking again changes nothing, somebody has to look.
    Refused,
}

/// decache, as the API sees it: one URL that takes events.
#[derive(Clone)]
pub(crate) struct Decache {
    client: reqwest::Client,
    url: reqwest::Url,
    key: Option<String>,
}

/// What an answer's body is asked for.
#[derive(Deserialize)]
struct Receipt {
    ignored: usize,
}

impl Decache {
    /// A client for the decache at `base`. Nothing is connected yet.
    pub(crate) fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        // A proxy between an API and the service beside it would be a mistake, so none is taken from the environment.
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build()?;
        let url = reqwest::Url::parse(base)?.join("/v1/events")?;
        Ok(Self { client, url, key })
    }

    /// Posts an event, again until decache has said its last word. Repeats are harmless, so an answer that was lost
    /// on its way is no different from an event that was lost on its way.
    pub(crate) async fn post_until_accepted(&self, event: &Event) -> Verdict {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.post(event).await {
                Ok(verdict) => return verdict,
                Err(why) => tracing::warn!(%why, "event not accepted yet"),
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Posts an event once. `Err`: no last word yet, and why not.
    pub(crate) async fn post(&self, event: &Event) -> Result<Verdict, String> {
        let mut request = self.client.post(self.url.clone()).json(event);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(reason)?;
        match response.status().as_u16() {
            200 | 202 => {
                let receipt: Receipt = response.json().await.map_err(reason)?;
                if receipt.ignored == 0 {
                    return Ok(Verdict::Accepted);
                }
                tracing::error!("no rule of decache matches events of Posts: see its job_rules");
                Ok(Verdict::Refused)
            }
            status @ (400 | 413 | 415 | 422) => {
                tracing::error!(status, "decache refuses an event of Posts");
                Ok(Verdict::Refused)
            }
            // Everything else may pass: overload and shutdown (503), and a key that somebody will put right (401, 403).
            status => Err(format!("status {status}")),
        }
    }
}

/// Why a request failed, without its URL.
fn reason(error: reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "not reachable"
    } else {
        return error.without_url().to_string();
    };
    kind.to_owned()
}

/// Between half of `pause` and all of it, so that many processes do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    let share = getrandom::u32().unwrap_or(u32::MAX);
    half + half.mul_f64(f64::from(share) / f64::from(u32::MAX))
}
