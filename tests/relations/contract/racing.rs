//! Many at once: whatever the order in which a store does it, nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use decache::relations::Stamp;
use futures_util::future::{join, join_all};

use super::*;

/// Rule 1: whoever comes second sees the first.
pub(crate) async fn a_recording_sees_stale_or_the_walk_sees_the_member(store: &dyn Relations) {
    let both = (0..150).map(|id| async move {
        let (entity, alice) = (post(id.to_string()), member(id));
        let invalidated = async {
            store.invalidate(&entity, mark(now())).await.unwrap();
            !walk_all(store, &entity, 10).await.is_empty()
        };
        let (recorded, walked) = match id % 2 {
            0 => join(record_living(store, &entity, &alice), invalidated).await,
            _ => {
                let (walked, recorded) = join(invalidated, record_living(store, &entity, &alice)).await;
                (recorded, walked)
            }
        };
        assert!(recorded.stale.is_some() || walked, "entity {id}: a copy that nobody removes");
    });
    join_all(both).await;
}

/// Rule 6, with a fan-out and the holders' return side by side.
pub(crate) async fn a_holder_who_comes_back_during_a_fan_out_stays(store: &dyn Relations) {
    let entity = post("42");
    let before = record_all(store, &entity, (0..400).map(member)).await;
    let read: Vec<_> = before.into_iter().map(|(member, recorded)| (member, recorded.stamp)).collect();
    let returning = join_all((0..400).step_by(2).map(|number| {
        let entity = &entity;
        async move { (member(number), record_living(store, entity, &member(number)).await.stamp) }
    }));
    let dropping = join_all(read.chunks(25).map(|part| store.forget(&entity, part, Duration::ZERO)));
    let (returned, dropped) = join(returning, dropping).await;
    let held: BTreeMap<_, _> =
        walk_all(store, &entity, 100).await.into_iter().map(|held| (held.member, held.stamp)).collect();
    assert_eq!(held, returned.into_iter().collect());
    let dropped: usize = dropped.into_iter().map(Result::unwrap).sum();
    assert!((200..=400).contains(&dropped), "all who did not come back, and some before they did: {dropped}");
}

/// Every task records and drops members of its own at random among everybody's, and always finds exactly its own.
pub(crate) async fn many_tasks_never_lose_a_member_that_nobody_forgot(store: &dyn Relations) {
    let left = join_all((0..16).map(|task| async move { come_and_go(store, task).await })).await;
    for id in 0..2 {
        let expected: BTreeSet<_> =
            left.iter().flatten().filter(|(at, _)| *at == id).map(|(_, member)| member.clone()).collect();
        let found: BTreeSet<_> = members(store, &post(id.to_string())).await.into_iter().collect();
        assert!(found == expected, "entity {id}: {} found of {}", found.len(), expected.len());
    }
}

async fn come_and_go(store: &dyn Relations, task: usize) -> BTreeSet<(usize, Member)> {
    let mut own: BTreeMap<(usize, usize), Stamp> = BTreeMap::new();
    for round in 0..25 {
        let dice = *blake3::hash(&[task, round].map(usize::to_be_bytes).concat()).as_bytes();
        let id = usize::from(dice[0] % 2);
        let entity = post(id.to_string());
        let chosen: BTreeSet<_> = dice[2..12].iter().map(|byte| usize::from(byte % 40)).collect();
        let (known, unknown): (Vec<_>, Vec<_>) =
            chosen.into_iter().map(|number| (id, number)).partition(|place| own.contains_key(place));
        let named = |number| member(task * 1_000 + number);
        if dice[1].is_multiple_of(3) {
            let stamped: Vec<_> = known.iter().map(|place| (named(place.1), own[place])).collect();
            assert_eq!(store.forget(&entity, &stamped, Duration::ZERO).await.unwrap(), stamped.len());
            own.retain(|place, _| !known.contains(place));
        } else {
            let old: Vec<_> = known.iter().map(|place| (named(place.1), own[place])).collect();
            let places: Vec<_> = known.into_iter().chain(unknown).collect();
            let recorded = record_all(store, &entity, places.iter().map(|place| named(place.1))).await;
            own.extend(places.into_iter().zip(recorded.into_iter().map(|(_, recorded)| recorded.stamp)));
            assert_eq!(
                store.forget(&entity, &old, Duration::ZERO).await.unwrap(),
                0,
                "they have come back since"
            );
        }
        if dice[12].is_multiple_of(4) {
            store.compact(&entity).await.unwrap();
        }
        let found: BTreeMap<_, _> =
            walk_all(store, &entity, 64).await.into_iter().map(|held| (held.member, held.stamp)).collect();
        for number in 0..40 {
            let expected = own.get(&(id, number));
            assert_eq!(found.get(&named(number)), expected, "task {task} round {round} member {number}");
        }
    }
    own.into_keys().map(|(id, number)| (id, member(task * 1_000 + number))).collect()
}

pub(crate) async fn a_stamp_is_given_once(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    let given = join_all((0..200).map(|_| record_living(store, &entity, &alice))).await;
    let different: BTreeSet<_> = given.iter().map(|recorded| recorded.stamp).collect();
    assert_eq!(different.len(), given.len());
    let held = walk_all(store, &entity, 10).await;
    assert!(different.contains(&held[0].stamp));
}
