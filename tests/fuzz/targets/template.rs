//! Key templates and variants: four lines, a template, an entity id, a `cache_key` and a token.

use decache::{
    event::{AccessToken, Entity},
    template::{KeyTemplate, Templates},
};

/// What parses displays as what it was parsed from; a variant that is taken reads back, begins as its entity's keys do
/// and is one user's.
pub(super) fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(4, '\n');
    let (text, id) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let (cache_key, token) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    // A variant as a store may hold it.
    if let Ok(stored) = KeyTemplate::parse_variant(cache_key) {
        assert_eq!(stored.to_string(), cache_key);
    }
    let (Ok(template), Ok(entity)) = (KeyTemplate::parse(text), Entity::new("Posts", id)) else { return };
    assert_eq!(template.to_string(), text);
    let token = AccessToken::new(token);
    let own = template.for_entity(&entity.id);
    let reread = KeyTemplate::parse_variant(&own.to_string()).expect("an entity's template");
    assert_eq!(reread, own);
    assert_eq!(own.expand("another", Some(&token)), template.expand(&entity.id, Some(&token)));
    assert_eq!(template.expand(&entity.id, None).is_none(), template.uses_token());
    reverse(&template, &entity, &token, cache_key);
    variant(template, &entity, cache_key, &token);
}

/// A key tells what it was made of, and every way to read one makes it again.
fn reverse(template: &KeyTemplate, entity: &Entity, token: &AccessToken, other: &str) {
    let made = template.expand(&entity.id, Some(token)).expect("a key").0;
    let is_token = !token.expose().is_empty()
        && token.expose().len() <= AccessToken::MAX_BYTES
        && !token.expose().contains(char::is_control);
    let readings = template.readings(&made);
    if template.is_reversible() && is_token && !readings.is_cut_off {
        let told = readings.found.iter().any(|reading| {
            let is_holders = |read: &AccessToken| read == token || !template.uses_token();
            reading.entity_id.as_deref() == Some(&*entity.id)
                && reading.token.as_ref().is_some_and(is_holders)
        });
        assert!(told, "a key does not tell what it was made of");
    }
    for reading in template.readings(other).found {
        if let (Some(id), Some(token)) = (&reading.entity_id, &reading.token) {
            assert_eq!(template.expand(id, Some(token)).expect("a key").0, other);
        }
    }
}

fn variant(template: KeyTemplate, entity: &Entity, cache_key: &str, token: &AccessToken) {
    let head = head(&template, entity);
    let templates = Templates::new(vec![template]);
    match templates.variant(entity, cache_key, Some(token)) {
        Ok(Some(variant)) => {
            assert!(variant.uses_token(), "one key for all users");
            assert_eq!(KeyTemplate::parse_variant(&variant.to_string()).as_ref(), Ok(&variant));
            assert!(variant.shown().starts_with(&head), "another entity's key");
        }
        Ok(None) => assert!(cache_key.starts_with(&head)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What every key of the entity begins with, up to its id's first place.
fn head(template: &KeyTemplate, entity: &Entity) -> String {
    let (id, other) = (template.for_entity(&entity.id).shown(), template.for_entity("\u{1}").shown());
    let common = id.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count();
    let boundary = (0..=common).rev().find(|at| id.is_char_boundary(*at)).unwrap_or_default();
    id[..boundary].to_owned()
}
