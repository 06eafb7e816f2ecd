//! `stale` and generations (DESIGN 7, rules 3 and 4).

use super::*;

pub(crate) async fn an_entity_that_was_never_invalidated_is_not_stale(store: &dyn Relations) {
    let before = now();
    let staleness = store.staleness(&post("42")).await.unwrap();
    assert_eq!(staleness.stale, None);
    assert!(staleness.generation >= before.0, "asking gives the clock where there is nothing above it");
    record_living(store, &post("42"), &member(1)).await;
    assert_eq!(store.staleness(&post("42")).await.unwrap().stale, None);
}

pub(crate) async fn a_recording_after_an_invalidation_finds_it(store: &dyn Relations) {
    let (entity, at) = (post("42"), now());
    let stale = store.invalidate(&entity, mark(at)).await.unwrap();
    assert_eq!(stale.at, at);
    assert_eq!(record_living(store, &entity, &member(1)).await.stale, Some(stale));
    assert_eq!(store.staleness(&entity).await.unwrap().stale, Some(stale));
    assert_eq!(record_living(store, &post("43"), &member(1)).await.stale, None);
}

pub(crate) async fn an_invalidation_may_find_the_first_page_at_once(store: &dyn Relations) {
    let (entity, at) = (post("42"), now());
    let (stale, page) = store.invalidate_and_walk(&entity, mark(at), 10).await.unwrap();
    assert_eq!((stale.at, page.held, page.next), (at, Vec::new(), None));
    record_all(store, &entity, (0..1_000).map(member)).await;
    let (later, page) = store.invalidate_and_walk(&entity, mark(at.before(HOUR)), 10).await.unwrap();
    assert_eq!(later.at, at, "it never moves backwards");
    assert!(later.generation > stale.generation);
    assert_eq!(store.staleness(&entity).await.unwrap().stale, Some(later));
    let walked = store.walk(&entity, Position(0), 10).await.unwrap();
    let members = |held: &[Held]| held.iter().map(|held| held.member.clone()).collect::<Vec<_>>();
    assert!(!page.held.is_empty() && page.next.is_some());
    assert_eq!((members(&page.held), page.next), (members(&walked.held), walked.next));
    assert_eq!(store.forget_page(&entity, &page, Duration::ZERO).await.unwrap(), page.held.len());
}

pub(crate) async fn stale_never_moves_backwards(store: &dyn Relations) {
    let (entity, at) = (post("42"), now());
    let first = store.invalidate(&entity, mark(at)).await.unwrap();
    let older = store.invalidate(&entity, mark(at.before(HOUR))).await.unwrap();
    assert_eq!(older.at, at);
    assert!(older.generation > first.generation);
    assert_eq!(record_living(store, &entity, &member(1)).await.stale, Some(older));
    let newer = store.invalidate(&entity, mark(at.after(HOUR))).await.unwrap();
    assert_eq!(newer.at, at.after(HOUR));
    assert_eq!(store.staleness(&entity).await.unwrap().stale, Some(newer));
}

pub(crate) async fn a_dead_stale_is_none(store: &dyn Relations) {
    let (entity, over) = (post("42"), StaleMark { at: now(), life: Duration::ZERO });
    let dead = store.invalidate(&entity, over).await.unwrap();
    let staleness = store.staleness(&entity).await.unwrap();
    assert_eq!(staleness.stale, None);
    assert!(staleness.generation >= dead.generation, "a generation does not go back with its stale");
    assert_eq!(record_living(store, &entity, &member(1)).await.stale, None);
    let next = store.invalidate(&entity, mark(now())).await.unwrap();
    assert!(next.generation > dead.generation);
}

pub(crate) async fn a_later_mark_with_a_shorter_life_does_not_shorten_stale(store: &dyn Relations) {
    let (entity, at) = (post("42"), now());
    store.invalidate(&entity, mark(at)).await.unwrap();
    let short = StaleMark { at: at.before(HOUR), life: Duration::ZERO };
    let both = store.invalidate(&entity, short).await.unwrap();
    assert_eq!(store.staleness(&entity).await.unwrap().stale, Some(both));
    assert_eq!(both.at, at);
}

pub(crate) async fn the_generation_grows_with_each_invalidation_and_never_goes_back(store: &dyn Relations) {
    let entity = post("42");
    let mut last = 0;
    for _ in 0..50 {
        let clock = now().0;
        let asked = store.staleness(&entity).await.unwrap().generation;
        assert!(asked >= last && asked >= clock, "{asked} after {last} at {clock}");
        let taken = store.invalidate(&entity, mark(now())).await.unwrap().generation;
        assert!(taken > asked, "{taken} after {asked}");
        last = taken;
    }
}

pub(crate) async fn a_generation_that_was_asked_for_is_below_that_of_any_later_invalidation(
    store: &dyn Relations,
) {
    for id in 0..50 {
        let entity = post(id.to_string());
        let asked = store.staleness(&entity).await.unwrap().generation;
        let taken = store.invalidate(&entity, mark(now())).await.unwrap().generation;
        assert!(
            taken > asked,
            "a first invalidation in the millisecond that was asked in is a new generation"
        );
        assert!(store.staleness(&entity).await.unwrap().generation >= taken);
    }
}

pub(crate) async fn a_recording_tells_the_generation_of_its_moment(store: &dyn Relations) {
    let (entity, member) = (post("42"), member(1));
    for _ in 0..3 {
        let before = store.staleness(&entity).await.unwrap().generation;
        let recorded = record_living(store, &entity, &member).await;
        let after = store.staleness(&entity).await.unwrap().generation;
        assert!((before..=after).contains(&recorded.generation), "{before} {} {after}", recorded.generation);
        store.invalidate(&entity, mark(now())).await.unwrap();
    }
    let ahead = store.invalidate(&entity, mark(now())).await.unwrap().generation;
    assert!(record_living(store, &entity, &member).await.generation >= ahead);
}
