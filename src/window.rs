//! Keeps finished jobs until no failover can undo them any more (DESIGN 7, rule 14).
//!
//! A failover can lose the last that a server has confirmed. So a job that is done is held, and with it its place in the
//! journal, until it is older than the window and every server has been found the same by a look that began after that.
//! What a server is known to have kept is told by beats ([`crate::redis_pool::Pulse`]): a failover to one that has a beat
//! from after the last job that was let go costs nothing, for all that it may have lost is run again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    job::Job,
    journal::Ref,
    queue::weigh,
    trust::Trust,
};

/// Held jobs, shared by the workers that finish them and the monitor that looks after the servers.
#[derive(Debug)]
pub struct Window {
    limits: Limits,
    clock: Clock,
    trust: Arc<Trust>,
    latest: AtomicU64,
    state: Mutex<State>,
}

/// How much is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How long; `None`: for the time that is usual, once a server is known to be able to fail over.
    pub span: Option<Duration>,
    /// Bytes that held jobs may be counted with.
    pub bytes: usize,
    /// Held jobs.
    pub jobs: usize,
}

/// What the store is called among the servers that are looked after.
pub const STORE: &str = "store";

/// The window where none is configured.
pub const USUAL: Duration = Duration::from_secs(5);

/// A job that is done.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The job.
    pub job: Arc<Job>,
    /// Where the journal keeps the jobs whose work it was.
    pub kept: Vec<Ref>,
    /// [`Trust::epoch`] when its last attempt began.
    pub epoch: u64,
    /// Whether copies were deleted for it. If not, no cache has had to do with it.
    pub removed_copies: bool,
}

/// What becomes of a job that is done.
#[derive(Debug)]
pub enum Kept {
    /// It is held.
    Held,
    /// The journal may let these go.
    Go(Vec<Ref>),
    /// It was done in part on a server that is gone: it is to be done again.
    Again(Finished),
}

#[derive(Debug, Default)]
struct State {
    span: Duration,
    held: VecDeque<Held>,
    bytes: usize,
    servers: BTreeMap<Box<str>, Seen>,
    early: u64,
    /// Of jobs that had to be let go early.
    go: Vec<Ref>,
}

#[derive(Debug)]
struct Held {
    finished: Finished,
    at: Timestamp,
    bytes: usize,
}

/// What is known of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Seen {
    /// When the last look began that found it as it was before.
    same: Timestamp,
    /// Whether nothing is held for it: when it answers again, all that is in it goes.
    given_up: bool,
    /// When the last job ended that was let go and may have had to do with it.
    let_go: Timestamp,
}

impl Window {
    /// Holds nothing yet.
    pub fn new(limits: Limits, clock: Clock, trust: Arc<Trust>) -> Self {
        let state = State { span: limits.span.unwrap_or_default(), ..State::default() };
        Self { limits, clock, trust, latest: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// The time, which never goes back here: ends of jobs and beats are compared with each other.
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now().0;
        Timestamp(self.latest.fetch_max(now, Ordering::AcqRel).max(now))
    }

    /// How long jobs are held at present.
    pub fn span(&self) -> Duration {
        self.lock().span
    }

    /// Looks after a server of this name. `let_go` is when the last job ended that was let go in an earlier life.
    pub fn watch(&self, server: &str, let_go: Timestamp) {
        let mut state = self.lock();
        let seen = state.servers.entry(server.into()).or_default();
        seen.let_go = seen.let_go.max(let_go);
    }

    /// Nothing is held for this server any more.
    pub fn unwatch(&self, server: &str) {
        self.lock().servers.remove(server);
    }

    /// A job became a dead letter then, in an earlier life: its copy was deleted, and it will not be run again.
    pub fn died(&self, at: Timestamp) {
        for (_, seen) in self.lock().servers.iter_mut().filter(|(name, _)| &***name != STORE) {
            seen.let_go = seen.let_go.max(at);
        }
    }

    /// What came of an earlier life has been seen to: from here on it is what this one has let go that counts.
    pub fn begin(&self, server: &str) {
        let now = self.now();
        if let Some(seen) = self.lock().servers.get_mut(server) {
            seen.let_go = seen.let_go.min(now);
        }
    }

    /// A server may lose the last that it has confirmed without losing all.
    pub fn may_fail_over(&self) {
        if self.limits.span.is_none() {
            self.lock().span = USUAL;
        }
    }

    /// Takes a job that is done.
    pub fn keep(&self, finished: Finished) -> Kept {
        let at = self.now();
        let mut state = self.lock();
        // Under the lock: after a new epoch began, nothing of the old one gets in behind what is taken out to run again.
        if finished.epoch != self.trust.epoch() && holds(Clause::EpochTold) {
            return Kept::Again(finished);
        }
        if state.span.is_zero() {
            state.let_go(at, finished.removed_copies);
            return Kept::Go(finished.kept);
        }
        if !holds(Clause::Held) {
            return Kept::Go(finished.kept);
        }
        let bytes = weigh(&finished.job)
            + size_of::<Job>()
            + size_of::<Held>()
            + finished.kept.len() * size_of::<Ref>();
        state.bytes += bytes;
        state.held.push_back(Held { finished, at, bytes });
        while state.bytes > self.limits.bytes || state.held.len() > self.limits.jobs {
            let Some(held) = state.pop() else { break };
            state.early += 1;
            state.go.extend(held.finished.kept);
        }
        Kept::Held
    }

    /// A look that began then found the server as it was before.
    pub fn same(&self, server: &str, began: Timestamp) {
        if let Some(seen) = self.lock().servers.get_mut(server) {
            (seen.same, seen.given_up) = (began, false);
        }
    }

    /// The server is away, and is to be emptied when it is back.
    pub fn give_up(&self, server: &str) {
        if let Some(seen) = self.lock().servers.get_mut(server) {
            seen.given_up = true;
        }
    }

    /// Whether all that a server has lost that has this beat is still held.
    pub fn covers(&self, server: &str, beat: Option<Timestamp>) -> bool {
        let state = self.lock();
        // Where nothing was ever let go, no beat is needed.
        let beat = beat.unwrap_or(Timestamp(0));
        state.servers.get(server).is_some_and(|seen| seen.let_go < beat || seen.let_go == Timestamp(0))
    }

    /// Takes out the jobs that no failover can undo any more, and those that had to be let go early. When the last of them
    /// ended ([`Window::let_go`]) has to be noted before the journal lets them go.
    pub fn ripe(&self) -> Vec<Ref> {
        let mut state = self.lock();
        let mut go = std::mem::take(&mut state.go);
        while state.held.front().is_some_and(|held| state.is_ripe(held)) {
            go.extend(state.pop().map(|held| held.finished.kept).unwrap_or_default());
        }
        go
    }

    /// What was taken out could not be noted: it is to be taken out again.
    pub fn put_back(&self, go: Vec<Ref>) {
        self.lock().go.extend(go);
    }

    /// Takes out all jobs, to be run again.
    pub fn again(&self) -> Vec<Finished> {
        let mut state = self.lock();
        state.bytes = 0;
        state.held.drain(..).map(|held| held.finished).collect()
    }

    /// By server, when the last job ended that was let go and may have had to do with it.
    pub fn let_go(&self) -> BTreeMap<Box<str>, Timestamp> {
        self.lock().servers.iter().map(|(name, seen)| (name.clone(), seen.let_go)).collect()
    }

    /// Jobs that are held, and those that had to be let go too early since the start.
    pub fn counts(&self) -> (usize, u64) {
        let state = self.lock();
        (state.held.len(), state.early)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_ripe(&self, held: &Held) -> bool {
        self.servers.iter().all(|(name, seen)| {
            let is_over = seen.given_up || held.at.after(self.span) <= seen.same;
            is_over || !concerns(name, held.finished.removed_copies)
        })
    }

    fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.bytes -= held.bytes;
        self.let_go(held.at, held.finished.removed_copies);
        Some(held)
    }

    fn let_go(&mut self, at: Timestamp, removed_copies: bool) {
        for (_, seen) in self.servers.iter_mut().filter(|(name, _)| concerns(name, removed_copies)) {
            seen.let_go = seen.let_go.max(at);
        }
    }
}

/// Whether a job had to do with a server. What has ended was done on every cache that it concerns, whatever the last look
/// at one has found.
fn concerns(server: &str, removed_copies: bool) -> bool {
    server == STORE || removed_copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Tick,
        event::Entity,
        job::{JobId, JobKey, JobType},
        journal::EntryId,
    };

    const SPAN: Duration = Duration::from_secs(5);

    fn window(span: Option<Duration>, jobs: usize) -> Window {
        let window = Window::new(Limits { span, bytes: 1 << 20, jobs }, Clock::start(), Arc::default());
        window.watch("store", Timestamp(0));
        window.watch("cache:api", Timestamp(0));
        window
    }

    fn done(n: u64) -> Finished {
        let id = JobId::new(Timestamp(n));
        let job = Job {
            id,
            key: JobKey(1),
            job_type: JobType::Invalidate,
            topic: Arc::from("pp-cache"),
            entity: Entity { resource_type: "Posts".into(), id: "42".into() },
            priority: 0,
            superceedable: true,
            ready_at: Tick(0),
            expires_at: None,
            occurred_at: None,
            generation: None,
            accepted_at: Timestamp(1),
            copy: None,
            payload: None,
            depth: 0,
            recheck: false,
            rules: 0,
            trace: None,
        };
        Finished {
            job: Arc::new(job),
            kept: vec![Ref { entry: EntryId::first(id), segment: 1 }],
            epoch: 0,
            removed_copies: true,
        }
    }

    fn both_same(window: &Window, began: Timestamp) {
        window.same("store", began);
        window.same("cache:api", began);
    }

    #[test]
    fn without_a_window_a_job_goes_at_once_and_covers_nothing_from_before_it() {
        let window = window(None, 10);
        let before = window.now();
        assert!(matches!(window.keep(done(1)), Kept::Go(kept) if kept.len() == 1));
        assert!(!window.covers("store", Some(before)) && !window.covers("store", None));
        assert!(window.covers("store", Some(window.now().after(SPAN))), "a beat that came after it");
    }

    #[test]
    fn a_job_is_held_until_both_servers_were_the_same_after_its_time() {
        let window = window(None, 10);
        assert!(window.covers("store", None), "nothing was ever let go");
        window.may_fail_over();
        let beat = window.now();
        assert!(matches!(window.keep(done(1)), Kept::Held));
        let late = window.now().after(USUAL);
        window.same("store", late);
        assert_eq!(window.ripe(), []);
        assert!(window.covers("cache:api", Some(beat.after(Duration::from_millis(1)))));
        both_same(&window, late);
        assert_eq!(window.ripe().len(), 1);
        assert!(!window.covers("store", Some(beat)), "it can no longer be run again");
        assert_eq!(window.again().len(), 0);
    }

    #[test]
    fn a_cache_holds_up_only_what_has_deleted_copies() {
        let window = window(Some(SPAN), 10);
        let beat = window.now();
        window.keep(Finished { removed_copies: false, ..done(1) });
        window.same("store", window.now().after(SPAN));
        assert_eq!(window.ripe().len(), 1);
        assert!(window.covers("cache:api", Some(beat)), "what was let go had nothing to do with it");
        assert!(!window.covers("store", Some(beat)));
        window.keep(done(2));
        window.same("store", window.now().after(SPAN));
        assert_eq!(window.ripe(), [], "it may have failed over since");
    }

    #[test]
    fn nothing_is_held_for_a_cache_that_is_to_be_emptied_when_it_is_back() {
        let window = window(Some(SPAN), 10);
        let beat = window.now();
        window.keep(done(1));
        window.same("store", window.now().after(SPAN));
        window.give_up("cache:api");
        assert_eq!(window.ripe().len(), 1);
        assert!(!window.covers("cache:api", Some(beat)));
        window.same("cache:api", window.now());
        window.keep(done(2));
        window.same("store", window.now().after(SPAN));
        assert_eq!(window.ripe(), [], "it is back");
    }

    #[test]
    fn what_there_is_no_room_for_goes_early_and_a_failover_is_then_a_loss() {
        let window = window(Some(SPAN), 2);
        let beat = window.now();
        for n in 1..=3 {
            assert!(
                matches!(window.keep(done(n)), Kept::Held),
                "it goes with the next look, when it is noted"
            );
        }
        assert_eq!(window.counts(), (2, 1));
        assert!(!window.covers("store", Some(beat)));
        let go = window.ripe();
        assert_eq!(go.len(), 1);
        window.put_back(go);
        assert_eq!(window.ripe().len(), 1);
    }

    #[test]
    fn a_job_that_was_begun_before_a_failover_is_done_again() {
        let window = window(Some(SPAN), 10);
        window.keep(done(1));
        window.trust.new_epoch();
        assert_eq!(window.again().len(), 1);
        assert!(matches!(window.keep(done(2)), Kept::Again(_)));
        assert!(matches!(window.keep(Finished { epoch: 1, ..done(3) }), Kept::Held));
    }

    #[test]
    fn what_an_earlier_life_let_go_counts_until_it_was_seen_to() {
        let window = window(Some(SPAN), 10);
        window.watch("store", Timestamp(u64::MAX));
        let later = window.now().after(SPAN);
        assert!(!window.covers("store", Some(later)));
        window.begin("store");
        assert!(window.covers("store", Some(later)));
        window.watch("cache:api", Timestamp(7));
        window.begin("cache:api");
        assert!(
            window.covers("cache:api", Some(Timestamp(8))) && !window.covers("cache:api", Some(Timestamp(7)))
        );
    }
}
