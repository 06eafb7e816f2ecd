//! Every operation of `openapi.yaml`, asked as its examples say. What comes back is held against it, as every answer is.

use reqwest::Method;
use serde_json::Value;

use crate::{
    openapi::{Contract, OTHER_METHODS},
    support::{Setup, TestApp, encoded},
};

/// An example of a request.
#[derive(Debug)]
struct Example {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// Path, method and definition of each operation that ends.
fn operations(contract: &Contract) -> Vec<(&str, Method, &Value)> {
    let mut found = Vec::new();
    for (path, item) in contract.document["paths"].as_object().unwrap() {
        let others = item.get(OTHER_METHODS).and_then(Value::as_object).into_iter().flatten();
        let methods = item.as_object().unwrap().iter().filter(|(name, _)| *name != OTHER_METHODS);
        for (name, definition) in methods.chain(others) {
            let method = name.to_ascii_uppercase().parse().unwrap();
            found.push((path.as_str(), method, definition));
        }
    }
    found.retain(|(_, _, definition)| !definition.to_string().contains("text/event-stream"));
    found
}

/// Every example of a body, and its media type; without any where the operation takes none.
fn bodies(contract: &Contract, definition: &Value) -> Vec<(Option<String>, String)> {
    let body = contract.resolve(&definition["requestBody"]);
    let mut found = Vec::new();
    for (media_type, content) in body["content"].as_object().into_iter().flatten() {
        let named = content["examples"].as_object().into_iter().flatten();
        let named = named.map(|(_, example)| &contract.resolve(example)["value"]);
        for example in named.chain(content.get("example")) {
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            found.push((Some(media_type.clone()), text));
        }
    }
    if found.is_empty() {
        found.push((None, String::new()));
    }
    found
}

fn example_of(parameter: &Value) -> Option<String> {
    let example = parameter.get("example").or_else(|| parameter["schema"].get("example"))?;
    Some(example.as_str().map_or_else(|| example.to_string(), str::to_owned))
}

/// Every body with the parameters that have to be there, then each other parameter with the first body.
fn examples(contract: &Contract, path: &str, method: &Method, definition: &Value) -> Vec<Example> {
    let parameters = definition["parameters"].as_array().into_iter().flatten();
    let (required, optional): (Vec<&Value>, Vec<&Value>) =
        parameters.map(|it| contract.resolve(it)).partition(|it| it["required"] == true);
    let bodies = bodies(contract, definition);
    let plain = bodies.iter().map(|body| (body, None));
    let further = optional.into_iter().filter(|it| example_of(it).is_some());
    let further = further.map(|parameter| (&bodies[0], Some(parameter)));
    let example = |((media_type, body), further): (&(Option<String>, String), Option<&Value>)| {
        let (mut url, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
        for parameter in required.iter().copied().chain(further) {
            let name = parameter["name"].as_str().unwrap();
            let value = example_of(parameter).unwrap_or_else(|| panic!("{path}: {name} has no example"));
            match parameter["in"].as_str().unwrap() {
                "path" => url = url.replace(&format!("{{{name}}}"), &encoded(&value)),
                "query" => query.push(format!("{name}={}", encoded(&value))),
                "header" => headers.push((name.to_owned(), value)),
                place => panic!("{path}: a parameter in {place}"),
            }
        }
        headers.extend(media_type.iter().map(|media_type| ("content-type".to_owned(), media_type.clone())));
        if !query.is_empty() {
            url = format!("{url}?{}", query.join("&"));
        }
        Example { method: method.clone(), url, headers, body: body.clone() }
    };
    plain.chain(further).map(example).collect()
}

#[tokio::test]
async fn every_operation_answers_its_examples_as_it_says() {
    let contract = Contract::load();
    let app = TestApp::start(Setup::embedded().with("log", serde_json::json!({ "filter": "info" }))).await;
    let mut sent = 0;
    for (path, method, definition) in operations(&contract) {
        for example in examples(&contract, path, &method, definition) {
            let headers: Vec<(&str, &str)> = example.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
            let answer = app.send(example.method.clone(), &example.url, &headers, example.body.clone()).await;
            // There may be no such job, and no reconciliation yet; else examples are of what goes well.
            let is_well = (200..300).contains(&answer.status) || matches!(answer.status, 404 | 409);
            assert!(is_well, "{example:?}: {answer:?}");
            sent += 1;
        }
    }
    assert!(sent > 25, "only {sent} examples");
}

#[tokio::test]
async fn the_reader_loads_nothing_from_elsewhere() {
    let app = TestApp::embedded().await;
    let page = app.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let links = page.text.split("src=\"").skip(1).chain(page.text.split("href=\"").skip(1));
    let links: Vec<&str> = links.map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() > 3, "{}", page.text);
    for link in links.into_iter().filter(|link| *link != "data:,") {
        assert!(!link.contains(':') && !link.starts_with('/'), "{link} is not beside the page");
        app.get(&format!("/{link}")).await.success(200);
    }
}
