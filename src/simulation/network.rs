//! The network between everybody: delays, loses, and goes on delivering what a dead process has sent.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::{dice::Dice, trace::Trace};

/// How long anybody waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(100);
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
    /// What must not happen, and has.
    wrong: Arc<Mutex<Option<String>>>,
    /// What is under way, whoever has sent it.
    pub(super) flying: TaskTracker,
}

impl Network {
    pub(super) fn new(dice: Dice, trace: Trace, calm: bool) -> Self {
        let calm = Arc::new(AtomicBool::new(calm));
        Self { dice, trace, calm, wrong: Arc::default(), flying: TaskTracker::new() }
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

    /// Mostly short, seldom longer than anybody waits.
    pub(super) async fn delay(&self) {
        let longest = match self.dice.number(0..=99) {
            0..=64 => 2,
            65..=89 => 10,
            90..=97 => 40,
            _ => 150,
        };
        self.pause(longest).await;
    }

    /// Up to so many milliseconds; where it is none, others may still go first.
    pub(super) async fn pause(&self, longest: u64) {
        match self.dice.number(0..=longest) {
            0 => tokio::task::yield_now().await,
            time => tokio::time::sleep(Duration::from_millis(time)).await,
        }
    }

    pub(super) fn loses(&self, outage: &Outage) -> bool {
        outage.is_on() || (!self.calm.load(Ordering::Relaxed) && self.dice.chance(LOST))
    }

    /// Sends steps to a server, which does them in their order and not as one. Whoever has sent them may die meanwhile.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        outage: &Outage,
        steps: Vec<Step<T>>,
    ) -> Result<Vec<T>, Lost> {
        let (answer, answered) = oneshot::channel();
        let (network, outage) = (self.clone(), outage.clone());
        self.flying.spawn(async move {
            let mut answers = Vec::with_capacity(steps.len());
            network.delay().await;
            for step in steps {
                if network.loses(&outage) {
                    return;
                }
                answers.push(step());
                if network.dice.chance(250) {
                    network.pause(6).await;
                }
            }
            network.delay().await;
            if !network.loses(&outage) {
                // Whoever has asked may be gone.
                let _ = answer.send(answers);
            }
        });
        tokio::time::timeout(TIMEOUT, answered).await.map_err(|_| Lost)?.map_err(|_| Lost)
    }
}
