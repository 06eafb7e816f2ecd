//! Paging through an entity's holders while others come and go.

use std::{cell::Cell, collections::BTreeMap};

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Setup, TestApp, read, with},
};

const STAYING: usize = 2000;
/// Holders who come, and go, in one round.
const GUESTS: usize = 100;
const ROUNDS: usize = 12;

/// How often each user is shown on the pages of one walk.
async fn page_through(app: &TestApp, limit: usize) -> BTreeMap<String, usize> {
    let (mut shown, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = app.holders_by_query("Posts", "42", &format!("&limit={limit}{cursor}")).await.success(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "a page of {}", items.len());
        for item in items {
            *shown.entry(item["user_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return shown,
        }
    }
}

/// Guests come, and the same guests go: a read that is too old takes its holder away.
async fn come_and_go(app: &TestApp) {
    for round in 0..ROUNDS {
        let guests: Vec<_> = (0..GUESTS).map(|n| read(42, &format!("guest-{round}-{n}"))).collect();
        app.done(&json!(guests)).await;
        let leaving = guests.into_iter().map(|event| with(event, "occurred_at", "1970-01-01T00:00:00Z"));
        app.done(&leaving.collect()).await;
    }
}

async fn everybody_who_stays_is_shown_once(setup: Setup) {
    let app = TestApp::start(setup).await;
    let stays = |n: usize| format!("stays-{n}");
    for batch in (0..STAYING).collect::<Vec<_>>().chunks(1000) {
        app.done(&batch.iter().map(|n| read(42, &stays(*n))).collect::<Value>()).await;
    }
    let over = Cell::new(false);
    let churn = async {
        come_and_go(&app).await;
        over.set(true);
    };
    let walks = async {
        while !over.get() {
            let shown = page_through(&app, 137).await;
            for n in 0..STAYING {
                assert_eq!(shown.get(&stays(n)), Some(&1), "{}", stays(n));
            }
            assert!(shown.values().all(|times| *times == 1), "a guest who left has not come back");
        }
    };
    tokio::join!(churn, walks);
    assert_eq!(page_through(&app, 1000).await.len(), STAYING);
    assert_eq!(app.count("42").await, STAYING as u64);
}

#[tokio::test]
async fn everybody_who_stays_is_shown_once_with_the_embedded_store() {
    everybody_who_stays_is_shown_once(Setup::embedded()).await;
}

#[tokio::test]
async fn everybody_who_stays_is_shown_once_with_redis() {
    let index = RedisServer::start();
    everybody_who_stays_is_shown_once(Setup::redis(&index)).await;
}
