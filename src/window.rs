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
    /// Since when it is away. What ended after that had nothing to do with it.
    away: Option<Timestamp>,
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
        if finished.epoch != self.trust.epoch() {
            return Kept::Again(finished);
        }
        if state.span.is_zero() {
            state.let_go(at);
            return Kept::Go(finished.kept);
        }
        let bytes = weigh(&finished.job) + size_of::<Held>() + finished.kept.len() * size_of::<Ref>();
        state.bytes += bytes;
        state.held.push_back(Held { finished, at, bytes });
        let mut go = Vec::new();
        while state.bytes > self.limits.bytes || state.held.len() > self.limits.jobs {
            let Some(held) = state.pop() else { break };
            state.early += 1;
            go.extend(held.finished.kept);
        }
        if go.is_empty() { Kept::Held } else { Kept::Go(go) }
    }

    /// A look that began then found the server as it was before.
    pub fn same(&self, server: &str, began: Timestamp) {
        if let Some(seen) = self.lock().servers.get_mut(server) {
            (seen.same, seen.away) = (began, None);
        }
    }

    /// The server could not be looked at.
    pub fn away(&self, server: &str) {
        let now = self.now();
        if let Some(seen) = self.lock().servers.get_mut(server) {
            seen.away.get_or_insert(now);
        }
    }

    /// Whether all that a server has lost that has this beat is still held.
    pub fn covers(&self, server: &str, beat: Option<Timestamp>) -> bool {
        let state = self.lock();
        let let_go = state.servers.get(server).map(|seen| seen.let_go);
        beat.zip(let_go).is_some_and(|(beat, let_go)| let_go < beat)
    }

    /// Takes out the jobs that no failover can undo any more. When the last of them ended has to be noted before the journal
    /// lets them go ([`Window::let_go`]).
    pub fn ripe(&self) -> Vec<Ref> {
        let mut state = self.lock();
        let mut go = Vec::new();
        while state.held.front().is_some_and(|held| state.is_ripe(held.at)) {
            go.extend(state.pop().map(|held| held.finished.kept).unwrap_or_default());
        }
        go
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
    fn is_ripe(&self, at: Timestamp) -> bool {
        self.servers.values().all(|seen| at.after(self.span) <= seen.same || self.had_nothing_to_do_with(seen, at))
    }

    /// What was under way when it went away may still have been done.
    fn had_nothing_to_do_with(&self, seen: &Seen, at: Timestamp) -> bool {
        seen.away.is_some_and(|away| away.after(self.span) < at)
    }

    fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.bytes -= held.bytes;
        self.let_go(held.at);
        Some(held)
    }

    fn let_go(&mut self, at: Timestamp) {
        let span = self.span;
        for seen in self.servers.values_mut() {
            if seen.away.is_none_or(|away| at <= away.after(span)) {
                seen.let_go = seen.let_go.max(at);
            }
        }
    }
}
