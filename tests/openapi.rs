//! `openapi.yaml` against the router's table, against JSON Schema, and against its own examples.

#[path = "support/openapi.rs"]
mod contract;

use std::collections::{BTreeMap, BTreeSet};

use contract::Contract;
use decache::http::{Access, problem_types, routes};
use serde_json::{Map, Value, json};

/// One operation of the contract.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    definition: &'a Value,
}

fn members(object: &Value) -> &Map<String, Value> {
    object.as_object().expect("an object")
}

fn operations(contract: &Contract) -> impl Iterator<Item = Operation<'_>> {
    let paths = members(&contract.document["paths"]);
    paths.iter().flat_map(|(path, item)| {
        let others = item.get(contract::OTHER_METHODS).into_iter().flat_map(members);
        let methods = members(item).iter().filter(|(name, _)| *name != contract::OTHER_METHODS);
        methods.chain(others).map(move |(method, definition)| Operation { method, path, definition })
    })
}

/// Every value in the document under this key, wherever it stands.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if name == key {
                    found.push(value);
                }
                all(value, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => {}
    }
}

/// Every media type of every operation and named response, with a name for messages.
fn media_types(contract: &Contract) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for operation in operations(contract) {
        let mut holders = vec![("request".to_owned(), &operation.definition["requestBody"])];
        let responses = members(&operation.definition["responses"]);
        holders
            .extend(responses.iter().map(|(status, response)| (status.clone(), contract.resolve(response))));
        for (part, holder) in holders {
            for (media_type, definition) in holder["content"].as_object().into_iter().flatten() {
                found.push((format!("{} {part} {media_type}", operation.path), definition));
            }
        }
    }
    for (name, response) in members(&contract.document["components"]["responses"]) {
        for (media_type, definition) in members(&response["content"]) {
            found.push((format!("{name} {media_type}"), definition));
        }
    }
    found
}

fn examples(definition: &Value) -> Vec<&Value> {
    let named =
        definition["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
    named.chain(definition.get("example")).collect()
}

#[test]
fn contract_and_router_list_the_same_routes_and_scopes() {
    let contract = Contract::load();
    let in_router: BTreeMap<(String, String), Value> = routes()
        .map(|(method, path, access)| {
            let security = match access {
                Access::Open => json!([]),
                Access::Needs(scope) => json!([{ "bearer": [scope.as_str()] }]),
            };
            ((method.as_str().to_ascii_lowercase(), path.to_owned()), security)
        })
        .collect();
    let in_contract: BTreeMap<(String, String), Value> = operations(&contract)
        .map(|it| ((it.method.to_ascii_lowercase(), it.path.to_owned()), it.definition["security"].clone()))
        .collect();
    assert_eq!(in_contract, in_router);
}

#[test]
fn the_console_is_no_part_of_the_contract_and_says_so() {
    let contract = Contract::load();
    let is_page = |path: &str| path == "/" || path.starts_with("/console");
    assert!(operations(&contract).all(|it| !is_page(it.path)) && routes().all(|(_, path, _)| !is_page(path)));
    let description = contract.document["info"]["description"].as_str().unwrap();
    assert!(
        description.contains("at `/` and under `/console`, is no part of this contract"),
        "{description}"
    );
}

#[test]
fn whatever_asks_for_a_key_may_answer_that_it_is_missing_too_narrow_or_used_up() {
    let contract = Contract::load();
    for operation in operations(&contract).filter(|it| it.definition["security"] != json!([])) {
        for (status, response) in [("401", "Unauthorized"), ("403", "Forbidden"), ("429", "QuotaExceeded")] {
            let named = &operation.definition["responses"][status]["$ref"];
            let expected = format!("#/components/responses/{response}");
            assert_eq!(*named, expected, "{} {} {status}", operation.method, operation.path);
        }
    }
}

#[test]
fn contract_and_service_list_the_same_problems() {
    let contract = Contract::load();
    let listed = contract.document["components"]["schemas"]["ProblemType"]["enum"].as_array().unwrap();
    let listed: BTreeSet<&str> = listed.iter().map(|urn| urn.as_str().unwrap()).collect();
    let raised: BTreeMap<String, u16> = problem_types().map(|(status, urn)| (urn, status)).collect();
    assert_eq!(listed, raised.keys().map(String::as_str).collect());
    let shown: BTreeMap<String, u16> = media_types(&contract)
        .into_iter()
        .filter(|(name, _)| name.ends_with("application/problem+json"))
        .flat_map(|(_, definition)| examples(definition))
        .map(|example| {
            (example["type"].as_str().unwrap().to_owned(), example["status"].as_u64().unwrap() as u16)
        })
        .collect();
    assert_eq!(shown, raised, "each problem has an example with its status");
}

#[test]
fn the_contract_has_the_version_of_the_service() {
    assert_eq!(Contract::load().document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_led_to() {
    let contract = Contract::load();
    let mut references = Vec::new();
    all(&contract.document, "$ref", &mut references);
    let references: BTreeSet<&str> = references.into_iter().map(|it| it.as_str().unwrap()).collect();
    for reference in &references {
        let target = contract.document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "parameters", "headers"] {
        for name in contract.document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(references.contains(reference.as_str()), "nothing leads to {reference}");
        }
    }
}

#[test]
fn every_schema_is_one() {
    let contract = Contract::load();
    let mut schemas = Vec::new();
    all(&contract.document, "schema", &mut schemas);
    schemas.extend(contract.document["components"]["schemas"].as_object().unwrap().values());
    assert!(schemas.len() > 50, "found only {}", schemas.len());
    for schema in schemas {
        if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
            panic!("{schema}: {error}");
        }
    }
}

#[test]
fn every_operation_is_described_by_itself() {
    let contract = Contract::load();
    let mut names = BTreeSet::new();
    for operation in operations(&contract) {
        let definition = operation.definition;
        let name = definition["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(definition["summary"].is_string(), "{name}");
        let in_template: BTreeSet<&str> = operation.path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters: Vec<&Value> = definition["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| contract.resolve(it))
            .collect();
        let in_path = parameters.iter().filter(|it| it["in"] == "path" && it["required"] == true);
        assert_eq!(
            in_path.map(|it| it["name"].as_str().unwrap()).collect::<BTreeSet<_>>(),
            in_template,
            "{name}"
        );
        for parameter in parameters {
            for example in examples(parameter) {
                contract.validate(&parameter["schema"], example).unwrap();
            }
        }
    }
}

#[test]
fn every_body_has_an_example_and_every_example_is_what_its_schema_says() {
    let contract = Contract::load();
    for (name, definition) in media_types(&contract) {
        let examples = examples(definition);
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            contract
                .validate(&definition["schema"], example)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn the_check_refuses_what_the_contract_does_not_name() {
    let contract = Contract::load();
    let job = "019ab0b8-c9c0-7d0e-a9f5-2b8a8f0d7a11";
    let answer = json!({ "accepted": 1, "ignored": 0, "rejected": [], "jobs": [{ "event": 0, "id": job, "supersedes": null }] });
    let check =
        |status, content_type, body: &Value| contract.check("POST", "/v1/events", status, content_type, body);
    assert_eq!(check(202, "application/json; charset=utf-8", &answer), Ok(()));
    assert!(check(201, "application/json", &answer).is_err(), "another status");
    assert!(check(202, "text/plain", &answer).is_err(), "another content type");
    let mut more = answer.clone();
    more["jobs"][0]["token"] = "tok-alice".into();
    assert!(check(202, "application/json", &more).is_err(), "one more field");
    let mut fewer = answer.clone();
    fewer.as_object_mut().unwrap().remove("rejected");
    assert!(check(202, "application/json", &fewer).is_err(), "one field less");
    let mut other = answer;
    other["jobs"][0]["id"] = "42".into();
    assert!(check(202, "application/json", &other).is_err(), "no UUID");
}

#[test]
fn the_check_knows_the_problems_outside_of_every_operation() {
    let contract = Contract::load();
    let problem =
        json!({ "type": "urn:decache:problem:unknown-route", "title": "t", "status": 404, "detail": "d" });
    assert_eq!(contract.check("GET", "/nowhere", 404, "application/problem+json", &problem), Ok(()));
    assert!(contract.check("GET", "/nowhere", 200, "application/json", &json!({})).is_err());
    assert!(contract.check("GET", "/v1/queue", 404, "application/problem+json", &problem).is_err());
}
