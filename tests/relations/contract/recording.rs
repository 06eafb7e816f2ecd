//! What a recording keeps: members, expiries, stamps, vault entries.

use decache::relations::ClaimError;

use super::*;

pub(crate) async fn a_recording_is_walked_back_as_it_was_made(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    let recording = living(&entity, &alice);
    let recorded = record(store, &recording).await;
    assert_eq!(recorded.stale, None);
    let held = walk_all(store, &entity, 10).await;
    assert_eq!(held.len(), 1);
    assert_eq!((&held[0].member, held[0].stamp), (&alice, recorded.stamp));
    assert_about(held[0].expires_at, recording.expires_at);
}

/// The store's resolution is at most some seconds, and never early.
fn assert_about(found: Timestamp, expected: Timestamp) {
    let window = expected..=expected.after(Duration::from_secs(60));
    assert!(window.contains(&found), "{found} for {expected}");
}

pub(crate) async fn recording_again_gives_a_new_stamp_and_never_shortens_the_expiry(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    let first = living(&entity, &alice);
    let mut stamps = vec![record(store, &first).await.stamp];
    let sooner = Recording { expires_at: now().after(HOUR / 2), ..first.clone() };
    let later = Recording { expires_at: now().after(HOUR * 2), ..first.clone() };
    for (recording, expires_at) in [
        (expired(&entity, &alice), first.expires_at),
        (sooner.clone(), first.expires_at),
        (first.clone(), first.expires_at),
        (later.clone(), later.expires_at),
        (sooner, later.expires_at),
    ] {
        let stamp = record(store, &recording).await.stamp;
        assert!(!stamps.contains(&stamp));
        stamps.push(stamp);
        let held = walk_all(store, &entity, 10).await;
        assert_eq!((held.len(), held[0].stamp), (1, stamp));
        assert_about(held[0].expires_at, expires_at);
    }
}

pub(crate) async fn an_empty_batch_is_recorded_as_nothing(store: &dyn Relations) {
    assert_eq!(store.record(&[]).await.unwrap(), []);
    assert_eq!(store.vault(&[]).await.unwrap(), []);
}

pub(crate) async fn a_batch_is_answered_in_its_order_over_many_entities(store: &dyn Relations) {
    let entities: Vec<_> = (0..40).map(|id| post(id.to_string())).collect();
    for entity in entities.iter().step_by(3) {
        store.invalidate(entity, mark(now())).await.unwrap();
    }
    let batch: Vec<_> = (0..200).map(|n| living(&entities[n * 7 % 40], &member(n))).collect();
    let recorded = store.record(&batch).await.unwrap();
    assert_eq!(recorded.len(), batch.len());
    for (n, (recording, recorded)) in batch.iter().zip(&recorded).enumerate() {
        assert_eq!(recorded.stale.is_some(), (n * 7 % 40).is_multiple_of(3), "recording {n}");
        let held = walk_all(store, &recording.entity, 100).await;
        let found = held.iter().find(|held| held.member == recording.member).unwrap();
        assert_eq!(found.stamp, recorded.stamp, "recording {n}");
    }
}

pub(crate) async fn variants_of_one_holder_are_members_of_their_own(store: &dyn Relations) {
    let entity = post("42");
    let mut all = vec![
        member(1),
        variant(1, "/posts/42?page=2&access_token={access_token}"),
        variant(1, "/posts/42?page=3&access_token={access_token}"),
        variant(1, &format!("/posts/42?q={}&access_token={{access_token}}", "é".repeat(900))),
        variant(2, "/posts/42?page=2&access_token={access_token}"),
    ];
    let batch: Vec<_> = all.iter().map(|member| living(&entity, member)).collect();
    store.record(&batch).await.unwrap();
    store.record(&batch).await.unwrap();
    all.sort();
    assert_eq!(members(store, &entity).await, all);
}

pub(crate) async fn an_expired_member_is_neither_walked_nor_counted(store: &dyn Relations) {
    let entity = post("42");
    record(store, &expired(&entity, &member(1))).await;
    assert_eq!(walk_all(store, &entity, 10).await, []);
    record_living(store, &entity, &member(2)).await;
    record(store, &expired(&entity, &variant(2, "/posts/42?page=2&t={access_token}"))).await;
    record(store, &Recording { expires_at: now().before(RESOLUTION), ..living(&entity, &member(3)) }).await;
    let page = store.walk(&entity, Position(0), 10).await.unwrap();
    assert_eq!(page.held.into_iter().map(|held| held.member).collect::<Vec<_>>(), [member(2)]);
    assert_eq!(page.next, None);
}

pub(crate) async fn an_expired_member_that_is_recorded_again_lives(store: &dyn Relations) {
    let (entity, alice) = (post("42"), member(1));
    let dead = record(store, &expired(&entity, &alice)).await.stamp;
    let alive = record_living(store, &entity, &alice).await.stamp;
    assert_ne!(dead, alive);
    assert_eq!(members(store, &entity).await, [alice]);
}

pub(crate) async fn recording_beside_expired_members_drops_no_living_one(store: &dyn Relations) {
    let entity = post("42");
    let batch: Vec<_> = (0..600)
        .map(|n| {
            let recorded = if n % 3 == 0 { living } else { expired };
            recorded(&entity, &member(n))
        })
        .collect();
    for part in batch.chunks(60) {
        store.record(part).await.unwrap();
    }
    let back = (0..600).filter(|n| n % 3 == 1).map(member);
    record_all(store, &entity, back).await;
    let mut expected: Vec<_> = (0..600).filter(|n| n % 3 != 2).map(member).collect();
    expected.sort();
    assert_eq!(members(store, &entity).await, expected);
}

pub(crate) async fn vault_entries_come_back_in_order_with_none_for_unknown_holders(store: &dyn Relations) {
    let entity = post("42");
    record_all(store, &entity, [member(1), member(2)]).await;
    let holders = [2, 9, 1, 2].map(|number| member(number).holder);
    let entry = |number| Some(Sealed(member(number).holder.0.to_vec()));
    assert_eq!(store.vault(&holders).await.unwrap(), [entry(2), None, entry(1), entry(2)]);
}

pub(crate) async fn a_vault_entry_is_only_ever_extended_and_outlives_its_last_relationship(
    store: &dyn Relations,
) {
    let seconds_ago = |seconds| now().before(Duration::from_secs(seconds));
    let ended = Recording { expires_at: seconds_ago(20), ..living(&post("1"), &member(1)) };
    record(store, &ended).await;
    assert_eq!(store.vault(&[member(1).holder]).await.unwrap(), [Some(ended.vault)]);

    let known = living(&post("1"), &member(2));
    record(store, &known).await;
    record(store, &expired(&post("2"), &member(2))).await;
    assert_eq!(store.vault(&[member(2).holder]).await.unwrap(), [Some(known.vault)]);

    record(store, &expired(&post("1"), &member(3))).await;
    assert_eq!(store.vault(&[member(3).holder]).await.unwrap(), [None]);
}

pub(crate) async fn a_vault_entry_that_names_its_holder_is_not_replaced_by_one_that_does_not(
    store: &dyn Relations,
) {
    let (entity, holder) = (post("42"), member(1));
    let entry = |text: &str, names_holder| Recording {
        vault: Sealed(text.as_bytes().to_vec()),
        names_holder,
        ..living(&entity, &holder)
    };
    for (entry, kept) in [
        (entry("nobody", false), "nobody"),
        (entry("alice", true), "alice"),
        (Recording { expires_at: now().after(2 * HOUR), ..entry("nobody", false) }, "alice"),
        (entry("alice of late", true), "alice of late"),
    ] {
        record(store, &entry).await;
        let found = store.vault(&[holder.holder]).await.unwrap();
        assert_eq!(found, [Some(Sealed(kept.as_bytes().to_vec()))]);
    }
}

pub(crate) async fn a_store_is_tied_to_the_first_secret_that_claims_it(store: &dyn Relations) {
    store.claim("0123456789abcdef").await.unwrap();
    store.claim("0123456789abcdef").await.unwrap();
    let refused = store.claim("fedcba9876543210").await.unwrap_err();
    let ClaimError::OtherSecret { theirs, ours } = refused else { panic!("{refused}") };
    assert_eq!((&*theirs, &*ours), ("0123456789abcdef", "fedcba9876543210"));
    store.claim("0123456789abcdef").await.unwrap();
}

pub(crate) async fn a_store_that_is_well_answers(store: &dyn Relations) {
    store.ping().await.unwrap();
}
