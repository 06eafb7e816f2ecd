//! What an invalidation or a revocation has come to: for people, and for the exit code.

use anyhow::bail;
use clap::Args;
use hyper::StatusCode;
use serde_json::Value;

use super::{Unfinished, service::Told, table::table};

/// How long it is waited for.
#[derive(Args, Debug)]
pub(super) struct Wait {
    /// Seconds to wait for the end, up to 60; 0 does not wait. What is not done by then goes on all the same.
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 30)]
    pub(super) seconds: u64,
}

/// What was done, or that it is kept until it is. `names`: what one of them is called, and several.
pub(super) fn lines(told: &Told, names: [&str; 2]) -> Vec<String> {
    if told.status == StatusCode::ACCEPTED {
        let kept = match jobs(told).count() {
            1 => format!("1 {}, kept until it is done", names[0]),
            count => format!("{count} {}, kept until they are done", names[1]),
        };
        return vec![format!("accepted: {kept}")];
    }
    let row = ["matched", "deleted", "absent", "failed"].map(|field| count(&told.body[field]));
    table(["MATCHED", "DELETED", "ABSENT", "FAILED"], [row])
}

/// A number of an answer.
pub(super) fn count(value: &Value) -> String {
    value.as_u64().unwrap_or_default().to_string()
}

/// # Errors
/// Where it is not done, though that was waited for.
pub(super) fn judge(told: &Told, wait: &Wait) -> anyhow::Result<()> {
    if told.status == StatusCode::ACCEPTED {
        return match wait.seconds {
            0 => Ok(()),
            seconds => {
                let detail = format!("not done within {seconds} s; `decache status` says what it waits for");
                Err(Unfinished(detail).into())
            }
        };
    }
    match jobs(told).find(|job| job["outcome"].as_str().is_some_and(|it| it != "done")) {
        Some(job) => bail!("job {} has not been done: {}", job["id"], job["outcome"]),
        None => Ok(()),
    }
}

fn jobs(told: &Told) -> impl Iterator<Item = &Value> {
    told.body["jobs"].as_array().into_iter().flatten()
}
