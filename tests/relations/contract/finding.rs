//! Looking members up, and finding the entities that have any.

use std::collections::BTreeSet;

use super::*;

pub(crate) async fn members_are_found_as_a_walk_finds_them_in_the_order_asked(store: &dyn Relations) {
    let (big, small) = (post("big"), post("small"));
    record_all(store, &big, (0..600).map(member)).await;
    record_living(store, &small, &variant(1, "/small?page=2&t={access_token}")).await;
    let walked = walk_all(store, &big, 1_000).await;
    let mut wanted: Vec<_> = (0..600).rev().map(|number| (big.clone(), member(number))).collect();
    wanted.insert(300, (small.clone(), variant(1, "/small?page=2&t={access_token}")));
    let found = store.held(&wanted).await.unwrap();
    assert_eq!(found.len(), 601);
    for ((entity, member), held) in wanted.iter().zip(found) {
        let held = held.expect("it is there");
        assert_eq!(held.member, *member);
        let is_walked = |walked: &Held| {
            (&walked.member, walked.stamp, walked.expires_at) == (&held.member, held.stamp, held.expires_at)
        };
        assert!(*entity == small || walked.iter().any(is_walked), "stamp and expiry are those of a walk");
    }
}

pub(crate) async fn what_is_not_held_or_no_longer_is_not_found(store: &dyn Relations) {
    let entity = post("42");
    record_living(store, &entity, &member(1)).await;
    record(store, &expired(&entity, &member(2))).await;
    let asked = |member: Member, entity: &Entity| (entity.clone(), member);
    let found = store
        .held(&[
            asked(member(2), &entity),
            asked(member(3), &entity),
            asked(variant(1, "/p{access_token}"), &entity),
            asked(member(1), &post("43")),
            asked(member(1), &entity),
        ])
        .await
        .unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, false, true]);
    assert_eq!(store.held(&[]).await.unwrap(), []);
}

async fn named(store: &dyn Relations, limit: usize) -> Vec<Entity> {
    let (mut named, mut from) = (Vec::new(), Some(EntityCursor::default()));
    while let Some(cursor) = from {
        let page = store.entities(&cursor, limit).await.unwrap();
        named.extend(page.entities);
        from = page.next;
        // Comes and goes, and says nothing of the others.
        let passing = post(format!("passing-{}", named.len()));
        let recorded = record_living(store, &passing, &member(1)).await;
        store.forget(&passing, &[(member(1), recorded.stamp)], Duration::ZERO).await.unwrap();
    }
    named
}

pub(crate) async fn every_entity_with_members_is_named_whatever_comes_and_goes(store: &dyn Relations) {
    let ids = (0..200).map(|number| format!("id-{number}")).chain(["a:b}:%7D{é*?".to_owned()]);
    let mut there: BTreeSet<Entity> = ids.map(post).collect();
    there.insert(Entity { resource_type: "holder".into(), id: "42".into() });
    for entity in &there {
        record_living(store, entity, &member(1)).await;
    }
    // With many buckets, and with a mark.
    record_all(store, &post("id-7"), (0..1_000).map(member)).await;
    store.invalidate(&post("id-8"), mark(now())).await.unwrap();
    for limit in [1, 10, 1_000] {
        let named: BTreeSet<Entity> = named(store, limit).await.into_iter().collect();
        assert!(there.is_subset(&named), "with limit {limit}");
        assert!(
            named.iter().all(|it| there.contains(it) || it.id.starts_with("passing-")),
            "with limit {limit}"
        );
    }
}

pub(crate) async fn an_empty_store_names_no_entity(store: &dyn Relations) {
    let page = store.entities(&EntityCursor::default(), 10).await.unwrap();
    assert_eq!((page.entities, page.next), (Vec::new(), None));
}
