//! Events in, and what is said of each (DESIGN 3 and 9).

use serde_json::{Value, json};

use crate::{
    process::poll,
    support::{Setup, TestApp, read, token, update, with, without},
};

fn jobs(answer: &Value) -> &Vec<Value> {
    answer["jobs"].as_array().unwrap()
}

#[tokio::test]
async fn one_event_and_an_array_of_them_are_taken_alike() {
    let app = TestApp::embedded().await;
    let one = app.post_events(&with(read(42, "alice"), "id", "e-1")).await.success(202);
    assert_eq!((&one["accepted"], &one["ignored"], &one["rejected"]), (&json!(1), &json!(0), &json!([])));
    assert_eq!((&one["jobs"][0]["event"], &one["jobs"][0]["event_id"]), (&json!(0), &json!("e-1")));
    let many = app.done(&json!([read(42, "bob"), with(read(43, "bob"), "id", 7), update(44)])).await;
    assert_eq!(many["accepted"], 3);
    let of: Vec<_> = jobs(&many).iter().map(|job| (&job["event"], &job["event_id"])).collect();
    assert_eq!(of, [(&json!(0), &json!(null)), (&json!(1), &json!("7")), (&json!(2), &json!(null))]);
    app.job_once(one["jobs"][0]["id"].as_str().unwrap(), "alice is recorded", |job| job["state"] == "done")
        .await;
    assert_eq!((app.count("42").await, app.count("43").await, app.count("44").await), (2, 1, 0));
}

#[tokio::test]
async fn a_bad_event_is_named_with_its_place_and_sinks_no_other() {
    let app = TestApp::embedded().await;
    let events =
        json!([read(42, "alice"), without(update(42), "action_type"), "tok-alice", read(43, "bob"), null]);
    let answer = app.post_events_and_wait(&events).await.success(200);
    assert_eq!((&answer["accepted"], &answer["ignored"]), (&json!(2), &json!(0)));
    let rejected = json!([
        { "index": 1, "detail": "action_type is missing" },
        { "index": 2, "detail": "an event must be a JSON object" },
        { "index": 4, "detail": "an event must be a JSON object" },
    ]);
    assert_eq!(answer["rejected"], rejected);
    let of: Vec<_> = jobs(&answer).iter().map(|job| (&job["event"], &job["outcome"])).collect();
    assert_eq!(of, [(&json!(0), &json!("done")), (&json!(3), &json!("done"))]);
    assert_eq!((app.count("42").await, app.count("43").await), (1, 1));
}

#[tokio::test]
async fn an_event_that_nothing_matches_is_accepted_and_counted_as_ignored() {
    let app = TestApp::embedded().await;
    let events =
        [with(update(42), "action_type", "Like"), with(update(42), "resource_type", "BlogPosts"), update(42)];
    let answer = app.done(&json!(events)).await;
    assert_eq!((&answer["accepted"], &answer["ignored"]), (&json!(3), &json!(2)));
    assert_eq!((jobs(&answer).len(), &answer["jobs"][0]["event"]), (1, &json!(2)));
    let only_ignored = app.post_events(&events[0]).await.success(202);
    assert_eq!(only_ignored, json!({ "accepted": 1, "ignored": 1, "rejected": [], "jobs": [] }));
    assert_eq!(app.metric(r#"decache_events_total{outcome="ignored"}"#).await, 3.0);
}

#[tokio::test]
async fn where_nothing_is_acceptable_the_answer_is_422_and_says_the_same() {
    let app = TestApp::embedded().await;
    let answer = app.post_events(&json!([{}, without(read(42, "alice"), "access_token")])).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.problem(), ("no-valid-event", "none of the 2 events is valid; `rejected` says why"));
    assert_eq!((&answer.body["accepted"], &answer.body["jobs"]), (&json!(0), &json!([])));
    let indexes: Vec<_> =
        answer.body["rejected"].as_array().unwrap().iter().map(|it| it["index"].clone()).collect();
    assert_eq!(indexes, [0, 1]);
    assert_eq!(app.queue().await["queued"], 0);
    assert_eq!(app.metric(r#"decache_events_total{outcome="rejected"}"#).await, 2.0);
}

#[tokio::test]
async fn an_empty_array_is_no_mistake() {
    let app = TestApp::embedded().await;
    let nothing = json!({ "accepted": 0, "ignored": 0, "rejected": [], "jobs": [] });
    assert_eq!(app.post_events(&json!([])).await.success(202), nothing);
    assert_eq!(app.post_events_and_wait(&json!([])).await.success(200), nothing);
}

#[tokio::test]
async fn who_prefers_to_wait_is_told_how_it_ended_or_that_it_takes_longer() {
    let app = TestApp::start(Setup::embedded().job(1, json!({ "due": 3600 }))).await;
    let in_time = app.post("/v1/events", &[("prefer", "respond-async, wait=30")], &read(42, "alice")).await;
    assert_eq!((in_time.status, in_time.header("preference-applied")), (200, "wait=30"));
    assert_eq!(in_time.body["jobs"][0]["outcome"], "done");
    let late = app.post("/v1/events", &[("prefer", "wait=1")], &json!([read(43, "bob"), update(42)])).await;
    assert_eq!((late.status, late.header("preference-applied")), (202, "wait=1"));
    assert!(jobs(&late.body).iter().all(|job| job.get("outcome").is_none()), "{late:?}");
    assert_eq!(app.count("43").await, 1, "what could be done was done");
    let capped = app.post("/v1/events", &[("prefer", "wait=100000")], &read(44, "carol")).await;
    assert_eq!((capped.status, capped.header("preference-applied")), (200, "wait=60"));
}

#[tokio::test]
async fn the_same_event_twice_in_a_batch_is_one_piece_of_work() {
    let app = TestApp::embedded().await;
    let event = read(42, "alice");
    let answer = app.done(&json!([event, update(43), event])).await;
    let [first, _, second] = jobs(&answer).as_slice() else { panic!("{answer}") };
    assert_eq!((&second["supersedes"], &first["superseded_by"]), (&first["id"], &second["id"]));
    let superseded = app.job(first["id"].as_str().unwrap()).await.success(200);
    assert_eq!((&superseded["state"], &superseded["superseded_by"]), (&json!("superseded"), &second["id"]));
    assert_eq!(app.count("42").await, 1);
    app.counted_jobs(r#"state="superseded",type="cache""#, 1.0).await;
    app.counted_jobs(r#"state="done",type="cache""#, 1.0).await;
}

#[tokio::test]
async fn a_queued_job_is_superseded_by_a_later_request() {
    let app = TestApp::start(Setup::embedded().job(0, json!({ "due": 3600 }))).await;
    let first = app.post_events(&read(42, "alice")).await.success(202);
    let other = app.post_events(&read(42, "bob")).await.success(202);
    let second = app.post_events(&read(42, "alice")).await.success(202);
    assert_eq!(other["jobs"][0]["supersedes"], Value::Null, "another holder's is another job");
    assert_eq!(second["jobs"][0]["supersedes"], first["jobs"][0]["id"]);
    assert_eq!(app.queue().await["queued"], 2);
}

#[tokio::test]
async fn what_the_payload_holds_counts_as_if_it_stood_in_the_event() {
    let app = TestApp::embedded().await;
    let payload =
        json!({ "entity_id": 42, "access_token": token("alice"), "user_id": "alice", "author_id": 7 });
    let event = json!({ "action_type": "Read", "resource_type": "Posts", "payload": payload });
    app.done(&event).await;
    let holders = app.holders("Posts", "42").await.success(200);
    assert_eq!(holders["items"][0]["user_id"], "alice");
    assert_eq!(holders["items"][0]["holder"], app.look_up(&token("alice")).await.success(200)["holder"]);
}

#[tokio::test]
async fn a_wait_is_not_granted_while_half_of_all_connections_wait() {
    let few = Setup::embedded()
        .job(1, json!({ "due": 3600 }))
        .with("server", json!({ "limits": { "connections": 8 } }));
    let app = TestApp::start(few).await;
    let updates: Vec<Value> = (0..4).map(update).collect();
    let waiting = updates.iter().map(|update| app.post_events_and_wait(update));
    let told = async {
        let all = async || (app.queue().await["queued"] == 4).then_some(());
        poll("all others wait", all).await;
        app.post_events_and_wait(&update(5)).await
    };
    let answer = tokio::select! {
        answer = told => answer,
        _ = futures_util::future::join_all(waiting) => panic!("nothing is due for an hour"),
    };
    assert_eq!((answer.status, answer.headers.get("preference-applied")), (202, None));
}
