//! `decache holder` and `decache revoke`: what a holder holds and until when, and its end.

use std::io::Read;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    pages::{self, Listed, Paging},
    removal, say_all,
    service::{Ask, Service},
    table::{printable, table},
};
use crate::secret::HolderId;

/// Who is meant.
#[derive(Args, Debug)]
struct Who {
    /// The holder's id, as `decache holders` shows it; `-` reads an access token from standard input and asks for its holder.
    holder: String,
}

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    paging: Paging,
    /// Prints the holder with what it holds as `items`, as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Revoke {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    wait: removal::Wait,
    /// Prints what the service answers.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(service: &Service, options: &Options) -> anyhow::Result<()> {
    let holder = options.who.named(service).await?;
    let listed = pages::list(service, &format!("/v1/holders/{holder}/entities"), &options.paging).await?;
    if options.json {
        let told = json!({ "holder": holder.to_string(), "items": listed.items, "next": listed.next });
        return say_all([told.to_string()]);
    }
    say_all(lines(holder, &listed))
}

pub(super) async fn revoke(service: &Service, options: &Revoke) -> anyhow::Result<()> {
    let holder = options.who.named(service).await?;
    let ask = Ask::delete(format!("/v1/holders/{holder}")).waiting(options.wait.seconds);
    let told = service.ask(ask).await?;
    match options.json {
        true => say_all([told.body.to_string()])?,
        false => say_all(removal::lines(&told, ["revocation", "revocations"]))?,
    }
    removal::judge(&told, &options.wait)
}

impl Who {
    /// What stands in the place of an id may be a token: it is not repeated.
    async fn named(&self, service: &Service) -> anyhow::Result<HolderId> {
        if self.holder != "-" {
            return self.holder.parse().map_err(|_| {
                anyhow!(
                    "that is no holder id, which has 32 hex digits; an access token is read from standard input where `-` \
                     stands instead"
                )
            });
        }
        let mut token = Zeroizing::new(String::new());
        std::io::stdin().read_to_string(&mut token).context("standard input")?;
        let body = json!({ "access_token": token.trim_end_matches(['\r', '\n']) });
        let told: Value = service.ask(Ask::post("/v1/holders/lookup", &body)?).await?.into()?;
        let holder = told["holder"].as_str().and_then(|holder| holder.parse().ok());
        holder.context("the running service's answer names no holder")
    }
}

fn lines(holder: HolderId, listed: &Listed) -> Vec<String> {
    let count = match (listed.items.len(), &listed.next) {
        (0, None) => "nothing that decache knows of".to_owned(),
        (1, _) => "1 copy".to_owned(),
        (count, _) => format!("{count} copies"),
    };
    let more = if listed.next.is_some() { ", and more" } else { "" };
    let mut lines = vec![format!("{holder}: holds {count}{more}")];
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or("-").to_owned();
    let fields = ["resource_type", "entity_id", "expires_at", "cache_key"];
    if listed.items.iter().any(|item| item["cache_key"].is_string()) {
        let row = |item| fields.map(|field| text(item, field));
        lines.extend(table(["TYPE", "ENTITY", "EXPIRES", "KEY"], listed.items.iter().map(row)));
    } else if !listed.items.is_empty() {
        let row = |item| [fields[0], fields[1], fields[2]].map(|field| text(item, field));
        lines.extend(table(["TYPE", "ENTITY", "EXPIRES"], listed.items.iter().map(row)));
    }
    lines.extend(listed.next.as_ref().map(|next| format!("... and more: --cursor {}", printable(next))));
    lines
}
