//! `decache holders`: who holds an entity, until when, and when it was last invalidated.

use clap::Args;
use serde_json::{Value, json};

use super::{
    pages::{self, Listed, Paging},
    say_all,
    service::{Service, encoded},
    table::{printable, table},
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The resource type, such as `Posts`.
    resource_type: String,
    /// The entity's id, such as `42`. One that begins with `-` comes after `--`.
    entity_id: String,
    #[command(flatten)]
    paging: Paging,
    /// Prints the entity with its holders as `items`, as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(service: &Service, options: &Options) -> anyhow::Result<()> {
    // The query form, for ids that a path would not survive: `.`, `..`, `a/b`.
    let entity = format!(
        "resource_type={}&entity_id={}",
        encoded(&options.resource_type),
        encoded(&options.entity_id)
    );
    let mut view: Value = service.get(&format!("/v1/entities?{entity}")).await?;
    let listed = pages::list(service, &format!("/v1/holders?{entity}"), &options.paging).await?;
    if options.json {
        view["items"] = listed.items.into();
        view["next"] = json!(listed.next);
        return say_all([view.to_string()]);
    }
    say_all(lines(options, &view, &listed))
}

fn lines(options: &Options, view: &Value, listed: &Listed) -> Vec<String> {
    let name = printable(&format!("{} {}", options.resource_type, options.entity_id));
    let last = match view["last_invalidated"].as_str() {
        Some(at) => format!("last invalidated {at}"),
        None => "no invalidation remembered".to_owned(),
    };
    let mut lines = vec![format!("{name}: holders {}, {last}", view["holders"])];
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or("-").to_owned();
    if listed.items.iter().any(|item| item["cache_key"].is_string()) {
        let row = |item| ["holder", "user_id", "expires_at", "cache_key"].map(|field| text(item, field));
        lines.extend(table(["HOLDER", "USER", "EXPIRES", "KEY"], listed.items.iter().map(row)));
    } else if !listed.items.is_empty() {
        let row = |item| ["holder", "user_id", "expires_at"].map(|field| text(item, field));
        lines.extend(table(["HOLDER", "USER", "EXPIRES"], listed.items.iter().map(row)));
    }
    if let Some(next) = &listed.next {
        lines.push(format!("... and more: --cursor {}", printable(next)));
    }
    lines
}
