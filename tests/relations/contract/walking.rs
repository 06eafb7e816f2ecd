//! Walks in pages (DESIGN 7, rule 7).

use std::collections::BTreeSet;

use super::*;

pub(crate) async fn an_entity_without_members_is_one_empty_page(store: &dyn Relations) {
    let page = store.walk(&post("42"), Position(0), 10).await.unwrap();
    assert_eq!((page.held, page.next), (Vec::new(), None));
}

pub(crate) async fn pages_are_about_the_limit_in_order_and_end_between_positions(store: &dyn Relations) {
    let entity = post("42");
    let mut expected: Vec<_> = (0..1_000).map(member).collect();
    // Seven that share a position.
    expected.extend((0..7).map(|last| {
        let mut shared = member(1_000);
        shared.holder.0[15] = last;
        shared
    }));
    record_all(store, &entity, expected.clone()).await;
    expected.sort_by_key(|member| (member.position(), member.clone()));
    for limit in [1, 10, 128, 2_000] {
        let (mut found, mut from) = (Vec::new(), Some(Position(0)));
        while let Some(position) = from {
            let page = store.walk(&entity, position, limit).await.unwrap();
            assert!(!page.held.is_empty() && page.held.len() <= limit + 256, "about {limit}");
            assert!(page.held.iter().all(|held| held.member.position() >= position));
            let last = page.held.last().unwrap().member.position();
            assert!(page.next.is_none_or(|next| next > last), "a position is in one page");
            found.extend(page.held.into_iter().map(|held| held.member));
            from = page.next;
        }
        assert!(found == expected, "each once, in the order of position and member, with limit {limit}");
    }
}

pub(crate) async fn a_walk_goes_on_from_any_position(store: &dyn Relations) {
    let entity = post("42");
    record_all(store, &entity, (0..300).map(member)).await;
    let all = walk_all(store, &entity, 1_000).await;
    // They have grown older meanwhile.
    let ageless = |held: &[Held]| -> Vec<Held> {
        held.iter().map(|held| Held { age: Duration::ZERO, ..held.clone() }).collect()
    };
    for (at, held) in all.iter().enumerate().step_by(29) {
        let page = store.walk(&entity, held.member.position(), 1_000).await.unwrap();
        assert!(ageless(&page.held) == ageless(&all[at..]), "from member {at} on");
    }
    let page = store.walk(&entity, Position(u32::MAX), 10).await.unwrap();
    assert_eq!((page.held, page.next), (Vec::new(), None));
}

pub(crate) async fn a_walk_of_5_000_misses_none_that_was_there_all_along(store: &dyn Relations) {
    let entity = post("42");
    record_all(store, &entity, (0..5_000).map(member)).await;
    let mut goers = record_all(store, &entity, (5_000..6_000).map(member)).await.into_iter();
    let (mut newcomers, mut found, mut from) = (6_000.., Vec::new(), Some(Position(0)));
    while let Some(position) = from {
        let page = store.walk(&entity, position, 100).await.unwrap();
        found.extend(page.held.into_iter().map(|held| held.member));
        from = page.next;
        let going: Vec<_> =
            goers.by_ref().take(20).map(|(member, recorded)| (member, recorded.stamp)).collect();
        store.forget(&entity, &going, Duration::ZERO).await.unwrap();
        record_all(store, &entity, newcomers.by_ref().take(100).map(member)).await;
        store.compact(&entity).await.unwrap();
    }
    let once: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(once.len(), found.len(), "nobody is walked twice");
    let missed = (0..5_000).map(member).filter(|member| !once.contains(member)).count();
    assert_eq!(missed, 0);
    let left: BTreeSet<_> = members(store, &entity).await.into_iter().collect();
    assert!((0..5_000).all(|number| left.contains(&member(number))));
}

pub(crate) async fn a_member_is_at_most_as_old_as_its_last_recording(store: &dyn Relations) {
    let (entity, clock) = (post("42"), Clock::start());
    let age = async || store.walk(&entity, Position::default(), 10).await.unwrap().held[0].age;
    record_living(store, &entity, &member(1)).await;
    while age().await < Duration::from_millis(20) {}
    let began = clock.tick();
    record_living(store, &entity, &member(1)).await;
    let again = age().await;
    // Each store counts in its own unit, a millisecond at most.
    assert!(again <= clock.tick().since(began) + Duration::from_millis(1), "{again:?}");
}
