//! The network between everybody: delays, loses, and goes on delivering what a dead process has sent.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::task::TaskTracker;

use super::{dice::Dice, kinds::Tempo, trace::Trace};

/// How long anybody waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(150);
/// Messages of a thousand that are lost while the network is not calm.
const LOST: u64 = 8;

/// No answer: whether it was done nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost;

/// One atomic thing that a server does.
pub(super) type Step<T> = Box<dyn FnOnce() -> T + Send>;

/// Whether a server answers, as many see it.
#[derive(Clone, Default)]
pub(super) struct Outage(Arc<AtomicBool>);

impl Outage {
    pub(super) fn set(&self, is_out: bool) {
        self.0.store(is_out, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
pub(super) struct Network {
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    /// Nothing is lost.
    calm: Arc<AtomicBool>,
    tempo: Tempo,
    /// What must not happen, and has.
    wrong: Arc<Mutex<Option<String>>>,
    /// What is under way, whoever has sent it.
    pub(super) flying: TaskTracker,
}

impl Network {
    pub(super) fn new(dice: Dice, trace: Trace, calm: bool, tempo: Tempo) -> Self {
        let calm = Arc::new(AtomicBool::new(calm));
        Self { dice, trace, calm, tempo, wrong: Arc::default(), flying: TaskTracker::new() }
    }

    /// Somebody has seen what must not happen.
    pub(super) fn fail(&self, what: String) {
        self.wrong.lock().unwrap().get_or_insert(what);
    }

    /// What was seen, if anything was.
    pub(super) fn failure(&self) -> Option<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub(super) fn calm(&self, is_calm: bool) {
        self.calm.store(is_calm, Ordering::Relaxed);
    }

    /// How long a message takes: mostly short, seldom longer than anybody waits.
    fn way(&self) -> u64 {
        let longest = match self.dice.number(0..=99) {
            0..=9 if self.tempo == Tempo::Slow => 140,
            0..=89 if self.tempo == Tempo::Instant => 0,
            0..=64 => 2,
            65..=89 => 10,
            90..=97 => 40,
            _ => 150,
        };
        self.dice.number(0..=longest)
    }

    pub(super) async fn delay(&self) {
        wait(self.way()).await;
    }

    /// Up to so many milliseconds; where it is none, others may still go first.
    pub(super) async fn pause(&self, longest: u64) {
        let longest = if self.tempo == Tempo::Instant && self.dice.chance(800) { 0 } else { longest };
        wait(self.dice.number(0..=longest)).await;
    }

    /// So many milliseconds, but in a world in which most things take no time.
    pub(super) async fn take(&self, millis: u64) {
        wait(if self.tempo == Tempo::Instant { 0 } else { millis }).await;
    }

    /// A process stops, between two of its steps.
    pub(super) async fn stall(&self) {
        if self.tempo == Tempo::Stalls && self.dice.chance(500) {
            self.pause(140).await;
        }
    }

    /// Lets others go first within an instant, a few times or many.
    pub(super) async fn linger(&self) {
        if self.tempo == Tempo::Instant {
            for _ in 0..self.dice.number(0..=40) {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(super) fn loses(&self, outage: &Outage) -> bool {
        outage.is_on() || (!self.calm.load(Ordering::Relaxed) && self.dice.chance(LOST))
    }

    /// Sends steps to a server, which does them in their order and not as one. Whoever has sent them may die meanwhile, or
    /// give up waiting: they are done all the same.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        outage: &Outage,
        steps: Vec<Step<T>>,
    ) -> Result<Vec<T>, Lost> {
        let (there, back) = (self.way(), self.way());
        let steps = steps.into();
        let mut packet = Packet { network: self.clone(), outage: outage.clone(), there, alone: false, steps };
        if Duration::from_millis(there + back) > TIMEOUT {
            drop(packet);
            tokio::time::sleep(TIMEOUT).await;
            return Err(Lost);
        }
        let mut answers = Vec::with_capacity(packet.steps.len());
        packet.arrive().await;
        while let Some(step) = packet.next()? {
            answers.push(step());
            if !packet.steps.is_empty() && self.dice.chance(300) {
                self.pause(6).await;
            }
        }
        wait(back).await;
        if self.loses(outage) { Err(Lost) } else { Ok(answers) }
    }
}

async fn wait(millis: u64) {
    match millis {
        0 => tokio::task::yield_now().await,
        time => tokio::time::sleep(Duration::from_millis(time)).await,
    }
}

/// Steps on their way to a server. When whoever has sent them is gone, they go on by themselves.
struct Packet<T: Send + 'static> {
    network: Network,
    outage: Outage,
    /// Milliseconds that they still take.
    there: u64,
    /// Whether it goes by itself already.
    alone: bool,
    steps: VecDeque<Step<T>>,
}

impl<T: Send + 'static> Packet<T> {
    async fn arrive(&mut self) {
        wait(self.there).await;
        self.there = 0;
    }

    /// The next step; all that are left are lost with it, if it is.
    fn next(&mut self) -> Result<Option<Step<T>>, Lost> {
        if !self.steps.is_empty() && self.network.loses(&self.outage) {
            self.steps.clear();
            return Err(Lost);
        }
        Ok(self.steps.pop_front())
    }
}

impl<T: Send + 'static> Drop for Packet<T> {
    fn drop(&mut self) {
        if self.steps.is_empty() || self.alone {
            return;
        }
        let (network, outage) = (self.network.clone(), self.outage.clone());
        let mut rest =
            Self { steps: std::mem::take(&mut self.steps), network, outage, there: self.there, alone: true };
        let flying = self.network.flying.clone();
        flying.spawn(async move {
            rest.arrive().await;
            while let Ok(Some(step)) = rest.next() {
                step();
            }
        });
    }
}
