//! One sentence per test, each a function over any store: `sentences!` makes tests of all of them for one.

use std::time::Duration;

use decache::{
    clock::{Clock, Timestamp},
    event::Entity,
    relations::{EntityCursor, Held, Member, Position, Recorded, Recording, Relations, Sealed, StaleMark},
    secret::HolderId,
};

pub(crate) mod finding;
pub(crate) mod holders;
pub(crate) mod naming;
pub(crate) mod racing;
pub(crate) mod recording;
pub(crate) mod removing;
pub(crate) mod staleness;
pub(crate) mod walking;

/// A store, and what has to stay alive while it is used.
pub(crate) type Opened = (Box<dyn Relations>, Box<dyn std::any::Any>);

/// Tests that the stores that `$open`, an `async fn() -> Opened`, opens keep the contract: a new one for each sentence.
macro_rules! sentences {
    ($open:path) => {
        sentences! { $open;
            recording: a_recording_is_walked_back_as_it_was_made,
            recording: recording_again_gives_a_new_stamp_and_never_shortens_the_expiry,
            recording: an_empty_batch_is_recorded_as_nothing,
            recording: a_batch_is_answered_in_its_order_over_many_entities,
            recording: variants_of_one_holder_are_members_of_their_own,
            recording: an_expired_member_is_neither_walked_nor_counted,
            recording: an_expired_member_that_is_recorded_again_lives,
            recording: recording_beside_expired_members_drops_no_living_one,
            recording: vault_entries_come_back_in_order_with_none_for_unknown_holders,
            recording: a_vault_entry_is_only_ever_extended_and_outlives_its_last_relationship,
            recording: a_vault_entry_that_names_its_holder_is_not_replaced_by_one_that_does_not,
            recording: a_store_is_tied_to_the_first_secret_that_claims_it,
            recording: a_store_that_is_well_answers,
            removing: a_member_is_dropped_only_with_the_stamp_that_was_read,
            removing: a_member_that_lingers_ends_soon_and_keeps_its_stamp,
            removing: a_member_that_lingers_and_is_recorded_again_lives,
            removing: a_member_that_has_lingered_is_gone,
            removing: dropping_what_is_not_there_is_nothing,
            removing: dropping_a_member_leaves_its_variants_and_its_other_entities,
            removing: compacting_an_emptied_entity_keeps_it_right,
            staleness: an_entity_that_was_never_invalidated_is_not_stale,
            staleness: a_recording_after_an_invalidation_finds_it,
            staleness: an_invalidation_may_find_the_first_page_at_once,
            staleness: stale_never_moves_backwards,
            staleness: a_dead_stale_is_none,
            staleness: a_later_mark_with_a_shorter_life_does_not_shorten_stale,
            staleness: the_generation_grows_with_each_invalidation_and_never_goes_back,
            staleness: a_generation_that_was_asked_for_is_below_that_of_any_later_invalidation,
            staleness: a_recording_tells_the_generation_of_its_moment,
            walking: an_entity_without_members_is_one_empty_page,
            walking: pages_are_about_the_limit_in_order_and_end_between_positions,
            walking: a_walk_goes_on_from_any_position,
            walking: a_member_is_at_most_as_old_as_its_last_recording,
            walking: a_walk_of_5_000_misses_none_that_was_there_all_along,
            finding: members_are_found_as_a_walk_finds_them_in_the_order_asked,
            finding: what_is_not_held_or_no_longer_is_not_found,
            finding: every_entity_with_members_is_named_whatever_comes_and_goes,
            finding: an_empty_store_names_no_entity,
            naming: entities_never_collide,
            naming: no_entity_is_a_holders,
            racing: a_recording_sees_stale_or_the_walk_sees_the_member,
            racing: a_holder_who_comes_back_during_a_fan_out_stays,
            racing: many_tasks_never_lose_a_member_that_nobody_forgot,
            racing: a_stamp_is_given_once,
            holders: what_a_holder_holds_is_read_back_as_it_was_recorded,
            holders: a_holders_pages_are_in_order_and_about_the_limit,
            holders: pages_of_a_holder_miss_nothing_that_was_there_all_along,
            holders: an_entry_ends_with_the_longest_of_its_recordings,
            holders: an_entry_is_released_only_with_the_stamp_that_was_read,
            holders: an_entry_that_lingers_ends_soon_and_is_there_until_then,
            holders: an_entry_that_lingers_and_is_recorded_again_lives,
            holders: members_are_found_with_their_stamps_over_many_entities,
            holders: a_recording_after_a_revocation_finds_it,
            holders: a_holders_stale_never_moves_backwards_and_ends,
            holders: a_recording_sees_the_holders_stale_or_the_revocation_sees_the_entry,
            holders: each_recording_of_a_large_batch_sees_it_or_is_seen,
            holders: an_entry_is_never_there_before_its_member,
            holders: a_holder_who_comes_back_while_entries_are_released_keeps_them,
        }
    };
    ($open:path; $($module:ident: $sentence:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                let (store, _kept) = $open().await;
                $crate::contract::$module::$sentence(&*store).await;
            }
        )*
    };
}

const HOUR: Duration = Duration::from_secs(3600);
/// A store may keep an expiry later than it was given, by less than this.
const RESOLUTION: Duration = Duration::from_secs(1);

fn now() -> Timestamp {
    Clock::start().now()
}

fn post(id: impl Into<Box<str>>) -> Entity {
    Entity { resource_type: "Posts".into(), id: id.into() }
}

/// The same member for the same number, spread over all positions.
fn member(number: usize) -> Member {
    let hash = blake3::hash(&number.to_be_bytes());
    Member { holder: HolderId(*hash.as_bytes().first_chunk().unwrap()), variant: None }
}

fn variant(number: usize, template: &str) -> Member {
    Member { variant: Some(template.into()), ..member(number) }
}

/// A relationship that lives for another hour.
fn living(entity: &Entity, member: &Member) -> Recording {
    let vault = Sealed(member.holder.0.to_vec());
    Recording {
        entity: entity.clone(),
        member: member.clone(),
        expires_at: now().after(HOUR),
        vault,
        names_holder: true,
    }
}

/// A relationship that ended an hour ago, and its vault entry with it.
fn expired(entity: &Entity, member: &Member) -> Recording {
    Recording { expires_at: now().before(HOUR), ..living(entity, member) }
}

/// A mark at a time, for an hour.
fn mark(at: Timestamp) -> StaleMark {
    StaleMark { at, life: HOUR }
}

async fn record(store: &dyn Relations, recording: &Recording) -> Recorded {
    store.record(std::slice::from_ref(recording)).await.unwrap()[0]
}

async fn record_living(store: &dyn Relations, entity: &Entity, member: &Member) -> Recorded {
    record(store, &living(entity, member)).await
}

/// Records many as living, in batches.
async fn record_all(
    store: &dyn Relations,
    entity: &Entity,
    members: impl IntoIterator<Item = Member>,
) -> Vec<(Member, Recorded)> {
    let all: Vec<_> = members.into_iter().map(|member| living(entity, &member)).collect();
    let mut recorded = Vec::new();
    for batch in all.chunks(500) {
        let answers = store.record(batch).await.unwrap();
        assert_eq!(answers.len(), batch.len());
        recorded.extend(batch.iter().map(|recording| recording.member.clone()).zip(answers));
    }
    recorded
}

/// All members, in pages of about `limit`.
async fn walk_all(store: &dyn Relations, entity: &Entity, limit: usize) -> Vec<Held> {
    let (mut held, mut from) = (Vec::new(), Some(Position(0)));
    while let Some(position) = from {
        let page = store.walk(entity, position, limit).await.unwrap();
        assert!(page.next.is_none_or(|next| next > position), "a walk goes forward");
        held.extend(page.held);
        from = page.next;
    }
    held
}

/// All members as they were recorded, sorted.
async fn members(store: &dyn Relations, entity: &Entity) -> Vec<Member> {
    let mut members: Vec<_> =
        walk_all(store, entity, 100).await.into_iter().map(|held| held.member).collect();
    members.sort();
    members
}
