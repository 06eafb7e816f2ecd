//! `decache status`: whether the service takes events, what is wrong, and what waits.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::{
    say_all,
    service::{Ask, Service},
    table::{printable, table},
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Prints `/readyz` and `/v1/queue` as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(service: &Service, options: &Options) -> anyhow::Result<()> {
    let readiness = service.ask_for_any(Ask::get("/readyz")).await?;
    let queue: Value = service.get("/v1/queue").await?;
    match options.json {
        true => say_all([json!({ "readiness": readiness.body, "queue": queue }).to_string()])?,
        false => say_all(lines(&readiness.body, &queue))?,
    }
    match readiness.status.is_success() {
        true => Ok(()),
        false => bail!("the service takes no events now"),
    }
}

fn lines(readiness: &Value, queue: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pair = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![pair("status", word(&readiness["status"]))];
    for reason in readiness["reasons"].as_array().into_iter().flatten() {
        rows.push(pair("", format!("{}: {}", word(&reason["component"]), word(&reason["detail"]))));
    }
    rows.push(pair("journal", word(&readiness["journal"])));
    let configuration = &readiness["configuration"];
    if configuration.is_object() {
        let hash = word(&configuration["hash"]);
        rows.push(pair("configuration", format!("generation {}, hash {hash}", configuration["generation"])));
    }
    let oldest = queue["oldest_age_ms"].as_f64().unwrap_or_default() / 1000.0;
    rows.push(pair("queued", format!("{}, the oldest ready for {oldest:.1} s", queue["queued"])));
    rows.push(pair("running", queue["running"].to_string()));
    rows.push(pair("dead", queue["dead"].to_string()));
    for (reason, count) in queue["dead_by_reason"].as_object().into_iter().flatten() {
        rows.push(pair("", format!("{}: {count}", printable(reason))));
    }
    table(["", ""], rows).split_off(1)
}
