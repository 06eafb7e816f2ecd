//! `decache dead`: the jobs that failed too often, why they did, and what becomes of them.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    pages::{self, Listed, Paging},
    say_all,
    service::{Ask, Service, Told, detail, encoded},
    table::{printable, table},
};
use crate::job::Cause;

/// More rounds than any number of dead letters that is kept takes.
const MOST_ROUNDS: usize = 1000;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Shows them, oldest first (the default).
    List(List),
    /// Queues them again, with fresh attempts.
    Retry(Settle),
    /// Forgets them: their copies are gone already.
    Discard(Settle),
}

#[derive(Args, Default, Debug)]
struct List {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    paging: Paging,
    /// Prints the letters as `items`, as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Settle {
    /// Their ids.
    #[arg(required_unless_present = "reason", conflicts_with_all = ["reason", "resource_type", "topic"])]
    ids: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Prints what was done as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Default, Debug)]
struct Which {
    /// Only those that died for this reason.
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    reason: Option<String>,
    /// Only those about this resource type.
    #[arg(long, value_name = "TYPE")]
    resource_type: Option<String>,
    /// Only those of this topic.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

/// What is to become of them.
#[derive(Clone, Copy)]
enum Fate {
    Retry,
    Discard,
}

impl Fate {
    fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Discard => "discarded",
        }
    }

    fn all(self) -> &'static str {
        match self {
            Self::Retry => "/v1/jobs/retry",
            Self::Discard => "/v1/jobs/discard",
        }
    }

    fn one(self, id: &str) -> anyhow::Result<Ask> {
        let path = format!("/v1/jobs/{}", encoded(id));
        match self {
            Self::Retry => Ask::post(format!("{path}/retry"), &json!({})),
            Self::Discard => Ok(Ask::delete(path)),
        }
    }
}

pub(super) async fn run(service: &Service, options: &Options) -> anyhow::Result<()> {
    match &options.action {
        None => list(service, &List::default()).await,
        Some(Action::List(options)) => list(service, options).await,
        Some(Action::Retry(options)) => settle(service, Fate::Retry, options).await,
        Some(Action::Discard(options)) => settle(service, Fate::Discard, options).await,
    }
}

async fn list(service: &Service, options: &List) -> anyhow::Result<()> {
    let which = options.which.given().map(|(name, value)| format!("&{name}={}", encoded(value)));
    let path = format!("/v1/jobs?state=dead{}", which.collect::<String>());
    let listed = pages::list(service, &path, &options.paging).await?;
    if options.json {
        return say_all([json!({ "items": listed.items, "next": listed.next }).to_string()]);
    }
    say_all(lines(&listed))
}

fn lines(listed: &Listed) -> Vec<String> {
    if listed.items.is_empty() {
        return vec!["no dead letters".to_owned()];
    }
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or("-").to_owned();
    let row = |item: &Value| {
        let attempts = item["attempts"].to_string();
        let [id, reason, resource, entity, died, error] =
            ["id", "reason", "resource_type", "entity_id", "finished_at", "last_error"]
                .map(|it| text(item, it));
        [id, reason, resource, entity, attempts, died, error]
    };
    let heads = ["ID", "REASON", "RESOURCE", "ENTITY", "ATTEMPTS", "DIED", "LAST ERROR"];
    let mut lines = table(heads, listed.items.iter().map(row));
    if let Some(next) = &listed.next {
        lines.push(format!("... and more: --cursor {}", printable(next)));
    }
    let reasons: BTreeSet<Cause> =
        listed.items.iter().filter_map(|item| Cause::parse(item["reason"].as_str()?)).collect();
    for reason in reasons {
        lines.push(format!("{}: {}", reason.as_str(), reason.advice()));
    }
    lines
}

async fn settle(service: &Service, fate: Fate, options: &Settle) -> anyhow::Result<()> {
    match options.which.reason {
        Some(_) => settle_all(service, fate, options).await,
        None => settle_each(service, fate, options).await,
    }
}

/// All of one reason. The service takes care of a bounded number at once, and says how many remain.
async fn settle_all(service: &Service, fate: Fate, options: &Settle) -> anyhow::Result<()> {
    let mut request = json!({ "state": "dead" });
    for (name, value) in options.which.given() {
        request[name] = value.into();
    }
    let (mut settled, mut remaining) = (0, 0);
    for _ in 0..MOST_ROUNDS {
        let answer = service.ask(Ask::post(fate.all(), &request)?).await?.body;
        let count = |field: &str| answer[field].as_u64().unwrap_or_default();
        settled += count(fate.done());
        remaining = count("remaining");
        if remaining == 0 || count(fate.done()) == 0 {
            break;
        }
    }
    match options.json {
        true => say_all([json!({ fate.done(): settled, "remaining": remaining }).to_string()])?,
        false => say_all([format!("{settled} {}", fate.done())])?,
    }
    match remaining {
        0 => Ok(()),
        _ => bail!("{remaining} remain"),
    }
}

/// Each by its id; one that is refused keeps none of the others.
async fn settle_each(service: &Service, fate: Fate, options: &Settle) -> anyhow::Result<()> {
    let (mut settled, mut refused) = (Vec::new(), Vec::new());
    for id in &options.ids {
        let told: Told = service.ask_for_any(fate.one(id)?).await?;
        match told.status {
            status if status.is_success() => settled.push(id),
            // Another id would be refused as well.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                bail!("the running service answers {}: {}", told.status, detail(&told))
            }
            _ => refused.push(json!({ "id": id, "detail": detail(&told) })),
        }
    }
    if options.json {
        say_all([json!({ fate.done(): settled, "refused": refused }).to_string()])?;
    } else {
        say_all(settled.iter().map(|id| format!("{} {}", fate.done(), printable(id))))?;
    }
    let said: Vec<String> = refused
        .iter()
        .map(|it| format!("{}: {}", printable(it["id"].as_str().unwrap_or_default()), it["detail"]))
        .collect();
    match said.is_empty() {
        true => Ok(()),
        false => bail!("{}", said.join("; ")),
    }
}

impl Which {
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("reason", &self.reason), ("resource_type", &self.resource_type), ("topic", &self.topic)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(Cause::ALL.map(Cause::as_str))
}
