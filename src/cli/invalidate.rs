//! `decache invalidate`: removes every copy of entities, or says how many there are.

use anyhow::bail;
use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    Unfinished, say_all,
    service::{Ask, Service, Told},
    table::table,
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The resource type, such as `Posts`.
    resource_type: String,
    /// The entities' ids, up to 1,000. Those that begin with `-` come after `--`.
    #[arg(required = true)]
    entity_ids: Vec<String>,
    /// Counts relationships, and removes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Seconds to wait for the end, up to 60; 0 does not wait. What is not done by then goes on all the same.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    /// Prints what the service answers.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(service: &Service, options: &Options) -> anyhow::Result<()> {
    let entity = |id: &String| json!({ "resource_type": options.resource_type, "entity_id": id });
    let entities: Vec<Value> = options.entity_ids.iter().map(entity).collect();
    let body = json!({ "entities": entities, "dry_run": options.dry_run });
    let told = service.ask(Ask::post("/v1/invalidations", &body)?.waiting(options.wait)).await?;
    match options.json {
        true => say_all([told.body.to_string()])?,
        false => say_all(lines(options, &told))?,
    }
    judge(options, &told)
}

fn lines(options: &Options, told: &Told) -> Vec<String> {
    let count = |value: &Value| value.as_u64().unwrap_or_default().to_string();
    if options.dry_run {
        let entities = told.body["entities"].as_array().into_iter().flatten();
        let row = |it: &Value| [it["entity_id"].as_str().unwrap_or("-").to_owned(), count(&it["matched"])];
        let mut lines = table(["ENTITY", "MATCHED"], entities.map(row));
        lines.push(format!(
            "dry run: {} relationships matched, nothing removed",
            count(&told.body["matched"])
        ));
        return lines;
    }
    if told.status == StatusCode::ACCEPTED {
        return vec![format!("accepted: {} invalidations, kept until they are done", jobs(told).count())];
    }
    let fields = ["matched", "deleted", "absent", "failed"];
    let row = fields.map(|field| count(&told.body[field]));
    table(["MATCHED", "DELETED", "ABSENT", "FAILED"], [row])
}

fn judge(options: &Options, told: &Told) -> anyhow::Result<()> {
    if options.dry_run || (told.status == StatusCode::ACCEPTED && options.wait == 0) {
        return Ok(());
    }
    if told.status == StatusCode::ACCEPTED {
        return Err(Unfinished(format!(
            "not done within {} s; `decache status` says what it waits for",
            options.wait
        ))
        .into());
    }
    match jobs(told).find(|job| job["outcome"].as_str().is_some_and(|it| it != "done")) {
        Some(job) => bail!("job {} has not been done: {}", job["id"], job["outcome"]),
        None => Ok(()),
    }
}

fn jobs(told: &Told) -> impl Iterator<Item = &Value> {
    told.body["jobs"].as_array().into_iter().flatten()
}
