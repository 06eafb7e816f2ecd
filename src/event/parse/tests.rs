use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::AccessToken;

const NOW: Timestamp = Timestamp(1_763_812_800_000);

/// A valid event with these fields put over it; `null` takes one away.
fn event(changes: &Value) -> Result<Event, String> {
    let mut event = json!({"action_type": "Read", "resource_type": "Posts", "entity_id": 42});
    for (name, value) in changes.as_object().unwrap() {
        event[name] = value.clone();
    }
    parse(&event.to_string())
}

fn parse(json: &str) -> Result<Event, String> {
    Event::parse(json.as_bytes(), NOW).map_err(|error| error.0)
}

#[test]
fn an_event_with_every_field_is_read() {
    let read = parse(
        r#"{"id":"01J", "action_type":"Read", "resource_type":"Posts", "entity_id":42, "access_token":"tok-alice",
            "user_id":"alice", "occurred_at":"2025-11-22T10:00:00.123Z", "cache_key":null, "expires_in":300,
            "generation":null, "payload":{"author_id":7}}"#,
    )
    .unwrap();
    assert_eq!(read.id.as_deref(), Some("01J"));
    assert_eq!(&*read.action_type, "Read");
    assert_eq!(read.entity, Entity::new("Posts", "42").unwrap());
    assert_eq!(read.access_token, Some(AccessToken::new("tok-alice")));
    assert_eq!(read.user_id.as_deref(), Some("alice"));
    assert_eq!(read.occurred_at, Some(Timestamp(1_763_805_600_123)));
    assert_eq!(read.expires_in, Some(Duration::from_secs(300)));
    assert_eq!((read.cache_key, read.generation, read.ahead), (None, None, Duration::ZERO));
    assert_eq!(Value::Object(read.payload), json!({"author_id": 7}));
}

#[test]
fn the_least_event_has_three_fields() {
    for name in ["action_type", "resource_type", "entity_id"] {
        assert_eq!(event(&json!({name: null})).unwrap_err(), format!("{name} is missing"));
    }
    let least = event(&json!({})).unwrap();
    assert_eq!((least.access_token, least.occurred_at), (None, None));
}

#[test]
fn an_unknown_field_is_refused_with_advice_and_a_name_only_where_it_is_a_plain_one() {
    let error = event(&json!({"author_id": 7})).unwrap_err();
    assert_eq!(error, "author_id is not a field of an event: attributes of your own belong in payload");
    let error = event(&json!({"tok-alice": 7})).unwrap_err();
    assert_eq!(error, "the event has an unknown field: attributes of your own belong in payload");
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let error = parse(r#"{"entity_id":1,"action_type":"Read","entity_id":2,"resource_type":"Posts"}"#);
    assert_eq!(error.unwrap_err(), "entity_id stands twice in the event");
}

#[test]
fn what_is_not_an_object_is_refused() {
    for wrong in ["[]", "42", "null", "\"tok-alice\""] {
        assert_eq!(parse(wrong).unwrap_err(), "an event must be a JSON object");
    }
    assert!(parse("{").unwrap_err().starts_with("the event is not valid JSON"));
}

#[test]
fn any_text_without_control_characters_is_an_entity_id_as_it_is() {
    let longest = "x".repeat(1024);
    for id in [
        "0",
        "{}",
        "*",
        "/",
        "%2F",
        "..",
        " a b ",
        "🦀",
        "\u{202e}abc",
        "{access_token}",
        "a'\"&=#",
        &longest,
    ] {
        assert_eq!(&*event(&json!({"entity_id": id})).unwrap().entity.id, id);
    }
}

#[test]
fn integers_of_64_bits_are_entity_ids_as_decimal_text() {
    assert_eq!(&*event(&json!({"entity_id": -7})).unwrap().entity.id, "-7");
    assert_eq!(&*event(&json!({"entity_id": 1_u64 << 63})).unwrap().entity.id, "9223372036854775808");
    for number in ["1.5", "42.0", "1e3", "18446744073709551616", "-9223372036854775809"] {
        let event = format!(r#"{{"action_type":"Read","resource_type":"Posts","entity_id":{number}}}"#);
        assert!(parse(&event).unwrap_err().contains("send any other number as a string"), "{number}");
    }
}

#[test]
fn entity_ids_that_are_empty_long_or_hold_control_characters_are_refused() {
    for id in
        [json!(""), json!("x".repeat(1025)), json!("a\nb"), json!("\0"), json!("\u{7f}"), json!("\u{85}")]
    {
        assert!(event(&json!({"entity_id": id})).unwrap_err().starts_with("entity_id must"), "{id}");
    }
    for id in [json!(true), json!([42]), json!({})] {
        assert_eq!(event(&json!({"entity_id": id})).unwrap_err(), "entity_id must be a string or an integer");
    }
}

#[test]
fn types_are_bounded() {
    let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
    assert!(event(&json!({"action_type": longest, "resource_type": longest})).is_ok());
    assert!(event(&json!({"action_type": "é".repeat(64)})).is_ok());
    for wrong in [json!(""), json!(too_long), json!("a\nb"), json!(1)] {
        assert!(
            event(&json!({"action_type": wrong})).unwrap_err().starts_with("action_type must"),
            "{wrong}"
        );
    }
    for wrong in [json!(""), json!(too_long), json!("A:B"), json!("Pösts"), json!(1)] {
        assert!(
            event(&json!({"resource_type": wrong})).unwrap_err().starts_with("resource_type must"),
            "{wrong}"
        );
    }
}

#[test]
fn identity_may_stand_in_the_payload_and_the_token_does_not_stay_there() {
    let payload = json!({"entity_id": 42, "access_token": "tok-alice", "user_id": 7, "author_id": 8});
    let read = event(&json!({"entity_id": null, "payload": payload})).unwrap();
    assert_eq!(&*read.entity.id, "42");
    assert_eq!(read.access_token, Some(AccessToken::new("tok-alice")));
    assert_eq!(read.user_id.as_deref(), Some("7"));
    assert_eq!(Value::Object(read.payload), json!({"entity_id": 42, "user_id": 7, "author_id": 8}));
}

#[test]
fn both_places_may_agree_and_must_not_differ() {
    let same =
        json!({"access_token": "tok-alice", "payload": {"entity_id": "42", "access_token": "tok-alice"}});
    assert_eq!(event(&same).unwrap().payload.get("access_token"), None);
    for (name, value) in
        [("entity_id", json!("43")), ("access_token", json!("tok-bob")), ("user_id", json!("bob"))]
    {
        let differing = json!({"access_token": "tok-alice", "user_id": "alice", "payload": {name: value}});
        let error = event(&differing).unwrap_err();
        assert_eq!(
            error,
            format!("{name} and payload.{name} differ: give it in one place, or the same in both")
        );
    }
    assert_eq!(
        event(&json!({"payload": {"entity_id": 1.5}})).unwrap_err(),
        "payload.entity_id must be a string, or an integer of 64 bits: send any other number as a string"
    );
}

#[test]
fn tokens_from_one_byte_to_8_kib_are_taken_and_no_others() {
    for token in ["t", "tok-a&b=c#d\"'", &"x".repeat(8192)] {
        assert_eq!(event(&json!({"access_token": token})).unwrap().access_token.unwrap().expose(), token);
    }
    for token in [json!(""), json!("x".repeat(8193)), json!("tok-\n"), json!(42)] {
        assert!(event(&json!({"access_token": token})).unwrap_err().starts_with("access_token must"));
    }
}

#[test]
fn no_sentence_repeats_a_value() {
    let token = format!("tok-{}\n", "x".repeat(9000));
    for name in [
        "id",
        "action_type",
        "resource_type",
        "entity_id",
        "access_token",
        "user_id",
        "occurred_at",
        "cache_key",
        "expires_in",
        "generation",
        "payload",
    ] {
        let error = event(&json!({name: token})).unwrap_err();
        assert!(error.contains(name) && !error.contains("tok-"), "{error}");
    }
}

#[test]
fn lives_are_above_zero_and_at_most_a_leap_year() {
    let life = |seconds: Value| event(&json!({"expires_in": seconds})).map(|event| event.expires_in.unwrap());
    assert_eq!(life(json!(0.25)), Ok(Duration::from_millis(250)));
    assert_eq!(life(json!(1e-9)), Ok(Duration::from_millis(1)));
    assert_eq!(life(json!(366 * 86_400)), Ok(Duration::from_secs(366 * 86_400)));
    for wrong in [json!(0), json!(-1), json!(366 * 86_400 + 1), json!(1e300), json!("300")] {
        assert!(life(wrong.clone()).unwrap_err().starts_with("expires_in must"), "{wrong}");
    }
}

#[test]
fn generations_are_whole_and_not_negative() {
    assert_eq!(event(&json!({"generation": u64::MAX})).unwrap().generation, Some(u64::MAX));
    for wrong in [json!(-1), json!(1.5), json!("1")] {
        assert!(event(&json!({"generation": wrong})).unwrap_err().starts_with("generation must"));
    }
}

#[test]
fn a_time_after_the_arrival_is_marked() {
    let read = event(&json!({"occurred_at": "2099-01-01T00:00:00Z"})).unwrap();
    assert_eq!(read.occurred_at, Some(NOW));
    assert!(read.ahead > Duration::ZERO);
}

#[test]
fn brackets_in_strings_do_not_count_as_depth() {
    assert_eq!(depth(br#"{"a":"[[[\"[[[","b":[[]]}"#), 3);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("entity_id".to_owned()),
        Just("access_token".to_owned()),
        Just("occurred_at".to_owned()),
        Just("payload".to_owned()),
        Just("expires_in".to_owned()),
        any::<String>(),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(fields in prop::collection::btree_map("[a-z_]{2,13}", any_json(), 0..6), any in any_json()) {
        let mut event = json!({"action_type": "Read", "resource_type": "Posts", "entity_id": 42, "payload": any});
        event.as_object_mut().unwrap().extend(fields);
        let _ = Event::parse(event.to_string().as_bytes(), NOW);
        let _ = Event::parse(any.to_string().as_bytes(), NOW);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = Event::parse(&bytes, NOW);
    }

    #[test]
    fn a_token_never_stays_in_the_payload(token in "[^\\p{Cc}]{1,40}", outside: bool) {
        let outside = outside.then(|| token.clone());
        let read = event(&json!({"access_token": outside, "payload": {"access_token": token.clone()}})).unwrap();
        prop_assert!(!read.payload.contains_key("access_token"));
        prop_assert_eq!(read.access_token, Some(AccessToken::new(token)));
    }
}
