//! The order's promises and superseding, held against naive models.

use std::{collections::HashSet, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{entry::Entry, schedule::Schedule, *};
use crate::{
    clock::{Clock, Tick, Timestamp},
    event::{AccessToken, Entity},
    job::{CopyHeld, Death, JobKey, JobType},
    journal::EntryId,
    judge::ANY_STALE,
    secret::HolderId,
};

const AGING: Duration = Duration::from_millis(10);

fn job(n: u64, priority: u16, ready_at: u64) -> Job {
    Job {
        id: JobId::new(Timestamp(n)),
        key: JobKey(n.into()),
        job_type: JobType::Invalidate,
        topic: Arc::from("pp-cache"),
        entity: Entity { resource_type: "Posts".into(), id: n.to_string().into() },
        priority,
        superceedable: true,
        ready_at: Tick(ready_at),
        expires_at: None,
        occurred_at: Some(Timestamp(n)),
        generation: None,
        accepted_at: Timestamp(n),
        copy: None,
        payload: None,
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}

fn cache_job(
    key: u128,
    occurred_at: Option<u64>,
    generation: Option<u64>,
    accepted_at: u64,
    life: u64,
) -> Job {
    let copy = CopyHeld {
        holder: HolderId([1; 16]),
        token: AccessToken::new("tok-a"),
        user_id: None,
        cache_key: None,
        life: Duration::from_millis(life),
    };
    Job {
        key: JobKey(key),
        job_type: JobType::Cache,
        occurred_at: occurred_at.map(Timestamp),
        generation,
        copy: Some(Box::new(copy)),
        ..job(accepted_at, 1, accepted_at)
    }
}

fn queue(capacity: usize) -> Arc<Queue> {
    let retry = RetryPolicy { max_attempts: 2, base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    let aging = Aging::PerLevel(Duration::from_secs(1));
    let limits = QueueLimits { capacity, max_bytes: 1 << 20, finished: 4, aging, retry };
    Arc::new(Queue::new(limits, Clock::start()))
}

fn room(jobs: usize) -> Room {
    Room { jobs, fan_outs: jobs }
}

fn push(queue: &Arc<Queue>, jobs: Vec<Job>) -> Result<Vec<Pushed>, Full> {
    Ok(queue.reserve(&jobs)?.push(jobs.into_iter().map(|job| (job, 1))))
}

fn push_watched(queue: &Arc<Queue>, jobs: Vec<Job>) -> (Vec<Pushed>, Watch) {
    queue.reserve(&jobs).unwrap().push_watched(jobs.into_iter().map(|job| (job, 1)))
}

fn settle(queue: &Queue, id: JobId, outcome: Outcome, jitter: f64) -> JobState {
    queue.settle(id, outcome, 2, jitter).state
}

fn failed(error: &str) -> Outcome {
    let cause = Cause::StoreUnavailable;
    Outcome::Failed { error: error.to_owned(), cause, fan_out: None, waits_for: Box::default() }
}

fn death(error: &str) -> Death {
    Death { cause: Cause::StoreUnavailable, error: error.into(), attempts: 8, at: Timestamp(7) }
}

fn done() -> Outcome {
    Outcome::Done { fan_out: None, follow_ups: Vec::new() }
}

#[derive(Clone, Debug)]
enum Step {
    Push { priority: u16, due: u64 },
    Take { later: u64, max: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (0u16..5, 0u64..30_000).prop_map(|(priority, due)| Step::Push { priority, due });
    let take = (0u64..20_000, 1usize..4).prop_map(|(later, max)| Step::Take { later, max });
    prop::collection::vec(prop_oneof![2 => push, 1 => take], 1..200)
}

/// Every job waiting, in the order of arrival; the next one is looked for in all of them.
fn naive_next(waiting: &[Job], aging: Aging, now: Tick) -> Option<usize> {
    let ready = waiting.iter().enumerate().filter(|(_, job)| job.ready_at <= now);
    let least = ready.min_by_key(|(index, job)| match aging {
        Aging::PerLevel(level) => (job.ready_at.after(level * u32::from(job.priority)).0, 0, *index),
        Aging::Strict => (u64::from(job.priority), job.ready_at.0, *index),
    });
    least.map(|(index, _)| index)
}

fn runs_as_the_naive_model(aging: Aging, steps: Vec<Step>) {
    let (mut schedule, mut waiting, mut now) = (Schedule::new(aging), Vec::<Job>::new(), Tick(0));
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Push { priority, due } => {
                let job = job(n as u64, priority, now.0 + due);
                waiting.push(job.clone());
                queue_in(&mut schedule, job);
            }
            Step::Take { later, max } => {
                now = Tick(now.0 + later);
                for attempt in schedule.take(now, room(max)) {
                    let expected =
                        waiting.remove(naive_next(&waiting, aging, now).expect("the model has one too"));
                    assert_eq!(attempt.job.id, expected.id);
                    for passed_over in waiting.iter().filter(|job| job.ready_at <= now) {
                        if let Aging::PerLevel(level) = aging {
                            let bound = passed_over.ready_at.after(level * u32::from(passed_over.priority));
                            assert!(
                                attempt.job.ready_at <= bound,
                                "nobody waits longer than priority x aging"
                            );
                        }
                    }
                }
            }
        }
    }
    assert_eq!(schedule.queued().total, waiting.len());
}

proptest! {
    #[test]
    fn jobs_are_taken_in_the_order_of_the_naive_model(steps in steps()) {
        runs_as_the_naive_model(Aging::PerLevel(AGING), steps);
    }

    #[test]
    fn strict_order_is_by_priority_and_then_by_age(steps in steps()) {
        runs_as_the_naive_model(Aging::Strict, steps);
    }

    #[test]
    fn a_job_taken_does_the_work_of_all_that_were_pushed_with_its_key_since_the_last_one(
        steps in prop::collection::vec((any::<bool>(), 0u128..3, prop::option::of(0u64..1000), 0u64..500), 1..100)
    ) {
        let mut schedule = Schedule::new(Aging::PerLevel(AGING));
        let mut waiting: Vec<Vec<Job>> = vec![Vec::new(); 3];
        for (n, (push, key, occurred_at, life)) in steps.into_iter().enumerate() {
            let now = n as u64;
            if push {
                let job = cache_job(key, occurred_at, None, now, life);
                waiting[key as usize].push(job.clone());
                let (_, superseded) = queue_in(&mut schedule, job);
                prop_assert_eq!(superseded.is_some(), waiting[key as usize].len() > 1);
            } else if let Some(attempt) = schedule.take(Tick(now), room(1)).pop() {
                let pushed = std::mem::take(&mut waiting[attempt.job.key.0 as usize]);
                prop_assert_eq!(attempt.job.id, pushed.last().expect("one was pushed").id);
                let earliest = pushed.iter().map(|job| job.occurred_at).min().flatten();
                prop_assert_eq!(attempt.job.occurred_at, earliest);
                let end = |job: &Job| job.accepted_at.after(job.copy.as_ref().expect("a copy").life);
                prop_assert_eq!(end(&attempt.job), pushed.iter().map(end).max().expect("one was pushed"));
                let oldest = waiting.iter().flatten().map(|job| job.ready_at).min();
                prop_assert!(oldest.is_none_or(|oldest| pushed[0].ready_at <= oldest), "it kept the first one's place");
            }
        }
        prop_assert_eq!(schedule.len() - schedule.queued().total + waiting.iter().filter(|key| !key.is_empty()).count(),
            schedule.len());
    }
}

#[test]
fn a_superseding_job_that_is_more_urgent_takes_its_own_place() {
    let mut schedule = Schedule::new(Aging::PerLevel(AGING));
    queue_in(&mut schedule, job(1, 3, 0));
    queue_in(&mut schedule, job(2, 1, 0));
    let urgent = Job { key: JobKey(1), ..job(3, 0, 0) };
    let id = urgent.id;
    queue_in(&mut schedule, urgent);
    assert_eq!(schedule.take(Tick(0), room(1))[0].job.id, id);
}

#[test]
fn a_job_that_is_not_superceedable_neither_supersedes_nor_is_superseded() {
    let mut schedule = Schedule::new(Aging::Strict);
    let alone = Job { superceedable: false, ..job(1, 0, 0) };
    for job in [alone.clone(), Job { id: JobId::new(Timestamp(2)), ..alone }, job(1, 0, 0)] {
        assert!(queue_in(&mut schedule, job).1.is_none());
    }
    assert_eq!(schedule.take(Tick(0), room(9)).len(), 3);
}

#[test]
fn a_running_job_is_not_superseded_the_new_one_queues() {
    let mut schedule = Schedule::new(Aging::Strict);
    queue_in(&mut schedule, job(1, 0, 0));
    assert_eq!(schedule.take(Tick(0), room(1)).len(), 1);
    assert!(queue_in(&mut schedule, job(1, 0, 0)).1.is_none());
    assert_eq!((schedule.len(), schedule.queued().total), (2, 1));
}

#[test]
fn merged_invalidations_cover_the_latest_write_under_the_highest_generation() {
    let mut schedule = Schedule::new(Aging::Strict);
    queue_in(&mut schedule, Job { occurred_at: Some(Timestamp(900)), generation: Some(7), ..job(1, 0, 0) });
    queue_in(&mut schedule, Job { occurred_at: Some(Timestamp(500)), generation: Some(3), ..job(1, 0, 0) });
    let merged = &schedule.take(Tick(0), room(1))[0].job;
    assert_eq!((merged.occurred_at, merged.generation), (Some(Timestamp(900)), Some(7)));
}

#[test]
fn merged_reads_are_under_the_lowest_generation() {
    let mut schedule = Schedule::new(Aging::Strict);
    queue_in(&mut schedule, cache_job(1, Some(5), Some(7), 10, 100));
    queue_in(&mut schedule, cache_job(1, Some(9), Some(4), 20, 100));
    let merged = &schedule.take(Tick(100), room(1))[0].job;
    assert_eq!((merged.occurred_at, merged.generation), (Some(Timestamp(5)), Some(4)));
}

#[test]
fn a_dated_read_merged_with_one_under_a_generation_is_trusted_by_neither() {
    let mut schedule = Schedule::new(Aging::Strict);
    queue_in(&mut schedule, cache_job(1, Some(5), None, 10, 100));
    queue_in(&mut schedule, cache_job(1, None, Some(4), 20, 100));
    let merged = &schedule.take(Tick(100), room(1))[0].job;
    assert_eq!((merged.occurred_at, merged.generation), (Some(Timestamp(4)), Some(ANY_STALE)));
}

#[test]
fn reads_of_both_kinds_are_as_old_as_the_oldest_however_many_are_merged() {
    let mut schedule = Schedule::new(Aging::Strict);
    for (occurred_at, generation) in [(Some(9), None), (None, Some(7)), (None, Some(3)), (Some(5), None)] {
        queue_in(&mut schedule, cache_job(1, occurred_at, generation, 10, 100));
    }
    let merged = &schedule.take(Tick(100), room(1))[0].job;
    assert_eq!((merged.occurred_at, merged.generation), (Some(Timestamp(3)), Some(ANY_STALE)));
}

#[test]
fn a_read_of_unknown_time_merged_with_one_under_a_generation_is_of_unknown_time() {
    let mut schedule = Schedule::new(Aging::Strict);
    queue_in(&mut schedule, cache_job(1, None, None, 10, 100));
    queue_in(&mut schedule, cache_job(1, None, Some(4), 20, 100));
    let merged = &schedule.take(Tick(100), room(1))[0].job;
    assert_eq!((merged.occurred_at, merged.generation), (None, None));
}

#[test]
fn merged_reads_arrived_when_the_first_of_them_did_and_end_with_the_last() {
    for (first, second) in [((10, 100), (20, 300)), ((20, 300), (10, 100))] {
        let mut schedule = Schedule::new(Aging::Strict);
        for (accepted_at, life) in [first, second] {
            queue_in(&mut schedule, cache_job(1, None, None, accepted_at, life));
        }
        let merged = &schedule.take(Tick(100), room(1))[0].job;
        let life = merged.copy.as_ref().unwrap().life;
        assert_eq!((merged.accepted_at, life), (Timestamp(10), Duration::from_millis(310)));
    }
}

#[test]
fn the_later_expiry_of_two_merged_jobs_holds() {
    for (first, second, merged) in
        [(Some(5), Some(9), Some(9)), (Some(9), Some(5), Some(9)), (None, Some(5), None)]
    {
        let mut schedule = Schedule::new(Aging::Strict);
        queue_in(&mut schedule, Job { expires_at: first.map(Tick), ..cache_job(1, None, None, 1, 1) });
        queue_in(&mut schedule, Job { expires_at: second.map(Tick), ..cache_job(1, None, None, 2, 1) });
        assert_eq!(schedule.take(Tick(2), room(1))[0].job.expires_at, merged.map(Tick));
    }
}

#[test]
fn a_fan_out_that_had_begun_starts_again_when_it_is_superseded() {
    let queue = queue(10);
    push(&queue, vec![job(1, 0, 0)]).unwrap();
    let taken = take(&queue);
    let mut fan_out = FanOut::default();
    fan_out.marked = true;
    fan_out.advance(Some(crate::relations::Position(500)));
    settle(&queue, taken.job.id, Outcome::Yield(fan_out), 0.0);
    push(&queue, vec![job(1, 0, 0)]).unwrap();
    let mut again = take(&queue).fan_out;
    assert!(!again.marked, "stale is to be written for the later write");
    assert_eq!(again.next(), crate::relations::Position(500));
    assert!(!again.advance(None), "what was behind is visited again");
}

fn take(queue: &Queue) -> Attempt {
    let mut taken = queue.lock().schedule.take(queue.clock.tick(), room(1));
    taken.pop().expect("a job is ready")
}

#[test]
fn a_full_queue_takes_nothing_of_a_request_but_lets_it_supersede() {
    let queue = queue(2);
    push(&queue, vec![job(1, 0, 0)]).unwrap();
    assert_eq!(push(&queue, vec![job(2, 0, 0), job(3, 0, 0)]), Err(Full));
    assert_eq!(queue.view().queued, 1);
    push(&queue, vec![job(2, 0, 0)]).unwrap();
    assert!(push(&queue, vec![job(2, 0, 0)]).is_ok(), "it adds no job");
    assert_eq!(push(&queue, vec![job(3, 0, 0)]), Err(Full));
}

#[test]
fn a_queue_is_bounded_in_bytes_and_gives_them_back() {
    let retry = RetryPolicy { max_attempts: 2, base: Duration::ZERO, cap: Duration::ZERO };
    let limits = QueueLimits { capacity: 10, max_bytes: 3072, finished: 1, aging: Aging::Strict, retry };
    let queue = Arc::new(Queue::new(limits, Clock::start()));
    let big = |n| Job {
        entity: Entity { resource_type: "Posts".into(), id: "x".repeat(1024).into() },
        ..job(n, 0, 0)
    };
    push(&queue, vec![big(1), big(2)]).unwrap();
    assert_eq!(push(&queue, vec![big(3)]), Err(Full));
    let taken = take(&queue);
    assert_eq!(push(&queue, vec![big(3)]), Err(Full), "a running job still weighs");
    settle(&queue, taken.job.id, done(), 0.0);
    push(&queue, vec![big(3)]).unwrap();
    for _ in 0..2 {
        let taken = take(&queue);
        settle(&queue, taken.job.id, done(), 0.0);
    }
    assert_eq!(queue.view().bytes, 0);
}

/// As the journal keeps it in segment 1.
fn kept(job: &Job) -> Ref {
    Ref { entry: EntryId::first(job.id), segment: 1 }
}

fn queue_in(schedule: &mut Schedule, job: Job) -> (JobId, Option<Entry>) {
    let kept = kept(&job);
    schedule.push(job, smallvec::smallvec![kept], Tick(0))
}

/// With a payload of so many bytes.
fn large(n: u64, key: u64, bytes: usize) -> Job {
    let payload = serde_json::json!({ "text": "x".repeat(bytes) }).as_object().cloned().map(Arc::new);
    Job { key: JobKey(key.into()), payload, ..job(n, 0, 0) }
}

#[test]
fn a_job_that_supersedes_a_smaller_one_needs_room_for_the_difference() {
    let queue = queue(10);
    push(&queue, vec![large(1, 1, 1 << 19)]).unwrap();
    push(&queue, vec![large(2, 2, 10)]).unwrap();
    assert_eq!(push(&queue, vec![large(3, 2, 1 << 19)]).unwrap_err(), Full);
    push(&queue, vec![large(4, 1, 1 << 19)]).unwrap();
    assert_eq!(queue.view().queued, 2);
}

#[test]
fn dead_letters_take_up_no_more_than_a_quarter_of_the_bytes_and_the_last_one_stays() {
    let queue = queue(10);
    let mut let_go = Vec::new();
    for n in 1..=3 {
        let letter = Job { job_type: JobType::Cache, ..large(n, n, 100 << 10) };
        let kept = kept(&letter);
        let_go.extend(queue.put_dead(letter, death("no"), kept));
    }
    assert_eq!((queue.view().dead, let_go.len()), (2, 1), "two of 100 KiB fit into 256 KiB");
    let huge = Job { job_type: JobType::Cache, ..large(4, 4, 300 << 10) };
    let kept = kept(&huge);
    assert_eq!(queue.put_dead(huge, death("no"), kept).len(), 2);
    assert_eq!(queue.view().dead, 1);
}

#[test]
fn follow_ups_are_exempt_from_the_bound() {
    let queue = queue(1);
    push(&queue, vec![job(1, 0, 0)]).unwrap();
    let taken = take(&queue);
    let follow_ups = vec![job(2, 0, 0), job(3, 0, 0)];
    settle(&queue, taken.job.id, Outcome::Done { fan_out: None, follow_ups }, 0.0);
    assert_eq!(queue.view().queued, 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_its_due_time_and_a_failed_one_for_its_backoff() {
    let queue = queue(10);
    push(&queue, vec![job(1, 0, 5_000_000)]).unwrap();
    let taken = queue.take(room(1)).await;
    assert_eq!(queue.clock.tick(), Tick(5_000_000));
    settle(&queue, taken[0].job.id, failed("no"), 1.0);
    assert_eq!(queue.view().suspended, 1);
    let again = queue.take(room(1)).await;
    assert_eq!(again[0].failures, 1);
    assert!(queue.clock.tick() >= Tick(6_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_cache_job_that_expires_is_given_out_to_be_evicted() {
    let queue = queue(10);
    push(&queue, vec![Job { expires_at: Some(Tick(10)), ..cache_job(1, None, None, 0, 100) }]).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let taken = take(&queue);
    assert_eq!(taken.phase, Phase::Evict(Ending::Expired));
    settle(
        &queue,
        taken.job.id,
        Outcome::Evicted { ending: Some(Ending::Expired), follow_ups: Vec::new() },
        0.0,
    );
    assert_eq!(queue.job(taken.job.id).unwrap().state, JobState::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_cache_job_that_keeps_failing_is_evicted_and_becomes_a_dead_letter() {
    let queue = queue(10);
    let id = push(&queue, vec![cache_job(1, None, None, 0, 100)]).unwrap()[0].id;
    for _ in 0..2 {
        let taken = queue.take(room(1)).await;
        assert_eq!(taken[0].phase, Phase::Work);
        settle(&queue, id, failed("store unavailable"), 0.0);
    }
    for _ in 0..3 {
        let taken = queue.take(room(1)).await;
        assert_eq!(
            taken[0].phase,
            Phase::Evict(Ending::Dead),
            "its copy is evicted, however long that takes"
        );
        settle(&queue, id, failed("cache unavailable"), 0.0);
    }
    queue.take(room(1)).await;
    settle(&queue, id, Outcome::Evicted { ending: Some(Ending::Dead), follow_ups: Vec::new() }, 0.0);
    let view = queue.job(id).unwrap();
    assert_eq!((view.state, view.last_error.as_deref()), (JobState::Dead, Some("cache unavailable")));
    assert_eq!(queue.view().dead, 1);
    assert_eq!(queue.jobs(Some(JobState::Dead), None, 10).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_never_gives_up() {
    let queue = queue(10);
    let id = push(&queue, vec![job(1, 0, 0)]).unwrap()[0].id;
    for failures in 0..50 {
        let taken = queue.take(room(1)).await;
        assert_eq!((taken[0].phase, taken[0].failures), (Phase::Work, failures));
        settle(&queue, id, failed("cache unavailable"), 1.0);
    }
    assert_eq!(queue.job(id).unwrap().state, JobState::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_hands_its_work_to_the_newer_one_with_its_key() {
    let queue = queue(10);
    let older = push(&queue, vec![Job { occurred_at: Some(Timestamp(900)), ..job(1, 0, 0) }]).unwrap()[0].id;
    let taken = take(&queue);
    let newer = push(&queue, vec![Job { occurred_at: Some(Timestamp(500)), ..job(1, 0, 0) }]).unwrap()[0].id;
    assert_eq!(settle(&queue, taken.job.id, failed("no"), 0.0), JobState::Superseded);
    assert_eq!(queue.job(older).unwrap().superseded_by, Some(newer));
    let survivor = take(&queue);
    assert_eq!((survivor.job.id, survivor.job.occurred_at), (newer, Some(Timestamp(900))));
    assert_eq!(queue.view().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_every_job_end_and_a_superseded_one_with_its_survivor() {
    let queue = queue(10);
    let (pushed, watch) = push_watched(&queue, vec![job(1, 0, 0), job(2, 0, 0), job(1, 0, 0)]);
    assert_eq!(pushed[2].supersedes, Some(pushed[0].id));
    for taken in queue.take(room(10)).await {
        settle(&queue, taken.job.id, done(), 0.0);
    }
    let ends = watch.all(Duration::from_secs(1)).await.unwrap();
    let seen: Vec<_> = ends.iter().map(|view| (view.id, view.state, view.superseded_by)).collect();
    let expected = [
        (pushed[0].id, JobState::Done, Some(pushed[2].id)),
        (pushed[1].id, JobState::Done, None),
        (pushed[2].id, JobState::Done, None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn a_watch_gives_up_when_its_time_is_over() {
    let queue = queue(10);
    let (_, watch) = push_watched(&queue, vec![job(1, 0, 0)]);
    assert!(watch.all(Duration::from_secs(1)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_has_nothing_ready_and_nothing_running() {
    let queue = queue(10);
    push(&queue, vec![job(1, 0, 0), job(2, 0, 3_600_000_000)]).unwrap();
    let taken = take(&queue);
    let settle = async { settle(&queue, taken.job.id, done(), 0.0) };
    tokio::join!(queue.idle(), settle);
    assert_eq!(queue.view().queued, 1, "a delayed job does not keep it from being idle");
}

#[test]
fn finished_jobs_are_kept_a_bounded_while() {
    let queue = queue(100);
    let ids: Vec<_> = push(&queue, (1..=6).map(|n| job(n, 0, 0)).collect()).unwrap();
    for _ in 0..6 {
        let taken = take(&queue);
        settle(&queue, taken.job.id, done(), 0.0);
    }
    assert!(queue.job(ids[0].id).is_none() && queue.job(ids[5].id).is_some());
    assert_eq!(queue.jobs(Some(JobState::Done), None, 100).len(), 4);
    assert_eq!(queue.jobs(None, Some(ids[3].id), 100).len(), 2);
}

#[test]
fn a_stream_of_one_key_does_not_grow_the_queue() {
    let queue = queue(10);
    for _ in 0..10_000 {
        push(&queue, vec![job(1, 2, 0)]).unwrap();
    }
    assert_eq!(queue.view().queued, 1);
    assert_eq!(queue.lock().schedule.references(), 1);
}

#[test]
fn room_that_is_reserved_is_nobody_elses_until_it_is_given_back() {
    let queue = queue(2);
    let reserved = queue.reserve(&[job(1, 0, 0), job(2, 0, 0)]).unwrap();
    assert_eq!(push(&queue, vec![job(3, 0, 0)]), Err(Full));
    drop(reserved);
    push(&queue, vec![job(3, 0, 0)]).unwrap();
    assert_eq!(queue.view().queued, 1);
}

#[test]
fn a_job_that_ends_lets_go_of_all_whose_work_it_did_and_of_none_before() {
    let queue = queue(10);
    let older = push(&queue, vec![job(1, 0, 0)]).unwrap()[0].id;
    let newer = push(&queue, vec![job(1, 0, 0)]).unwrap()[0].id;
    let taken = take(&queue);
    let again = push(&queue, vec![job(1, 0, 0)]).unwrap()[0].id;
    assert!(queue.settle(taken.job.id, failed("no"), 2, 0.0).let_go.is_empty());
    let survivor = take(&queue);
    let settled = queue.settle(survivor.job.id, done(), 2, 0.0);
    let let_go: HashSet<EntryId> = settled.let_go.iter().map(|kept| kept.entry).collect();
    assert_eq!(let_go, [older, newer, again].map(EntryId::first).into());
}

#[test]
fn a_job_that_stands_for_very_many_is_to_be_kept_anew_and_lets_go_of_them_once() {
    let queue = queue(10);
    for _ in 0..200 {
        push(&queue, vec![job(1, 0, 0)]).unwrap();
    }
    let anew = queue.to_keep_anew(None, 10).pop().expect("it stands for 200");
    assert!(queue.to_keep_anew(None, 10).is_empty(), "it is said once");
    let [first, second, third] =
        [7, 8, 9].map(|segment| Ref { entry: EntryId::again(Timestamp(1)), segment });
    let let_go = queue.kept_anew(&anew, first);
    assert_eq!(let_go.len(), 200);
    assert_eq!(queue.kept_anew(&anew, second), [second], "what is kept already is not let go");
    let taken = take(&queue);
    assert_eq!(taken.kept, [first]);
    let late = queue.kept_anew(&KeepAnew { kept: taken.kept.clone(), ..anew }, third);
    assert_eq!(late, [third], "a running job keeps what it was started with");
}

#[test]
fn waiting_jobs_and_dead_letters_of_a_sparse_segment_are_to_be_kept_anew() {
    let queue = queue(10);
    let waiting = push(&queue, vec![job(1, 0, 9_000_000_000)]).unwrap()[0].id;
    let dead = cache_job(5, None, None, 0, 100);
    let letter = dead.id;
    let kept = kept(&dead);
    assert!(queue.put_dead(dead, death("store unavailable"), kept).is_empty());
    let anew = queue.to_keep_anew(Some(1), 10);
    let error = |anew: &KeepAnew| anew.dead.as_ref().map(|dead| dead.error.to_string());
    let said: Vec<_> = anew.iter().map(|anew| (anew.job.id, error(anew))).collect();
    assert_eq!(said, [(waiting, None), (letter, Some("store unavailable".to_owned()))]);
    for anew in &anew {
        let new = Ref { entry: EntryId::again(Timestamp(1)), segment: 2 };
        assert_eq!(queue.kept_anew(anew, new).len(), 1);
    }
    assert!(queue.to_keep_anew(Some(1), 10).is_empty());
}

#[test]
fn invalidations_beyond_the_room_for_fan_outs_wait_and_keep_their_turn() {
    let mut schedule = Schedule::new(Aging::Strict);
    for n in 1..=3 {
        queue_in(&mut schedule, job(n, 0, 0));
    }
    queue_in(&mut schedule, cache_job(9, None, None, 0, 1));
    assert_eq!(schedule.take(Tick(0), Room { jobs: 9, fan_outs: 2 }).len(), 2);
    let rest = schedule.take(Tick(0), Room { jobs: 9, fan_outs: 2 });
    let types: Vec<JobType> = rest.iter().map(|attempt| attempt.job.job_type).collect();
    assert_eq!(types, [JobType::Invalidate, JobType::Cache]);
}

#[tokio::test(start_paused = true)]
async fn evictions_of_one_copy_that_cannot_be_done_become_one() {
    let queue = queue(10);
    for n in 0..5 {
        push(&queue, vec![Job { expires_at: Some(Tick(0)), ..cache_job(1, None, None, n, 100) }]).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        for taken in queue.take(room(9)).await {
            assert_eq!(taken.phase, Phase::Evict(Ending::Expired));
            settle(&queue, taken.job.id, failed("cache unavailable"), 1.0);
        }
    }
    assert_eq!(queue.view().queued, 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_no_longer_waits_is_forgotten() {
    let queue = queue(10);
    for _ in 0..100 {
        drop(push_watched(&queue, vec![job(1, 0, 0)]));
    }
    assert_eq!(queue.lock().ended.watchers(), 1, "only the last one has not been noticed yet");
}

#[test]
fn running_jobs_are_listed_without_looking_at_those_that_wait() {
    let queue = queue(10);
    push(&queue, vec![job(1, 0, 0), job(2, 0, 0), job(3, 0, 0)]).unwrap();
    let running = take(&queue).job.id;
    let listed: Vec<JobId> =
        queue.jobs(Some(JobState::Running), None, 10).iter().map(|view| view.id).collect();
    assert_eq!(listed, [running]);
    assert_eq!(queue.jobs(Some(JobState::Queued), None, 10).len(), 2);
    assert_eq!(queue.jobs(None, None, 10).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_given_up_is_kept_as_a_dead_letter_only_when_its_copy_is_gone() {
    let queue = queue(10);
    let id = push(&queue, vec![cache_job(1, None, None, 0, 100)]).unwrap()[0].id;
    for _ in 0..3 {
        queue.take(room(1)).await;
        assert!(queue.settle(id, failed("unavailable"), 0, 0.0).dead.is_none());
    }
    assert_eq!(queue.to_keep_anew(Some(1), 10)[0].dead, None, "its copy is still to be evicted");
    queue.take(room(1)).await;
    let settled =
        queue.settle(id, Outcome::Evicted { ending: Some(Ending::Dead), follow_ups: Vec::new() }, 0, 0.0);
    assert_eq!(&*settled.dead.unwrap().dead.unwrap().error, "unavailable");
    assert!(settled.let_go.is_empty(), "it stays in the journal");
}

#[test]
fn merged_revocations_cover_the_later_one_and_start_again() {
    let queue = queue(10);
    let revoke = |n| Job { job_type: JobType::Revoke, key: JobKey(1), ..job(n, 0, 0) };
    push(&queue, vec![revoke(900)]).unwrap();
    let taken = take(&queue);
    let mut begun = FanOut::default();
    begun.marked = true;
    settle(&queue, taken.job.id, Outcome::Yield(begun), 0.0);
    push(&queue, vec![revoke(100)]).unwrap();
    let survivor = take(&queue);
    assert_eq!(survivor.job.occurred_at, Some(Timestamp(900)));
    assert!(!survivor.fan_out.marked, "its own stale is written again");
}

#[test]
fn a_revocation_is_tried_for_ever_and_its_promise_suspended_meanwhile() {
    let queue = queue(10);
    let id = push(&queue, vec![Job { job_type: JobType::Revoke, ..job(1, 0, 0) }]).unwrap()[0].id;
    let taken = take(&queue);
    assert_eq!(taken.phase, Phase::Work);
    let settled = queue.settle(id, failed("no"), 1, 0.0);
    assert_eq!((settled.state, queue.view().suspended), (JobState::Queued, 1));
    assert_eq!(queue.job(id).unwrap().attempts, 1);
}

#[test]
fn a_revocation_takes_the_room_of_a_fan_out() {
    let queue = queue(10);
    push(&queue, vec![Job { job_type: JobType::Revoke, ..job(1, 0, 0) }, job(2, 0, 0)]).unwrap();
    let taken = queue.lock().schedule.take(queue.clock.tick(), Room { jobs: 10, fan_outs: 1 });
    assert_eq!(taken.len(), 1);
}

#[test]
fn what_waits_for_a_cache_is_owed_to_it_until_it_is_done_or_has_new_work() {
    let queue = queue(10);
    let waiting = || Outcome::Failed {
        cause: Cause::CacheUnavailable,
        error: "cache far: refused".to_owned(),
        fan_out: None,
        waits_for: Box::new(["far".into(), "farther".into()]),
    };
    let owed = |cache| queue.owed().get(cache).map_or(0, |owed| owed.jobs);
    push(&queue, vec![job(1, 0, 0), cache_job(2, Some(1), None, 1, 1)]).unwrap();
    for _ in 0..2 {
        let taken = take(&queue);
        settle(&queue, taken.job.id, waiting(), 0.0);
    }
    assert_eq!((owed("far"), owed("farther"), queue.suspended()), (2, 2, 2));
    assert_eq!(queue.view().owed["far"].bytes, queue.view().bytes);
    push(&queue, vec![job(1, 0, 0)]).unwrap();
    let superseding = take(&queue);
    assert!(superseding.waits_for.is_empty(), "the caches that answer are served at once");
    assert_eq!(owed("far"), 1);
    settle(&queue, superseding.job.id, done(), 0.0);
    assert_eq!((owed("far"), queue.suspended()), (1, 1), "an eviction that waits suspends the promise, too");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_for_a_cache_is_tried_again_with_capped_backoff_and_never_given_up() {
    let queue = queue(10);
    push(&queue, vec![cache_job(1, Some(1), None, 1, 1)]).unwrap();
    for attempt in 0..20 {
        let began = queue.clock.tick();
        let taken = queue.take(room(1)).await;
        assert!(queue.clock.tick().since(began) <= Duration::from_secs(60));
        assert_eq!((taken[0].failures, taken[0].phase), (attempt, Phase::Work));
        let waits_for: WaitsFor = Box::new(["far".into()]);
        let failed = Outcome::Failed {
            error: "cache far: refused".to_owned(),
            cause: Cause::CacheUnavailable,
            fan_out: None,
            waits_for,
        };
        assert_eq!(settle(&queue, taken[0].job.id, failed, 1.0), JobState::Queued);
    }
}
