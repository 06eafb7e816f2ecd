//! A simulated decache process: the real queue, workers, hooks and ingest over a simulated store, caches and journal.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Semaphore, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    cache::SimCache,
    config::Config,
    journal::{Disk, SimJournal},
    message::Message,
    network::{Lost, Network},
    realm::Watch,
    store::SimStore,
    trace::note,
    watched::{Body, Eyes},
};
use crate::{
    app::replay::give_back,
    caches::{Cache, Caches},
    clock::{Clock, Timestamp},
    config::store::OnLoss,
    current::Current,
    event::Event,
    feed::Feed,
    health::Health,
    hooks::Hooks,
    ingest::{Ingest, Receipt},
    journal::Journal,
    notebook::Notebook,
    queue::{Aging, Queue, QueueLimits, RetryPolicy},
    rules::History,
    upkeep,
    window::{Limits, Window},
    worker::Worker,
};

/// Jobs that a worker takes at a time: few, so that they do not all go together.
const BATCH: usize = 3;
const RETRY: RetryPolicy =
    RetryPolicy { max_attempts: 3, base: Duration::from_millis(15), cap: Duration::from_millis(60) };

/// What every process in a world works with.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) network: Network,
    pub(super) config: Arc<Config>,
    pub(super) store: SimStore,
    pub(super) caches: Vec<SimCache>,
    /// True time.
    pub(super) clock: Clock,
    /// Where servers may be lost.
    pub(super) watch: Option<Watch>,
}

impl Surroundings {
    /// As a process reaches them that looks after them.
    fn reached(&self) -> Self {
        if self.watch.is_none() {
            return self.clone();
        }
        let caches = self.caches.iter().map(SimCache::linked).collect();
        Self { store: self.store.linked(self.network.clone()), caches, ..self.clone() }
    }
}

/// A process that dies and starts again on the same disk.
pub(super) struct Process {
    name: usize,
    around: Surroundings,
    /// How far its clock is ahead, in milliseconds, of one that is as much behind as any may be.
    skew: Duration,
    disk: Arc<Disk>,
    notes: Notebook,
    life: Mutex<Option<Life>>,
    lives: Mutex<u32>,
}

/// A process between its start and its death.
struct Life {
    ingest: Arc<Ingest>,
    queue: Arc<Queue>,
    journal: Arc<SimJournal>,
    tasks: TaskTracker,
    running: Vec<AbortHandle>,
    eyes: Option<Eyes>,
}

impl Process {
    pub(super) fn new(name: usize, around: Surroundings, skew: Duration) -> Self {
        let (disk, notes) = (Arc::default(), Notebook::simulated());
        Self { name, around, skew, disk, notes, life: Mutex::default(), lives: Mutex::default() }
    }

    /// Whether copies that are tracked again after a loss are taken to be known.
    pub(super) fn rebuilds(&self) -> bool {
        self.around.watch.as_ref().is_some_and(|watch| watch.on_loss == OnLoss::Rebuild)
    }

    /// Whether it looks after servers that may be lost.
    pub(super) fn watches(&self) -> bool {
        self.around.watch.is_some()
    }

    /// The store as it reaches it, where it lives.
    pub(super) fn store(&self) -> Option<SimStore> {
        let life = self.life.lock().unwrap();
        life.as_ref().and_then(|life| life.eyes.as_ref()).map(|eyes| eyes.store.clone())
    }

    /// Starts it, with what its journal holds.
    pub(super) async fn start(&self) {
        if self.life.lock().unwrap().is_some() {
            return;
        }
        let clock = Clock::simulated(skewed(self.around.clock.now(), self.skew));
        let segment = {
            let mut lives = self.lives.lock().unwrap();
            *lives += 1;
            *lives
        };
        let journal = SimJournal::new(self.disk.clone(), self.around.network.clone(), segment, clock);
        let journal = Arc::new(journal);
        let mut life = Life::new(&self.around, journal, clock);
        let jobs = self.disk.replay(clock.accepted());
        note!(self.around.network.trace, "process {} starts with {} jobs", self.name, jobs.len());
        let died = give_back(&life.queue, &*life.journal, jobs).await;
        life.begin(&self.around.reached(), &self.notes, clock);
        if let (Some(eyes), Some(died)) = (&life.eyes, died) {
            eyes.hooks.get().window.died(died);
        }
        *self.life.lock().unwrap() = Some(life);
    }

    /// Ends it between any two of its steps.
    pub(super) fn crash(&self) {
        let Some(life) = self.life.lock().unwrap().take() else { return };
        note!(self.around.network.trace, "process {} dies", self.name);
        life.running.iter().for_each(AbortHandle::abort);
        life.journal.crash();
    }

    /// Whether it lives and has nothing to do.
    pub(super) fn is_quiet(&self) -> bool {
        let life = self.life.lock().unwrap();
        life.as_ref().is_some_and(|life| {
            let view = life.queue.view();
            view.queued + view.running == 0 && life.eyes.as_ref().is_none_or(Eyes::are_quiet)
        })
    }

    pub(super) fn describe(&self) -> String {
        let life = self.life.lock().unwrap();
        let jobs = life.as_ref().map(|life| life.queue.jobs(None, None, 100)).unwrap_or_default();
        let living = jobs.iter().filter(|job| job.finished_at.is_none());
        let lines = living.map(|job| {
            format!("{} {} {} {:?}: {:?}", self.name, job.job_type, job.entity_id, job.state, job.last_error)
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    /// A request, as a handler serves it.
    pub(super) async fn serve(&self, message: Message) -> Result<(), Lost> {
        let request = {
            let mut life = self.life.lock().unwrap();
            let Some(life) = &mut *life else { return Err(Lost) };
            let request = life.tasks.spawn(accept(life.ingest.clone(), message));
            life.running.retain(|task| !task.is_finished());
            life.running.push(request.abort_handle());
            request
        };
        match request.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refused(Some(what)))) => {
                self.around.network.fail(what);
                Ok(())
            }
            Ok(Err(Refused(None))) | Err(_) => Err(Lost),
        }
    }
}

/// A request was not taken; for good, where it says why.
struct Refused(Option<String>);

async fn accept(ingest: Arc<Ingest>, message: Message) -> Result<(), Refused> {
    match message {
        Message::Event(json) => {
            let event = Event::parse(json.as_bytes(), ingest.clock.now());
            let (receipt, _) = ingest.accept(vec![event], None).await.map_err(|_| Refused(None))?;
            match receipt {
                Receipt { accepted: 1, ignored: 0, .. } => Ok(()),
                receipt => Err(Refused(Some(format!("an event was refused: {receipt:?}")))),
            }
        }
        Message::Revoke(holder) => ingest.revoke(holder, None).await.map(drop).map_err(|_| Refused(None)),
    }
}

impl Life {
    fn new(around: &Surroundings, journal: Arc<SimJournal>, clock: Clock) -> Self {
        let Config { rules, resources, keys, metrics } = &*around.config;
        let limits = QueueLimits {
            capacity: 10_000,
            max_bytes: 64 << 20,
            finished: 4,
            aging: Aging::PerLevel(Duration::from_millis(10)),
            retry: RETRY,
        };
        let queue = Arc::new(Queue::new(limits, clock));
        let ingest = Ingest {
            rules: rules.clone(),
            resources: resources.clone(),
            keys: keys.clone(),
            journal: journal.clone(),
            queue: queue.clone(),
            clock,
            health: Arc::new(Health::new("simulated")),
            metrics: metrics.clone(),
        };
        let (tasks, running, eyes) = (TaskTracker::new(), Vec::new(), None);
        Self { ingest: Arc::new(ingest), queue, journal, tasks, running, eyes }
    }

    fn begin(&mut self, around: &Surroundings, notes: &Notebook, clock: Clock) {
        let Config { rules, resources, keys, metrics } = &*around.config;
        let caches = around.caches.iter().map(|cache| Box::new(cache.clone()) as Box<dyn Cache>).collect();
        let (trust, span) = (Arc::default(), around.watch.map_or(Duration::ZERO, |watch| watch.span));
        let limits = Limits { span: Some(span), bytes: 1 << 20, jobs: 10_000 };
        let window = Window::new(limits, clock, Arc::clone(&trust));
        let hooks = Arc::new(Current::new(Hooks {
            relations: Arc::new(around.store.clone()),
            caches: Caches::new(caches, metrics.clone()),
            keys: keys.clone(),
            resources: resources.clone(),
            trust,
            resolver: None,
            precedence: Arc::default(),
            window: Arc::new(window),
            rules: History::new(rules.clone()),
            clock,
            metrics: metrics.clone(),
        }));
        let worker = Worker {
            queue: self.queue.clone(),
            hooks: hooks.clone(),
            journal: self.journal.clone(),
            clock,
            metrics: metrics.clone(),
            feed: Arc::new(Feed::new("simulated")),
            batch: BATCH,
            // Here batches are to meet each other.
            reads: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        if let Some(watch) = around.watch {
            let (queue, journal, notes) = (self.queue.clone(), self.journal.clone(), notes.clone());
            return self.watch(Body { watch, notes, around, hooks, queue, journal, clock }, worker);
        }
        let journal: Arc<dyn Journal> = self.journal.clone();
        let queue = self.queue.clone();
        let monitor = async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                hooks.get().caches.ping(Duration::from_millis(100)).await;
                upkeep::tidy(&queue, &journal, clock.accepted());
            }
        };
        let tasks = [
            self.tasks.spawn(self.journal.clone().run()),
            self.tasks.spawn(worker.clone().run(CancellationToken::new())),
            self.tasks.spawn(worker.run(CancellationToken::new())),
            self.tasks.spawn(monitor),
        ];
        self.running.extend(tasks.iter().map(tokio::task::JoinHandle::abort_handle));
    }

    fn watch(&mut self, body: Body<'_>, worker: Worker) {
        let eyes = Eyes::new(body);
        let tasks = [
            self.tasks.spawn(self.journal.clone().run()),
            self.tasks.spawn(eyes.clone().watch()),
            self.tasks.spawn(eyes.clone().work(worker)),
        ];
        self.running.extend(tasks.iter().map(tokio::task::JoinHandle::abort_handle));
        self.eyes = Some(eyes);
    }
}

/// The clock that is so much ahead of one that is as much behind as any may be.
pub(super) fn skewed(now: Timestamp, skew: Duration) -> Timestamp {
    now.after(skew)
}
