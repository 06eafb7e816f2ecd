//! The facade that handlers call: event -> route -> enrich -> journal -> push. Nothing is answered before the jobs are
//! where they are safe.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::oneshot;
use tracing::{debug, debug_span};

use crate::{
    clause::{Clause, holds},
    clock::Clock,
    enrich::Enrichment,
    event::{Entity, Event, EventError},
    explain::{Explainer, Explanation},
    health::Health,
    job::{Accepted, Job, JobId, JobKey, JobType},
    journal::{Journal, JournalError, Kept, Record},
    metrics::Metrics,
    queue::{Full, JobState, JobView, Pushed, Queue, Tally, Watch},
    resource::Resources,
    rules::RuleSet,
    secret::{HolderId, Keys},
    trace::{self, Trace},
};

/// The topic of invalidations that people ask for.
const INVALIDATIONS: &str = "invalidations";
/// The topic of revocations that people ask for.
const REVOCATIONS: &str = "revocations";
/// What is answered with a full queue: it drains by thousands of jobs a second unless something is down.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes events and turns them into queued jobs.
pub struct Ingest {
    /// Which jobs an event asks for.
    pub rules: Arc<RuleSet>,
    /// What copies of an entity are called and how long they live.
    pub resources: Arc<Resources>,
    /// Makes holder ids.
    pub keys: Arc<Keys>,
    /// What keeps jobs before they are queued.
    pub journal: Arc<dyn Journal>,
    /// Where jobs go.
    pub queue: Arc<Queue>,
    /// Dates what arrives.
    pub clock: Clock,
    /// Knows when the service is stopping.
    pub health: Arc<Health>,
    /// Counts events by outcome.
    pub metrics: Arc<Metrics>,
}

/// What became of a request's events.
#[derive(Debug, Default)]
pub struct Receipt {
    /// Events taken, ignored ones among them.
    pub accepted: usize,
    /// Events taken that no rule matched.
    pub ignored: usize,
    /// Events not taken, and why.
    pub rejected: Vec<Rejection>,
    /// The jobs that were queued.
    pub jobs: Vec<QueuedJob>,
}

/// An event that was not taken.
#[derive(Debug)]
pub struct Rejection {
    /// Its place in the request.
    pub index: usize,
    /// Why, in a sentence that names the field.
    pub detail: String,
}

/// A job that was queued.
#[derive(Clone, Debug)]
pub struct QueuedJob {
    /// The place in the request of the event or entity that it is for.
    pub event: usize,
    /// The event's own id, where it has one.
    pub event_id: Option<Box<str>>,
    /// The job.
    pub id: JobId,
    /// The queued job whose place it took.
    pub supersedes: Option<JobId>,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The queue's bound in jobs or bytes is reached.
    #[error("the queue is full")]
    Full {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The service is shutting down.
    #[error("the service is stopping")]
    Stopping,
    /// The journal is being replayed.
    #[error("the journal is being replayed")]
    Replaying {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The jobs could not be made safe.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Entities whose resource type has no entry in the configuration, so that nobody knows what their copies are called.
    #[error("{} of the entities have a resource_type that has no entry in resources", .0.len())]
    UnknownResources(Vec<Rejection>),
}

/// Jobs that were queued, and where they were waited for, where they have ended and what they did in all.
pub type Asked = (Vec<QueuedJob>, Option<(Vec<JobView>, Tally)>);

/// Jobs that were queued, and a watch over them where one is wanted.
type Queued = (Vec<QueuedJob>, Option<Watch>);
/// Jobs of a request, with the place and the id of the event that each is for.
type Planned = Vec<(usize, Option<Box<str>>, Job)>;

impl Ingest {
    /// Queues the jobs of all valid events of a request, or of none where they do not all fit.
    /// With `wait`, answers when all of the jobs have come to their end, or when that time is over.
    ///
    /// # Errors
    /// [`IngestError`]: nothing of the request was taken.
    pub async fn accept(
        &self,
        events: Vec<Result<Event, EventError>>,
        wait: Option<Duration>,
    ) -> Result<(Receipt, Option<Vec<JobView>>), IngestError> {
        self.open()?;
        let at = self.clock.accepted();
        let (mut receipt, planned) = self.plan(events, at);
        let (jobs, watch) = self.keep(planned, at, wait.is_some()).await?;
        receipt.jobs = jobs;
        self.count(&receipt);
        Ok((receipt, ended(watch, wait).await))
    }

    /// Says what [`Ingest::accept`] would make of events, and why. Nothing is queued or counted.
    pub fn explain(&self, events: Vec<Result<Event, EventError>>) -> Vec<Explanation> {
        let holder_id = |token: &_| self.keys.holder_id(token);
        let enrichment = Enrichment { rules: &self.rules, resources: &self.resources, holder_id: &holder_id };
        Explainer { enrichment, at: self.clock.accepted(), knows_secret: true }.explain(events)
    }

    /// Whether a resource type has an entry in the configuration.
    pub fn knows(&self, resource_type: &str) -> bool {
        self.resources.get(resource_type).is_some()
    }

    /// The resource types that have an entry in the configuration.
    pub fn resource_types(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|(name, _)| name)
    }

    /// Queues an invalidation for each entity. `wait` as in [`Ingest::accept`]; with what they did in all.
    ///
    /// # Errors
    /// [`IngestError`]: nothing of the request was taken.
    pub async fn invalidate(
        &self,
        entities: Vec<Entity>,
        wait: Option<Duration>,
    ) -> Result<Asked, IngestError> {
        self.open()?;
        self.known(&entities)?;
        self.ask_for(JobType::Invalidate, INVALIDATIONS, entities, wait).await
    }

    /// Queues a revocation of all that a holder holds. `wait` as in [`Ingest::accept`]; with what it did.
    ///
    /// # Errors
    /// [`IngestError`]: nothing was taken.
    pub async fn revoke(&self, holder: HolderId, wait: Option<Duration>) -> Result<Asked, IngestError> {
        self.open()?;
        self.ask_for(JobType::Revoke, REVOCATIONS, vec![Job::of_holder(holder)], wait).await
    }

    /// Queues a job for each of these.
    async fn ask_for(
        &self,
        job_type: JobType,
        topic: &str,
        about: Vec<Entity>,
        wait: Option<Duration>,
    ) -> Result<Asked, IngestError> {
        let (at, topic) = (self.clock.accepted(), Arc::from(topic));
        let jobs = about.into_iter().enumerate();
        let jobs = jobs.map(|(place, entity)| {
            let job = asked_for(job_type, &topic, entity, at);
            (place, None, Job { rules: self.rules.number(), ..job })
        });
        let (jobs, watch) = self.keep(jobs.collect(), at, wait.is_some()).await?;
        let ended = ended(watch, wait).await.map(|views| {
            let total = total(&views);
            (views, total)
        });
        Ok((jobs, ended))
    }

    /// Whether copies of all these entities can be named.
    ///
    /// # Errors
    /// [`IngestError::UnknownResources`] lists those whose copies cannot.
    pub fn known(&self, entities: &[Entity]) -> Result<(), IngestError> {
        let unknown = entities.iter().enumerate().filter_map(|(index, Entity { resource_type, .. })| {
            let detail = format!("resource_type {resource_type} has no entry in resources");
            self.resources.get(resource_type).is_none().then_some(Rejection { index, detail })
        });
        match unknown.collect::<Vec<_>>() {
            unknown if unknown.is_empty() => Ok(()),
            unknown => Err(IngestError::UnknownResources(unknown)),
        }
    }

    fn open(&self) -> Result<(), IngestError> {
        if self.health.is_stopping() {
            return Err(IngestError::Stopping);
        }
        if self.health.is_replaying() {
            return Err(IngestError::Replaying { retry_after: RETRY_AFTER });
        }
        Ok(())
    }

    /// The jobs of all valid events, and what became of each event so far.
    fn plan(&self, events: Vec<Result<Event, EventError>>, at: Accepted) -> (Receipt, Planned) {
        let holder_id = |token: &_| self.keys.holder_id(token);
        let enrichment = Enrichment { rules: &self.rules, resources: &self.resources, holder_id: &holder_id };
        let (mut receipt, mut planned) = (Receipt::default(), Planned::new());
        for (index, event) in events.into_iter().enumerate() {
            let jobs = event.and_then(|event| Ok((enrichment.jobs(&event, at)?, event)));
            match jobs {
                Ok((jobs, event)) => {
                    receipt.accepted += 1;
                    receipt.ignored += usize::from(jobs.is_empty());
                    self.note(&event, &jobs);
                    planned.extend(jobs.into_iter().map(|job| (index, event.id.clone(), job)));
                }
                Err(EventError(detail)) => receipt.rejected.push(Rejection { index, detail }),
            }
        }
        (receipt, planned)
    }

    /// Has the jobs kept by the journal, and then queued: the journal does it, so that what is kept is queued even where
    /// the client has gone meanwhile.
    async fn keep(&self, planned: Planned, at: Accepted, watched: bool) -> Result<Queued, IngestError> {
        if planned.is_empty() {
            return Ok((Vec::new(), watched.then(Watch::of_nothing)));
        }
        let (of_event, mut jobs): (Vec<_>, Vec<Job>) =
            planned.into_iter().map(|(event, event_id, job)| ((event, event_id), job)).unzip();
        if let Some(request) = trace::current() {
            jobs.iter_mut().for_each(|job| job.trace = Some(Trace::of(request)));
        }
        let types: Vec<JobType> = jobs.iter().map(|job| job.job_type).collect();
        let reserved =
            self.queue.reserve(&jobs).map_err(|Full| IngestError::Full { retry_after: RETRY_AFTER })?;
        let record = Record::new(jobs.iter().map(Kept::first), Vec::new(), at)?;
        let began = self.clock.tick();
        let (answer, answered) = oneshot::channel();
        let then = move |written: Result<u32, JournalError>| {
            let pushed = written.map(|segment| {
                let jobs = jobs.into_iter().map(|job| (job, segment));
                match watched {
                    true => reserved.push_watched(jobs),
                    false => (reserved.push(jobs), Watch::of_nothing()),
                }
            });
            // A client that has gone learns nothing, and loses nothing.
            let _ = answer.send(pushed);
        };
        if holds(Clause::AcceptedWhenKept) {
            self.journal.write(record, Box::new(then));
        } else {
            self.journal.write(record, Box::new(|_| ()));
            then(Ok(0));
        }
        let (pushed, watch) = answered.await.map_err(|_| IngestError::Stopping)??;
        self.metrics.journal_write_seconds.observe(self.clock.tick().since(began).as_secs_f64());
        self.count_superseded(&types, &pushed);
        let queued = of_event.into_iter().zip(pushed);
        let queued = queued.map(|((event, event_id), Pushed { id, supersedes })| QueuedJob {
            event,
            event_id,
            id,
            supersedes,
        });
        Ok((queued.collect(), watched.then_some(watch)))
    }

    fn count_superseded(&self, types: &[JobType], pushed: &[Pushed]) {
        for (job_type, _) in types.iter().zip(pushed).filter(|(_, pushed)| pushed.supersedes.is_some()) {
            self.metrics.job_ended(*job_type, JobState::Superseded);
        }
    }

    /// Notes what is remarkable about an event that is taken.
    fn note(&self, event: &Event, jobs: &[Job]) {
        self.metrics.future_events.inc_by(u64::from(!event.ahead.is_zero()));
        let undated = event.occurred_at.is_none() && event.generation.is_none();
        if undated && jobs.iter().any(|job| job.job_type == JobType::Cache) {
            self.metrics.undated_reads.inc();
        }
        let span = debug_span!(
            "event",
            event.id = event.id.as_deref(),
            action_type = &*event.action_type,
            resource_type = &*event.entity.resource_type,
            entity_id = &*event.entity.id,
        );
        span.in_scope(|| debug!(jobs = jobs.len(), "event taken"));
    }

    fn count(&self, receipt: &Receipt) {
        let events = &self.metrics.events;
        events.accepted.inc_by((receipt.accepted - receipt.ignored) as u64);
        events.ignored.inc_by(receipt.ignored as u64);
        events.rejected.inc_by(receipt.rejected.len() as u64);
    }
}

async fn ended(watch: Option<Watch>, wait: Option<Duration>) -> Option<Vec<JobView>> {
    watch?.all(wait?).await
}

/// What these jobs did in all. Those that one job stands for did it once.
fn total(ended: &[JobView]) -> Tally {
    let survivors: HashMap<JobId, Option<Tally>> =
        ended.iter().map(|view| (view.superseded_by.unwrap_or(view.id), view.tally)).collect();
    survivors.into_values().flatten().sum()
}

/// A job that no event asks for. What was read until now is stale.
fn asked_for(job_type: JobType, topic: &Arc<str>, entity: Entity, at: Accepted) -> Job {
    Job {
        id: JobId::new(at.now),
        key: JobKey::of(job_type, topic, &entity).finish(),
        job_type,
        topic: topic.clone(),
        entity,
        priority: 0,
        superceedable: true,
        ready_at: at.tick,
        expires_at: None,
        occurred_at: Some(at.now),
        generation: None,
        accepted_at: at.now,
        copy: None,
        payload: None,
        depth: 0,
        recheck: false,
        rules: 0,
        trace: None,
    }
}
