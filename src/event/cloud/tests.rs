use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp(1_763_812_800_000);

fn knows(name: &str) -> bool {
    name == "Posts"
}

fn read() -> Value {
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/api", "type": "com.playerpro.Posts.Read", "subject": "42",
        "time": "2025-11-22T10:00:00.123Z", "datacontenttype": "application/json",
        "data": { "access_token": "tok-alice", "user_id": "alice", "expires_in": 300, "payload": { "author_id": 7 } },
    })
}

fn with(mut event: Value, name: &str, value: Value) -> Value {
    event[name] = value;
    event
}

fn without(mut event: Value, name: &str) -> Value {
    event.as_object_mut().unwrap().remove(name);
    event
}

fn event(document: &Value) -> Result<Event, String> {
    let mut events = structured(document.to_string().as_bytes(), &knows, NOW).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0).map_err(|error| error.0)
}

fn plain() -> Event {
    let json = json!({
        "id": "e-1", "action_type": "Read", "resource_type": "Posts", "entity_id": "42", "access_token": "tok-alice",
        "user_id": "alice", "occurred_at": "2025-11-22T10:00:00.123Z", "expires_in": 300, "payload": { "author_id": 7 },
    });
    Event::parse(json.to_string().as_bytes(), NOW).unwrap()
}

fn attributes(document: &Value) -> Attributes {
    let mut attributes = Attributes::default();
    for name in Attributes::NAMES {
        if let Some(text) = document[name].as_str() {
            attributes.put(name, text.to_owned());
        }
    }
    attributes
}

#[test]
fn every_mode_gives_the_event_that_the_plain_form_gives() {
    assert_eq!(event(&read()), Ok(plain()));
    let many = batch(json!([read(), read()]).to_string().as_bytes(), 2, &knows, NOW).unwrap();
    assert_eq!(many, [Ok(plain()), Ok(plain())]);
    let data = read()["data"].to_string();
    assert_eq!(binary(&attributes(&read()), data.as_bytes(), &knows, NOW).unwrap(), [Ok(plain())]);
    let encoded = STANDARD.encode(format!(" {data}\n"));
    assert_eq!(event(&with(without(read(), "data"), "data_base64", encoded.into())), Ok(plain()));
}

#[test]
fn what_the_attributes_say_needs_no_data() {
    let update =
        json!({ "specversion": "1.0", "id": "e", "source": "s", "type": "Posts.Update", "subject": "a b" });
    let taken = event(&update).unwrap();
    assert_eq!((&*taken.action_type, &*taken.entity.id, taken.occurred_at), ("Update", "a b", None));
    assert_eq!(
        event(&with(with(update.clone(), "data", json!(null)), "time", json!(null))),
        Ok(taken.clone())
    );
    assert_eq!(binary(&attributes(&update), b"\r\n", &knows, NOW).unwrap(), [Ok(taken)]);
}

#[test]
fn extension_attributes_are_passed_over() {
    let more = json!({ "traceparent": "00-a", "sequence": 7, "partitionkey": ["tok-x"], "dataschema": "https://x/" });
    let mut extended = read();
    extended.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert_eq!(event(&extended), Ok(plain()));
}

#[test]
fn what_stands_in_both_places_has_to_be_the_same() {
    let data = |name: &str, value: Value| with(read(), "data", with(read()["data"].clone(), name, value));
    for same in [
        data("id", json!("e-1")),
        data("entity_id", json!(42)),
        data("resource_type", json!("Posts")),
        data("action_type", json!("Read")),
        data("occurred_at", json!(1_763_805_600_123_u64)),
    ] {
        assert_eq!(event(&same), Ok(plain()), "{same}");
    }
    for (other, expected) in [
        (data("id", json!("e-2")), "id and data.id differ"),
        (data("entity_id", json!(43)), "subject and data.entity_id differ"),
        (data("occurred_at", json!(1_763_805_600_124_u64)), "time and data.occurred_at differ"),
        (data("action_type", json!("Update")), "data.action_type says another one"),
        (data("resource_type", json!("Blogs")), "data.resource_type says another one"),
        (data("payload", json!({ "entity_id": 43 })), "entity_id and payload.entity_id differ"),
    ] {
        assert!(event(&other).unwrap_err().contains(expected), "{other}");
    }
}

#[test]
fn a_cloud_event_that_is_not_valid_says_what_is_wrong_and_repeats_nothing() {
    let set = |name: &str, value: Value| with(read(), name, value);
    for (document, expected) in [
        (without(read(), "specversion"), "specversion is missing"),
        (set("specversion", json!("0.3")), "specversion must be 1.0"),
        (set("specversion", json!("2.0")), "specversion must be 1.0"),
        (set("specversion", json!("1.")), "specversion must be 1.0"),
        (set("specversion", json!(1.0)), "specversion must be a string"),
        (without(read(), "id"), "id is missing"),
        (set("id", json!("")), "id must not be empty"),
        (without(read(), "source"), "source is missing"),
        (without(read(), "type"), "type is missing"),
        (set("type", json!("tok-alice")), "type must end in <resource_type>.<action_type>"),
        (without(read(), "subject"), "subject is missing"),
        (set("subject", json!(42)), "subject must be a string"),
        (set("subject", json!("")), "entity_id must not be empty"),
        (set("time", json!("yesterday")), "occurred_at must be an RFC 3339 time"),
        (set("time", json!("2025-11-22T10:00:00")), "occurred_at must be an RFC 3339 time"),
        (set("datacontenttype", json!("text/tok-alice")), "datacontenttype must be application/json"),
        (set("data", json!("tok-alice")), "data must be a JSON object"),
        (set("data", json!([{}])), "data must be a JSON object"),
        (set("data", json!({ "tok-alice": 1 })), "the event has an unknown field"),
        (set("data", json!({ "author_id": 1 })), "author_id is not a field of an event"),
        (set("data_base64", json!("e30=")), "data and data_base64 are both there"),
        (with(without(read(), "data"), "data_base64", json!("tok-")), "data_base64 must be the base64"),
        (with(without(read(), "data"), "data_base64", json!("W10=")), "data_base64 must be the base64"),
        (with(without(read(), "data"), "data_base64", json!({})), "data_base64 must be the base64"),
    ] {
        let error = event(&document).unwrap_err();
        assert!(error.contains(expected), "{document}: {error}");
        assert!(!error.contains("tok-"), "{error}");
    }
    let twice = br#"{"specversion":"1.0","id":"a","id":"b"}"#;
    assert_eq!(
        structured(twice, &knows, NOW).unwrap()[0].as_ref().unwrap_err().0,
        "id stands twice in the CloudEvent"
    );
}

#[test]
fn a_body_that_is_of_another_form_says_so() {
    let structured = |body: &str| structured(body.as_bytes(), &knows, NOW);
    let batch = |body: &str| batch(body.as_bytes(), 2, &knows, NOW);
    for body in ["", " \n"] {
        assert_eq!((structured(body), batch(body)), (Err(BodyError::Empty), Err(BodyError::Empty)));
    }
    for other in ["[]", "null", "42", "\"tok-alice\""] {
        assert_eq!(structured(other), Err(BodyError::NotOneCloudEvent), "{other}");
    }
    for other in ["{}", "null"] {
        assert_eq!(batch(other), Err(BodyError::NotManyCloudEvents), "{other}");
    }
    assert_eq!(batch("[]"), Ok(vec![]));
    assert_eq!(batch("[1,2,3]"), Err(BodyError::TooMany { found: 3, limit: 2 }));
    for cut in ["{", "[{", &read().to_string()[..60]] {
        assert!(matches!(structured(cut), Err(BodyError::Truncated(_))), "{cut}");
        assert!(matches!(batch(cut), Err(BodyError::Truncated(_))), "{cut}");
    }
    let binary = |data: &str| binary(&attributes(&read()), data.as_bytes(), &knows, NOW);
    assert!(matches!(binary("{"), Err(BodyError::Truncated(_))));
    assert!(matches!(binary("tok-alice"), Err(BodyError::NotJson(_))));
    assert_eq!(binary("[]").unwrap()[0].as_ref().unwrap_err().0, "data must be a JSON object");
}

#[test]
fn data_may_be_as_deep_as_an_event_and_no_deeper() {
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "in": inner }));
    let deep = |levels| with(read(), "data", json!({ "access_token": "tok-a", "payload": nested(levels) }));
    assert!(event(&deep(63)).is_ok());
    let text = deep(64).to_string();
    assert_eq!(structured(text.as_bytes(), &knows, NOW), Err(BodyError::TooDeep));
    let many = batch(format!("[{text}]").as_bytes(), 2, &knows, NOW).unwrap();
    assert!(many[0].as_ref().unwrap_err().0.contains("nested too deeply"));
    let data = deep(64)["data"].to_string();
    assert_eq!(binary(&attributes(&read()), data.as_bytes(), &knows, NOW), Err(BodyError::TooDeep));
}
