//! Entity ids in URLs: hostile ones work, and no two are ever the same.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

const IDS: [&str; 22] = [
    "42",
    "-1",
    "9223372036854775808",
    "a/b",
    "a%2Fb",
    "a%252Fb",
    "%",
    "%zz",
    "+",
    " ",
    "a b",
    "a+b",
    "{}",
    "{entity_id}",
    "*",
    "..",
    ".",
    "?x=1&y=2#z",
    "🦀",
    "\u{202e}abc\u{200f}",
    "é",
    "e\u{301}",
];

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn every_id_works_in_path_and_query_and_names_only_itself() {
    let app = App::new();
    for (n, id) in IDS.iter().enumerate() {
        // A different number of holders each, so that a mixed-up id shows.
        for user in 0..=n {
            app.record("Posts", id, &format!("user-{user}")).await;
        }
    }
    for (n, id) in IDS.iter().enumerate() {
        let id_in_url = encoded(id);
        for url in [
            format!("/v1/entities/Posts/{id_in_url}"),
            format!("/v1/entities?resource_type=Posts&entity_id={id_in_url}"),
        ] {
            let answer = app.get(&url).await.json();
            assert_eq!(
                (answer["entity_id"].as_str(), answer["holders"].as_u64()),
                (Some(*id), Some(n as u64 + 1)),
                "{url}"
            );
        }
        for url in [
            format!("/v1/entities/Posts/{id_in_url}/holders"),
            format!("/v1/holders?resource_type=Posts&entity_id={id_in_url}"),
        ] {
            assert_eq!(app.get(&url).await.json()["items"].as_array().unwrap().len(), n + 1, "{url}");
        }
    }
}

#[tokio::test]
async fn ids_are_decoded_exactly_once() {
    let app = App::new();
    for (in_url, id) in [("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("a%25252Fb", "a%252Fb"), ("%2e%2e", "..")] {
        for url in [
            format!("/v1/entities/Posts/{in_url}"),
            format!("/v1/entities?resource_type=Posts&entity_id={in_url}"),
        ] {
            assert_eq!(app.get(&url).await.json()["entity_id"], id, "{url}");
        }
    }
    assert_eq!(app.get("/v1/entities/Posts/a+b").await.json()["entity_id"], "a+b");
    assert_eq!(app.get("/v1/entities?resource_type=Posts&entity_id=a+b").await.json()["entity_id"], "a b");
}

#[tokio::test]
async fn the_same_id_of_another_type_is_another_entity() {
    let app = App::new();
    app.record("Posts", "42", "alice").await;
    assert_eq!(app.get("/v1/entities/Posts/42").await.json()["holders"], 1);
    assert_eq!(app.get("/v1/entities/Comments/42").await.json()["holders"], 0);
}

#[tokio::test]
async fn an_id_that_cannot_be_one_is_a_problem() {
    let app = App::new();
    let long = "x".repeat(1025);
    for in_url in ["%0A", "a%00b", "%7F", "%C2%85", "%FF", "%C0%AF", &long] {
        for url in [
            format!("/v1/entities/Posts/{in_url}"),
            format!("/v1/entities/Posts/{in_url}/holders"),
            format!("/v1/entities?resource_type=Posts&entity_id={in_url}"),
            format!("/v1/holders?resource_type=Posts&entity_id={in_url}"),
        ] {
            let answer = app.get(&url).await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (StatusCode::BAD_REQUEST, "invalid-parameter"),
                "{url}"
            );
        }
    }
    for query in [
        "",
        "?resource_type=Posts",
        "?entity_id=42",
        "?resource_type=Posts&entity_id=",
        "?resource_type=P/&entity_id=1",
    ] {
        assert_eq!(app.get(&format!("/v1/entities{query}")).await.problem(), "invalid-parameter", "{query}");
    }
    let longest = "x".repeat(1024);
    assert_eq!(app.get(&format!("/v1/entities/Posts/{longest}")).await.json()["entity_id"], longest);
}
