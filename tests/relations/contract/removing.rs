//! Dropping members after their copies are gone (DESIGN 7, rule 6).

use decache::relations::Stamp;

use super::*;

pub(crate) async fn a_member_is_dropped_only_with_the_stamp_that_was_read(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    let read = record_living(store, &entity, &alice).await.stamp;
    let came_back = record_living(store, &entity, &alice).await.stamp;
    assert_eq!(store.forget(&entity, &[(alice.clone(), read)], Duration::ZERO).await.unwrap(), 0);
    assert_eq!(walk_all(store, &entity, 10).await[0].stamp, came_back);
    assert_eq!(store.forget(&entity, &[(alice.clone(), came_back)], Duration::ZERO).await.unwrap(), 1);
    assert_eq!(walk_all(store, &entity, 10).await, []);
    let after = record_living(store, &entity, &alice).await.stamp;
    assert!(after != read && after != came_back, "a stamp is not given again after its member was dropped");
}

pub(crate) async fn dropping_what_is_not_there_is_nothing(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    assert_eq!(store.forget(&entity, &[], Duration::ZERO).await.unwrap(), 0);
    assert_eq!(store.forget(&entity, &[(alice.clone(), Stamp(1))], Duration::ZERO).await.unwrap(), 0);
    let stamp = record_living(store, &entity, &alice).await.stamp;
    let elsewhere = post("43");
    assert_eq!(store.forget(&elsewhere, &[(alice.clone(), stamp)], Duration::ZERO).await.unwrap(), 0);
    let twice = [(alice.clone(), stamp), (alice, stamp)];
    assert_eq!(store.forget(&entity, &twice, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(store.forget(&entity, &twice, Duration::ZERO).await.unwrap(), 0);
}

pub(crate) async fn dropping_a_member_leaves_its_variants_and_its_other_entities(store: &dyn Relations) {
    let (one, other) = (post("1"), post("2"));
    let (plain, page) = (member(1), variant(1, "/posts/1?page=2&t={access_token}"));
    let recorded = record_all(store, &one, [plain.clone(), page.clone()]).await;
    record_living(store, &other, &plain).await;
    assert_eq!(store.forget(&one, &[(plain.clone(), recorded[0].1.stamp)], Duration::ZERO).await.unwrap(), 1);
    assert_eq!(members(store, &one).await, [page]);
    assert_eq!(members(store, &other).await, std::slice::from_ref(&plain));
    assert!(store.vault(&[plain.holder]).await.unwrap()[0].is_some(), "the vault is left to expire");
}

pub(crate) async fn a_member_that_lingers_ends_soon_and_keeps_its_stamp(store: &dyn Relations) {
    let (entity, alice, bob) = (post("42"), member(1), member(2));
    let recorded = record_all(store, &entity, [alice.clone(), bob.clone()]).await;
    let linger = Duration::from_secs(100);
    let stamps: Vec<_> = recorded.iter().map(|(member, recorded)| (member.clone(), recorded.stamp)).collect();
    assert_eq!(store.forget(&entity, &stamps, linger).await.unwrap(), 2);
    let soon = now().after(linger + RESOLUTION);
    let held = walk_all(store, &entity, 10).await;
    assert_eq!(held.len(), 2, "whoever goes round again finds them");
    assert!(held.iter().all(|held| held.expires_at <= soon), "{held:?}");
    // Forgotten again it does not live longer; and as it is found now, it can be dropped.
    let longer: Vec<_> = held.iter().map(|held| (held.member.clone(), held.stamp)).collect();
    assert_eq!(store.forget(&entity, &longer, HOUR).await.unwrap(), 2);
    let held = walk_all(store, &entity, 10).await;
    assert!(held.iter().all(|held| held.expires_at <= soon), "{held:?}");
    let found: Vec<_> = held.iter().map(|held| (held.member.clone(), held.stamp)).collect();
    assert_eq!(store.forget(&entity, &found, Duration::ZERO).await.unwrap(), 2);
    assert_eq!(members(store, &entity).await, []);
}

pub(crate) async fn a_member_that_lingers_and_is_recorded_again_lives(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    let read = record_living(store, &entity, &alice).await.stamp;
    let linger = Duration::from_secs(1);
    assert_eq!(store.forget(&entity, &[(alice.clone(), read)], linger).await.unwrap(), 1);
    let came_back = record_living(store, &entity, &alice).await.stamp;
    let held = walk_all(store, &entity, 10).await;
    assert!(held[0].expires_at > now().after(HOUR / 2), "{held:?}");
    assert_ne!(came_back, read);
    assert_eq!(
        store.forget(&entity, &[(alice.clone(), read)], linger).await.unwrap(),
        0,
        "it was recorded since"
    );
    assert_eq!(walk_all(store, &entity, 10).await[0].stamp, came_back);
}

pub(crate) async fn a_member_that_has_lingered_is_gone(store: &dyn Relations) {
    let (entity, alice, bob) = (post("42"), member(1), member(2));
    let read = record_living(store, &entity, &alice).await.stamp;
    record_living(store, &entity, &bob).await;
    store.forget(&entity, &[(alice, read)], Duration::from_millis(1)).await.unwrap();
    let gone = async {
        while members(store, &entity).await != std::slice::from_ref(&bob) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("it ends");
}

pub(crate) async fn compacting_an_emptied_entity_keeps_it_right(store: &dyn Relations) {
    let entity = post("42");
    let recorded = record_all(store, &entity, (0..2_000).map(member)).await;
    store.invalidate(&entity, mark(now())).await.unwrap();
    let stamped: Vec<_> = recorded.into_iter().map(|(member, recorded)| (member, recorded.stamp)).collect();
    let mut dropped = 0;
    for part in stamped.chunks(300) {
        dropped += store.forget(&entity, part, Duration::ZERO).await.unwrap();
    }
    assert_eq!(dropped, 2_000);
    for newcomer in 2_000..2_003 {
        record_living(store, &entity, &member(newcomer)).await;
        store.compact(&entity).await.unwrap();
    }
    while store.compact(&entity).await.unwrap() {}
    let mut expected: Vec<_> = (2_000..2_003).map(member).collect();
    expected.sort();
    assert_eq!(members(store, &entity).await, expected);
    let staleness = store.staleness(&entity).await.unwrap();
    assert!(staleness.stale.is_some(), "giving back room does not forget the invalidation");
    record_all(store, &entity, (0..2_000).map(member)).await;
    assert_eq!(members(store, &entity).await.len(), 2_003);
}
