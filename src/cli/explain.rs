//! `decache explain`: what would come of an event, and why.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::say;
use crate::{app, config::Loaded, explain};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// A file with events in any form that the service takes; `-` is standard input.
    #[arg(value_name = "EVENT")]
    file: PathBuf,
    /// A header that the events would be sent with, such as `Content-Type: application/x-ndjson`. Without a content
    /// type, the form is told by the file's name and by what is in it.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Prints what `POST /v1/events/explain` answers.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(loaded: &Loaded, options: &Options) -> anyhow::Result<()> {
    let body = read(&options.file)?;
    let headers = with_form(options.headers.clone(), &options.file, &body);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let explained = runtime.block_on(app::explain(loaded, &headers, body))?;
    if options.json {
        return say(&json!({ "events": explained }).to_string());
    }
    explained.iter().flat_map(explain::lines).try_for_each(|line| say(&line))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    match file == Path::new("-") {
        true => std::io::stdin().read_to_end(&mut body).context("standard input")?,
        false => std::fs::File::open(file)
            .and_then(|mut file| file.read_to_end(&mut body))
            .with_context(|| file.display().to_string())?,
    };
    Ok(body)
}

fn header(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once(':').ok_or_else(|| anyhow!("a header is `Name: value`"))?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// The headers that the events would be sent with, with those that are needed and not given.
fn with_form(mut headers: Vec<(String, String)>, file: &Path, body: &[u8]) -> Vec<(String, String)> {
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(it, _)| it == name);
    let mut name = file.to_string_lossy().to_ascii_lowercase();
    for (ending, encoding) in [(".gz", "gzip"), (".zst", "zstd")] {
        if let Some(inside) = name.strip_suffix(ending).map(str::to_owned) {
            name = inside;
            if !has(&headers, "content-encoding") {
                headers.push(("content-encoding".to_owned(), encoding.to_owned()));
            }
        }
    }
    if !has(&headers, "content-type") {
        headers.push(("content-type".to_owned(), content_type(&name, body).to_owned()));
    }
    headers
}

fn content_type(name: &str, body: &[u8]) -> &'static str {
    let is_cloud_event = |value: &Value| value.get("specversion").is_some();
    match serde_json::from_slice::<Value>(body) {
        _ if name.ends_with(".ndjson") || name.ends_with(".jsonl") => "application/x-ndjson",
        Ok(Value::Array(events)) if events.first().is_some_and(is_cloud_event) => {
            "application/cloudevents-batch+json"
        }
        Ok(event) if is_cloud_event(&event) => "application/cloudevents+json",
        _ => "application/json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_told_by_the_files_name_and_by_what_is_in_it() {
        let form = |name: &str, body: &str| {
            let headers = with_form(Vec::new(), Path::new(name), body.as_bytes());
            headers.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(form("event.json", "{}"), "application/json");
        assert_eq!(form("-", "{"), "application/json");
        assert_eq!(form("-", r#"{"specversion":"1.0"}"#), "application/cloudevents+json");
        assert_eq!(form("a.json", r#"[{"specversion":"1.0"}]"#), "application/cloudevents-batch+json");
        assert_eq!(form("a.NDJSON", "{}"), "application/x-ndjson");
        assert_eq!(form("a.jsonl.gz", "{}"), "gzip application/x-ndjson");
        assert_eq!(form("a.json.zst", "{}"), "zstd application/json");
    }

    #[test]
    fn headers_that_are_given_count() {
        let given = vec![header("Content-Type: application/x-ndjson").unwrap(), header("ce-id:e:1").unwrap()];
        assert_eq!(given[1], ("ce-id".to_owned(), "e:1".to_owned()));
        assert_eq!(with_form(given.clone(), Path::new("a.json"), b"{}"), given);
        assert!(header("content-type").is_err());
    }
}
