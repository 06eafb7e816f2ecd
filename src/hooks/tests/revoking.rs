//! What a revocation does in the same cases.

use super::*;

const NOTE_KEY: &str = "/notes/7?t=tok-alice";
const MINUTE: Duration = Duration::from_secs(60);

impl Kit {
    fn revocation(&self) -> Job {
        let entity = Job::of_holder(self.copy().holder);
        Job { job_type: JobType::Revoke, entity, ..self.update() }
    }

    /// Members of the post, and all that alice holds.
    async fn tracked(&self) -> (usize, usize) {
        let holder = self.copy().holder;
        let entries = self.hooks.relations.entities_of(holder, Position::default(), 10).await.unwrap();
        (self.members().await, entries.held.len())
    }
}

#[tokio::test]
async fn a_revocation_that_waits_for_a_cache_costs_no_fresh_copies_in_the_others() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    let again = kit.fails_for_the_far_cache(&first(kit.revocation())).await;
    assert!(!kit.near.has_copy(), "the others are served at once");
    assert_eq!(kit.tracked().await, (1, 1), "what is not gone is not forgotten");
    kit.record().await;
    let again = kit.fails_for_the_far_cache(&again).await;
    assert!(kit.near.has_copy(), "nothing is done while it is away");
    kit.goes(&kit.far, false).await;
    assert!(kit.is_done(&again).await.is_empty());
    assert_eq!((kit.near.has_copy(), kit.far.has_copy(), kit.tracked().await), (false, false, (0, 0)));
}

#[tokio::test]
async fn a_revocation_that_waits_for_a_cache_is_done_when_that_is_left_out() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    let again = kit.fails_for_the_far_cache(&first(kit.revocation())).await;
    kit.hooks.caches.suspect("far").unwrap();
    kit.near.fill();
    kit.is_done(&again).await;
    assert!(kit.near.has_copy() && kit.far.has_copy(), "nothing was left to do but in the far one");
    assert_eq!(kit.tracked().await, (1, 1), "they are left to expire");
}

#[tokio::test]
async fn a_revocation_begins_anew_on_another_server() {
    let kit = Kit::new(Duration::ZERO).await;
    kit.goes(&kit.far, true).await;
    let again = kit.fails_for_the_far_cache(&first(kit.revocation())).await;
    kit.near.fill();
    kit.hooks.trust.new_epoch();
    kit.fails_for_the_far_cache(&again).await;
    assert!(!kit.near.has_copy(), "what was done before may have been on a server that is gone");
}

#[tokio::test]
async fn what_a_revocation_removed_is_found_again_while_a_failover_may_bring_it_back() {
    let mut kit = Kit::new(Duration::ZERO).await;
    let limits = Limits { span: Some(MINUTE), bytes: 1 << 20, jobs: 10 };
    kit.hooks.window = Arc::new(Window::new(limits, kit.hooks.clock, Arc::default()));
    kit.is_done(&first(kit.revocation())).await;
    let (soon, holder) = (kit.hooks.clock.now().after(MINUTE), kit.copy().holder);
    let entries = kit.hooks.relations.entities_of(holder, Position::default(), 10).await.unwrap().held;
    assert_eq!((entries.len(), kit.members().await), (1, 1));
    assert!(entries[0].expires_at <= soon && kit.walk().await[0].expires_at <= entries[0].expires_at);
    kit.near.fill();
    kit.is_done(&first(kit.revocation())).await;
    assert!(!kit.near.has_copy());
}

#[tokio::test]
async fn a_revocation_is_done_again_for_what_fills_late_and_drops_the_rest_at_once() {
    let kit = Kit::new(MINUTE).await;
    kit.record_as(Entity::new("Notes", "7").unwrap(), NOTE_KEY).await;
    assert_eq!(kit.tracked().await, (1, 2));
    let [recheck] = &*kit.is_done(&first(kit.revocation())).await else { panic!("it has one follow-up") };
    assert_eq!((recheck.job_type, recheck.recheck), (JobType::Revoke, true));
    assert!(recheck.ready_at.since(kit.hooks.clock.tick()) > MINUTE / 2, "after the longest delay");
    assert_eq!(kit.tracked().await, (1, 1), "only what no cache fills late is forgotten");
    assert!(!kit.near.has_copy() && !kit.near.has(NOTE_KEY));

    kit.near.fill();
    kit.near.put(NOTE_KEY);
    let since = Job { accepted_at: Timestamp(1), ..recheck.clone() };
    assert!(kit.is_done(&first(since)).await.is_empty(), "nothing follows it");
    assert!(!kit.near.has_copy() && kit.near.has(NOTE_KEY), "a note is never filled late");
    assert_eq!(kit.tracked().await, (1, 1), "a fresh copy may be filled after this");
    while kit.walk().await[0].age.is_zero() {}
    let before = Job { accepted_at: kit.hooks.clock.now().after(MINUTE), ..recheck.clone() };
    kit.is_done(&first(before)).await;
    assert_eq!(kit.tracked().await, (0, 0));
}

#[tokio::test]
async fn a_recheck_of_a_revocation_revokes_nothing_that_was_read_since() {
    let kit = Kit::new(MINUTE).await;
    let revocation = kit.revocation();
    let [recheck] = &*kit.is_done(&first(revocation.clone())).await else { panic!("it has one follow-up") };
    kit.is_done(&first(Job { occurred_at: Some(Timestamp(u64::MAX)), ..recheck.clone() })).await;
    assert_eq!(kit.record().await.revoked, revocation.occurred_at);
}
