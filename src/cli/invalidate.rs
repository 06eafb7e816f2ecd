//! `decache invalidate`: removes every copy of entities, or says how many there are.

use clap::Args;
use serde_json::{Value, json};

use super::{
    removal::{self, count},
    say_all,
    service::{Ask, Service},
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
    #[command(flatten)]
    wait: removal::Wait,
    /// Prints what the service answers.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(service: &Service, options: &Options) -> anyhow::Result<()> {
    let entity = |id: &String| json!({ "resource_type": options.resource_type, "entity_id": id });
    let entities: Vec<Value> = options.entity_ids.iter().map(entity).collect();
    let body = json!({ "entities": entities, "dry_run": options.dry_run });
    let told = service.ask(Ask::post("/v1/invalidations", &body)?.waiting(options.wait.seconds)).await?;
    match (options.json, options.dry_run) {
        (true, _) => say_all([told.body.to_string()])?,
        (false, true) => say_all(counted(&told.body))?,
        (false, false) => say_all(removal::lines(&told, ["invalidation", "invalidations"]))?,
    }
    if options.dry_run { Ok(()) } else { removal::judge(&told, &options.wait) }
}

fn counted(told: &Value) -> Vec<String> {
    let entities = told["entities"].as_array().into_iter().flatten();
    let row = |it: &Value| [it["entity_id"].as_str().unwrap_or("-").to_owned(), count(&it["matched"])];
    let mut lines = table(["ENTITY", "MATCHED"], entities.map(row));
    let matched = match told["matched"].as_u64().unwrap_or_default() {
        1 => "1 relationship".to_owned(),
        count => format!("{count} relationships"),
    };
    lines.push(format!("dry run: {matched} matched, nothing removed"));
    lines
}
