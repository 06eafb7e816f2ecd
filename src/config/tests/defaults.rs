//! `config/default.yaml` says what the defaults are, and leaves nothing out.

use std::path::Path;

use super::{loaded, problems};
use crate::config::{Config, load};

const DEFAULT: &str = include_str!("../../../config/default.yaml");

#[test]
fn the_default_file_is_what_the_code_defaults_to() {
    assert_eq!(loaded(DEFAULT).config, Config::default());
}

#[test]
fn every_section_at_its_default_is_an_empty_file() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "server:\nqueue:\ncaches:\njob_scheduler:\n",
        "queue: {}\nserver: {limits: {}}\n",
    ] {
        assert_eq!(loaded(text).config, Config::default(), "{text:?}");
    }
}

#[test]
fn without_a_path_the_default_file_of_the_working_directory_is_taken() {
    let loaded = load(None, std::iter::empty()).unwrap();
    assert_eq!(loaded.source.file(), Some(Path::new("config/default.yaml")));
    assert_eq!(loaded.config, Config::default());
}

/// Asks each level for the fields that it knows, by way of one that it does not.
#[test]
fn the_default_file_has_every_known_field_on_a_line_or_in_a_comment() {
    let levels = [
        "@: 1",
        "server: {@: 1}",
        "server: {limits: {@: 1}}",
        "server: {tls: {@: 1}}",
        "auth: {@: 1}",
        "auth: {keys: [{@: 1}]}",
        "auth: {keys: [{rate: {@: 1}}]}",
        "secret: {@: 1}",
        "store: {@: 1}",
        "store: {sentinel: {@: 1}}",
        "journal: {@: 1}",
        "queue: {@: 1}",
        "workers: {@: 1}",
        "workers: {backoff: {@: 1}}",
        "resources: {Posts: {@: 1}}",
        "caches: [{@: 1}]",
        "job_scheduler: {@: 1}",
        "job_scheduler: {job_rules: [{@: 1}]}",
        "job_scheduler: {enricher: {topics: {t: [{@: 1}]}}}",
        "job_scheduler: {enricher: {topics: {t: [{match: {@: 1}}]}}}",
        "job_scheduler: {enricher: {topics: {t: [{job_properties: {@: 1}}]}}}",
        "job_manager: {@: 1}",
        "job_manager: {job_rules: [{@: 1}]}",
        "job_manager: {job_rules: [{match: {@: 1}}]}",
        "job_manager: {job_rules: [{job: {@: 1}}]}",
        "log: {@: 1}",
        "telemetry: {@: 1}",
        "telemetry: {otlp: {@: 1}}",
    ];
    let mut seen = 0;
    for level in levels {
        let problem = &problems(&level.replace('@', "zzzzzzzzzzzz"))[0];
        let fields = problem.split_once("is not a known field: expected ");
        let (_, fields) = fields.unwrap_or_else(|| panic!("{level}: {problem}"));
        for field in fields.split(", ").filter(|field| *field != "supersedable") {
            let stands = DEFAULT.lines().any(|line| line.contains(&format!("{field}:")))
                || field == "action_type" && DEFAULT.contains("also topic, action_type");
            assert!(stands, "{level}: {field} is not in config/default.yaml");
            seen += 1;
        }
    }
    assert!(seen > 70, "only {seen} fields were asked for");
}
