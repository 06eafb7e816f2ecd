//! What each holder holds, and revoking it (DESIGN 7, rule 10).

use std::collections::BTreeSet;

use decache::{
    relations::{HeldEntity, Holding, Stamp},
    secret::HolderId,
};
use futures_util::future::{join, join_all};

use super::*;

fn holding(id: impl Into<Box<str>>) -> Holding {
    Holding { entity: post(id), variant: None }
}

/// All that a holder holds, in pages of about `limit`.
async fn all_of(store: &dyn Relations, holder: HolderId, limit: usize) -> Vec<HeldEntity> {
    let (mut held, mut from) = (Vec::new(), Some(Position(0)));
    while let Some(position) = from {
        let page = store.entities_of(holder, position, limit).await.unwrap();
        assert!(page.next.is_none_or(|next| next > position), "a walk goes forward");
        assert!(page.next.is_none() || !page.held.is_empty(), "a page before the last is not empty");
        held.extend(page.held);
        from = page.next;
    }
    held
}

async fn holdings(store: &dyn Relations, who: &Member) -> BTreeSet<Holding> {
    all_of(store, who.holder, 100).await.into_iter().map(|held| held.holding).collect()
}

/// Records that a holder holds posts, in batches.
async fn record_posts(store: &dyn Relations, who: &Member, ids: impl IntoIterator<Item = usize>) {
    let all: Vec<_> = ids.into_iter().map(|id| living(&post(id.to_string()), who)).collect();
    for batch in all.chunks(500) {
        store.record(batch).await.unwrap();
    }
}

pub(crate) async fn what_a_holder_holds_is_read_back_as_it_was_recorded(store: &dyn Relations) {
    let (alice, bob) = (member(1), member(2));
    let page = variant(1, "/posts/1?page=2&t={access_token}");
    let comment = Entity { resource_type: "Comments".into(), id: "1".into() };
    let batch = [
        living(&post("1"), &alice),
        living(&post("1"), &bob),
        living(&comment, &alice),
        living(&post("1"), &page),
        living(&post("a:b}é"), &alice),
    ];
    store.record(&batch).await.unwrap();
    let of_alice = BTreeSet::from([
        holding("1"),
        Holding { entity: comment, variant: None },
        Holding { variant: page.variant, ..holding("1") },
        holding("a:b}é"),
    ]);
    assert_eq!(holdings(store, &alice).await, of_alice);
    assert_eq!(holdings(store, &bob).await, BTreeSet::from([holding("1")]));
    assert_eq!(holdings(store, &member(3)).await, BTreeSet::new());
    for held in all_of(store, alice.holder, 1).await {
        let at_least = batch[0].expires_at;
        assert!(held.expires_at >= at_least && held.expires_at < at_least.after(RESOLUTION));
    }
}

pub(crate) async fn a_holders_pages_are_in_order_and_about_the_limit(store: &dyn Relations) {
    let alice = member(1);
    record_posts(store, &alice, 0..1_000).await;
    let mut expected: Vec<_> = (0..1_000).map(|id| holding(id.to_string())).collect();
    expected.sort_by_key(|holding| (holding.position(), holding.clone()));
    for limit in [1, 100, 2_000] {
        let found: Vec<_> =
            all_of(store, alice.holder, limit).await.into_iter().map(|it| it.holding).collect();
        assert!(found == expected, "each once, in order, with limit {limit}");
        let first = store.entities_of(alice.holder, Position(0), limit).await.unwrap();
        assert!(first.held.len() <= limit + 256, "about {limit}: {}", first.held.len());
    }
}

pub(crate) async fn pages_of_a_holder_miss_nothing_that_was_there_all_along(store: &dyn Relations) {
    let alice = member(1);
    record_posts(store, &alice, 0..2_000).await;
    let (mut newcomers, mut found, mut from) = (10_000.., Vec::new(), Some(Position(0)));
    while let Some(position) = from {
        let page = store.entities_of(alice.holder, position, 100).await.unwrap();
        from = page.next;
        let going: Vec<_> = page.held.iter().step_by(3).map(|it| (it.holding.clone(), it.stamp)).collect();
        found.extend(page.held.into_iter().map(|held| held.holding));
        store.release(alice.holder, &going, Duration::ZERO).await.unwrap();
        record_posts(store, &alice, newcomers.by_ref().take(80)).await;
    }
    let once: BTreeSet<_> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "nothing is shown twice");
    let missed = (0..2_000).filter(|id| !once.contains(&holding(id.to_string()))).count();
    assert_eq!(missed, 0);
}

pub(crate) async fn an_entry_ends_with_the_longest_of_its_recordings(store: &dyn Relations) {
    let (alice, entity) = (member(1), post("42"));
    let long = living(&entity, &alice);
    store.record(std::slice::from_ref(&long)).await.unwrap();
    let short = Recording { expires_at: now().after(Duration::from_secs(10)), ..long.clone() };
    store.record(&[short]).await.unwrap();
    assert!(all_of(store, alice.holder, 10).await[0].expires_at >= long.expires_at);
    let bob = member(2);
    store.record(&[expired(&entity, &bob)]).await.unwrap();
    assert_eq!(holdings(store, &bob).await, BTreeSet::new());
}

pub(crate) async fn an_entry_is_released_only_with_the_stamp_that_was_read(store: &dyn Relations) {
    let (alice, entity) = (member(1), post("42"));
    record_living(store, &entity, &alice).await;
    let read = all_of(store, alice.holder, 10).await[0].clone();
    record_living(store, &entity, &alice).await;
    let old = [(read.holding.clone(), read.stamp)];
    assert_eq!(store.release(alice.holder, &old, Duration::ZERO).await.unwrap(), 0, "it has come back since");
    let current = all_of(store, alice.holder, 10).await[0].clone();
    assert_ne!(current.stamp, read.stamp);
    let unknown = (holding("43"), Stamp(1));
    let both = [(current.holding, current.stamp), unknown];
    assert_eq!(store.release(alice.holder, &both, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(holdings(store, &alice).await, BTreeSet::new());
    assert_eq!(members(store, &entity).await, [alice], "the member is another matter");
}

pub(crate) async fn an_entry_that_lingers_ends_soon_and_is_there_until_then(store: &dyn Relations) {
    let alice = member(1);
    record_posts(store, &alice, 0..3).await;
    let as_read = async || -> Vec<_> {
        all_of(store, alice.holder, 10).await.into_iter().map(|it| (it.holding, it.stamp)).collect()
    };
    let linger = Duration::from_secs(100);
    assert_eq!(store.release(alice.holder, &as_read().await[..2], linger).await.unwrap(), 2);
    let soon = now().after(linger + RESOLUTION);
    let held = all_of(store, alice.holder, 10).await;
    let ends: Vec<_> = held.iter().map(|it| it.expires_at <= soon).collect();
    assert_eq!(ends, [true, true, false], "whoever goes round again finds them all");
    assert_eq!(store.release(alice.holder, &as_read().await, HOUR * 2).await.unwrap(), 3);
    let ends = all_of(store, alice.holder, 10).await.into_iter().filter(|it| it.expires_at <= soon).count();
    assert_eq!(ends, 2, "none lives longer by it");
    assert_eq!(store.release(alice.holder, &as_read().await, Duration::ZERO).await.unwrap(), 3);
    assert_eq!(holdings(store, &alice).await, BTreeSet::new());
}

pub(crate) async fn an_entry_that_lingers_and_is_recorded_again_lives(store: &dyn Relations) {
    let (alice, entity) = (member(1), post("42"));
    record_living(store, &entity, &alice).await;
    let read = all_of(store, alice.holder, 10).await.remove(0);
    let old = [(read.holding, read.stamp)];
    assert_eq!(store.release(alice.holder, &old, Duration::from_secs(1)).await.unwrap(), 1);
    record_living(store, &entity, &alice).await;
    assert!(all_of(store, alice.holder, 10).await[0].expires_at > now().after(HOUR / 2));
    assert_eq!(store.release(alice.holder, &old, Duration::ZERO).await.unwrap(), 0);
}

pub(crate) async fn members_are_found_with_their_stamps_over_many_entities(store: &dyn Relations) {
    let (alice, page) = (member(1), variant(1, "/posts/1?page=2&t={access_token}"));
    record_all(store, &post("1"), (0..500).map(member)).await;
    let recorded = record_living(store, &post("2"), &alice).await;
    let of_page = record_living(store, &post("1"), &page).await;
    store.record(&[expired(&post("3"), &alice)]).await.unwrap();
    let asked = [
        (post("2"), alice.clone()),
        (post("3"), alice.clone()),
        (post("1"), page.clone()),
        (post("2"), page),
        (post("1"), member(499)),
    ];
    let found = store.held(&asked).await.unwrap();
    let stamps: Vec<_> = found.iter().map(|held| held.as_ref().map(|held| held.stamp)).collect();
    assert_eq!(stamps[..4], [Some(recorded.stamp), None, Some(of_page.stamp), None]);
    let walked = walk_all(store, &post("1"), 100).await;
    let of_walk = walked.iter().find(|held| held.member == member(499)).map(|held| held.stamp);
    assert_eq!(stamps[4], of_walk);
}

pub(crate) async fn a_recording_after_a_revocation_finds_it(store: &dyn Relations) {
    let (alice, bob, at) = (member(1), member(2), now());
    assert_eq!(record_living(store, &post("1"), &alice).await.revoked, None);
    assert_eq!(store.revoke(alice.holder, mark(at)).await.unwrap(), at);
    let batch = [living(&post("2"), &bob), living(&post("1"), &alice), living(&post("2"), &alice)];
    let found: Vec<_> = store.record(&batch).await.unwrap().into_iter().map(|it| it.revoked).collect();
    assert_eq!(found, [None, Some(at), Some(at)], "whatever it is that the holder reads, and nobody else");
    let recorded = record_living(store, &post("1"), &variant(1, "/p?{access_token}")).await;
    assert_eq!((recorded.revoked, recorded.stale), (Some(at), None));
}

pub(crate) async fn a_holders_stale_never_moves_backwards_and_ends(store: &dyn Relations) {
    let (alice, at) = (member(1).holder, now());
    store.revoke(alice, mark(at)).await.unwrap();
    let earlier = StaleMark { at: at.before(HOUR), life: Duration::ZERO };
    assert_eq!(store.revoke(alice, earlier).await.unwrap(), at, "nor does its life get shorter");
    assert_eq!(record_living(store, &post("1"), &member(1)).await.revoked, Some(at));
    let over = StaleMark { at, life: Duration::ZERO };
    store.revoke(member(2).holder, over).await.unwrap();
    assert_eq!(record_living(store, &post("1"), &member(2)).await.revoked, None);
}

/// Rule 10: whoever comes second sees the first.
pub(crate) async fn a_recording_sees_the_holders_stale_or_the_revocation_sees_the_entry(
    store: &dyn Relations,
) {
    let both = (0..150).map(|number| async move {
        let (entity, alice) = (post("42"), member(number));
        let revoked = async {
            store.revoke(alice.holder, mark(now())).await.unwrap();
            !all_of(store, alice.holder, 10).await.is_empty()
        };
        let (recorded, seen) = match number % 2 {
            0 => join(record_living(store, &entity, &alice), revoked).await,
            _ => {
                let (seen, recorded) = join(revoked, record_living(store, &entity, &alice)).await;
                (recorded, seen)
            }
        };
        assert!(recorded.revoked.is_some() || seen, "holder {number}: a copy that nobody removes");
    });
    join_all(both).await;
}

/// So many are recorded at once that a store does it in parts.
pub(crate) async fn each_recording_of_a_large_batch_sees_it_or_is_seen(store: &dyn Relations) {
    let batch: Vec<_> = (0..2_000).map(|number| living(&post("42"), &member(number))).collect();
    // Everybody has a connection before it begins.
    join_all((0..20).map(|number| all_of(store, member(number).holder, 10))).await;
    let revoking = join_all((0..2_000).step_by(10).map(|number| async move {
        let holder = member(number).holder;
        store.revoke(holder, mark(now())).await.unwrap();
        (number, !all_of(store, holder, 10).await.is_empty())
    }));
    let (recorded, revoked) = join(store.record(&batch), revoking).await;
    let recorded = recorded.unwrap();
    for (number, seen) in revoked {
        let sees = recorded[number].revoked.is_some();
        assert!(sees || seen, "holder {number}: a copy that nobody removes");
    }
}

/// So many are recorded at once that a store does it in parts: whoever sees an entry finds its member all the same.
pub(crate) async fn an_entry_is_never_there_before_its_member(store: &dyn Relations) {
    let entity = &post("42");
    let batch: Vec<_> = (0..2_000).map(|number| living(entity, &member(number))).collect();
    // Everybody has looked, and has a connection, before there is anything to see.
    let ready = &tokio::sync::Barrier::new(21);
    let looking = join_all((0..2_000).step_by(100).map(|number| async move {
        let who = member(number);
        let holder = who.holder;
        let sees = async || !all_of(store, holder, 10).await.is_empty();
        assert!(!sees().await);
        ready.wait().await;
        while !sees().await {
            tokio::task::yield_now().await;
        }
        let found = store.held(&[(entity.clone(), who)]).await.unwrap();
        assert!(found[0].is_some(), "holder {number} has an entry without its member");
    }));
    let recorded = async {
        ready.wait().await;
        store.record(&batch).await.unwrap()
    };
    join(recorded, looking).await;
}

/// An entry is released by whoever finds no member for it, while the holder comes back: it is there again afterwards.
pub(crate) async fn a_holder_who_comes_back_while_entries_are_released_keeps_them(store: &dyn Relations) {
    let alice = member(1);
    record_posts(store, &alice, 0..200).await;
    let read: Vec<_> =
        all_of(store, alice.holder, 100).await.into_iter().map(|it| (it.holding, it.stamp)).collect();
    let returning = join_all((0..200).step_by(2).map(|id| record_posts(store, &alice, id..=id)));
    let releasing = join_all(read.chunks(10).map(|part| store.release(alice.holder, part, Duration::ZERO)));
    join(returning, releasing).await;
    let returned = (0..200).step_by(2).map(|id| holding(id.to_string())).collect();
    assert_eq!(holdings(store, &alice).await, returned);
}
