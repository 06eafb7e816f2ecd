//! What the service counts and measures, for Prometheus. No label has an unbounded set of values.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::{
    history::Durations,
    job::JobType,
    queue::{JobState, QueueView, Tally},
};

/// Microseconds to minutes: a queue that keeps up and one that does not.
const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

mod condition;
mod configuration;

pub use condition::ConditionMetrics;
pub use configuration::ConfigurationMetrics;

/// Events by what became of them.
pub struct EventCounters {
    /// Taken, with a job.
    pub accepted: IntCounter,
    /// Taken, and no rule matched.
    pub ignored: IntCounter,
    /// Not taken.
    pub rejected: IntCounter,
}

impl EventCounters {
    fn new(all: &IntCounterVec) -> Self {
        let [accepted, ignored, rejected] =
            ["accepted", "ignored", "rejected"].map(|outcome| all.with_label_values(&[outcome]));
        Self { accepted, ignored, rejected }
    }
}

/// Every metric of the service. Labels take their values from configuration and from closed sets of words.
pub struct Metrics {
    registry: Registry,
    /// Events by `outcome`: `accepted` (with a job), `ignored`, `rejected`.
    pub events: EventCounters,
    /// Reads that say neither when they began nor under which generation.
    pub undated_reads: IntCounter,
    /// Events whose `occurred_at` lay in the future: a clock that is ahead.
    pub future_events: IntCounter,
    /// Copies evicted because they may be stale, by `reason`.
    pub evictions: IntCounterVec,
    /// Follow-up jobs that were not made, by `reason`.
    pub follow_ups_skipped: IntCounterVec,
    /// Holders without a readable vault entry that a fan-out met: their copies cannot be named.
    pub vault_missing: IntCounter,
    /// Holders that the resolver has named.
    pub resolved_holders: IntCounter,
    /// Times that the index was found to be lost.
    pub index_losses: IntCounter,
    /// 1 while copies may live that the index does not know of.
    pub index_incomplete: IntGauge,
    /// Failovers and restarts, by `component`: `store`, or `cache:` and a name.
    pub failovers: IntCounterVec,
    /// How far the store's clock is from ours.
    pub clock_skew: Gauge,
    /// From the acceptance of an event to the deletion of the last copy.
    pub invalidation_seconds: Histogram,
    /// Failed calls, by `component`: `store`, or the name of a cache.
    pub errors: IntCounterVec,
    /// From handing a request's jobs to the journal to knowing them safe.
    pub journal_write_seconds: Histogram,
    /// By type and state: looked up once.
    jobs: [[IntCounter; JobState::ALL.len()]; JobType::ALL.len()],
    job_failures: IntCounterVec,
    /// By type.
    job_wait: [Histogram; JobType::ALL.len()],
    job_run: [Histogram; JobType::ALL.len()],
    copies: IntCounterVec,
    queue_jobs: IntGaugeVec,
    queue_depth: IntGaugeVec,
    queue_oldest: GaugeVec,
    queue_oldest_age: Gauge,
    queue_bytes: IntGauge,
    suspended: IntGauge,
    connections: IntGaugeVec,
    held: IntGauge,
    let_go_early: IntGauge,
    cache_owed: IntGaugeVec,
    cache_suspect: IntGaugeVec,
    dead_letters: IntGaugeVec,
    dead_letters_settled: IntCounterVec,
    /// What is known of the configuration.
    pub configuration: ConfigurationMetrics,
    /// What readiness says.
    pub condition: ConditionMetrics,
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// Where two metrics have one name: a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let make = Maker { registry: Registry::new() };
        Ok(Self {
            events: EventCounters::new(&make.counters(
                "events_total",
                "Events taken or refused",
                &["outcome"],
            )?),
            undated_reads: make.counter("undated_reads_total", "Reads with neither time nor generation")?,
            future_events: make.counter("future_events_total", "Events dated later than their arrival")?,
            evictions: make.counters("evictions_total", "Copies evicted as possibly stale", &["reason"])?,
            follow_ups_skipped: make.counters(
                "follow_ups_skipped_total",
                "Follow-up jobs that were not made",
                &["reason"],
            )?,
            vault_missing: make
                .counter("vault_missing_total", "Holders met without a readable vault entry")?,
            resolved_holders: make
                .counter("resolved_holders_total", "Holders that the resolver has named")?,
            invalidation_seconds: make.histogram(
                "invalidation_seconds",
                "From an event's acceptance to the deletion of the last copy",
            )?,
            journal_write_seconds: make.histogram(
                "journal_write_seconds",
                "From handing a request's jobs to the journal to knowing them as safe as its level says",
            )?,
            errors: make.counters(
                "errors_total",
                "Failed calls to the store and to caches",
                &["component"],
            )?,
            jobs: by_type(&make.counters("jobs_total", "Jobs that came to an end", &["type", "state"])?),
            job_failures: make.counters("job_failures_total", "Attempts that failed", &["type"])?,
            job_wait: make.histogram_by_type("job_wait_seconds", "From ready to started")?,
            job_run: make.histogram_by_type("job_run_seconds", "From started to settled")?,
            copies: make.counters("copies_total", "Copies that were to be deleted", &["cache", "outcome"])?,
            queue_jobs: make.gauges("queue_jobs", "Jobs queued, running and dead", &["state"])?,
            queue_depth: make.gauges("queue_depth", "Queued jobs", &["priority"])?,
            queue_oldest: make.float_gauges(
                "queue_oldest_seconds",
                "How long the oldest queued job has been ready",
                &["priority"],
            )?,
            queue_oldest_age: make.float_gauge(
                "queue_oldest_age_seconds",
                "How long the oldest queued job of all has been ready",
            )?,
            queue_bytes: make.gauge("queue_bytes", "Bytes that queued and running jobs are counted with")?,
            suspended: make.gauge(
                "invalidations_suspended",
                "Invalidations, revocations and evictions that wait after a failure: the promise is suspended for what they are about",
            )?,
            cache_owed: make.gauges("cache_owed_jobs", "Jobs that wait for a cache", &["cache"])?,
            cache_suspect: make.gauges(
                "cache_suspect",
                "Whether a cache was owed too much, and has not been emptied since",
                &["cache"],
            )?,
            dead_letters: make.gauges("dead_letters", "Dead letters", &["reason"])?,
            dead_letters_settled: make.counters(
                "dead_letters_settled_total",
                "Dead letters that were retried or discarded",
                &["fate"],
            )?,
            connections: make.gauges("redis_connections", "Connections to Redis", &["pool", "state"])?,
            index_losses: make.counter("index_losses_total", "Times that the index was lost")?,
            index_incomplete: make
                .gauge("index_incomplete", "1 while copies may live that the index does not know of")?,
            failovers: make.counters(
                "failovers_total",
                "Failovers and restarts of the store and of caches",
                &["component"],
            )?,
            clock_skew: make
                .float_gauge("store_clock_skew_seconds", "How far the store's clock is from ours")?,
            configuration: ConfigurationMetrics::new(&make)?,
            condition: ConditionMetrics::new(&make)?,
            held: make.gauge("finished_jobs_held", "Finished jobs that a failover could still undo")?,
            let_go_early: make.gauge(
                "finished_jobs_let_go_early",
                "Finished jobs since the start that there was no room to hold on to",
            )?,
            registry: make.registry,
        })
    }

    /// A job has come to its end.
    pub fn job_ended(&self, job_type: JobType, state: JobState) {
        self.jobs[job_type as usize][state as usize].inc();
    }

    /// How many jobs have come to this end, of whatever type.
    pub fn jobs_ended(&self, state: JobState) -> u64 {
        JobType::ALL.iter().map(|it| self.jobs_of(*it, state)).sum()
    }

    /// How many jobs of a type have come to this end.
    pub fn jobs_of(&self, job_type: JobType, state: JobState) -> u64 {
        self.jobs[job_type as usize][state as usize].get()
    }

    /// How many events were taken, ignored ones among them.
    pub fn events_taken(&self) -> u64 {
        self.events.accepted.get() + self.events.ignored.get()
    }

    /// How long invalidations took.
    pub fn invalidations(&self) -> Durations {
        let families = self.invalidation_seconds.collect();
        let Some(metric) = families.first().and_then(|family| family.get_metric().first()) else {
            return Durations::default();
        };
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        let up_to = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect();
        Durations { up_to, count: histogram.get_sample_count() }
    }

    /// An attempt has failed.
    pub fn job_failed(&self, job_type: JobType) {
        self.job_failures.with_label_values(&[job_type.as_str()]).inc();
    }

    /// A job was started after it had been ready for so long, and ran for so long.
    pub fn job_ran(&self, job_type: JobType, waited: Duration, ran: Duration) {
        self.job_wait[job_type as usize].observe(waited.as_secs_f64());
        self.job_run[job_type as usize].observe(ran.as_secs_f64());
    }

    /// So many dead letters met this fate.
    pub fn dead_letters(&self, fate: &str, count: usize) {
        self.dead_letters_settled.with_label_values(&[fate]).inc_by(count as u64);
    }

    /// A cache was asked to delete copies.
    pub fn copies(&self, cache: &str, tally: &Tally) {
        for (outcome, count) in
            [("deleted", tally.deleted), ("absent", tally.absent), ("failed", tally.failed)]
        {
            self.copies.with_label_values(&[cache, outcome]).inc_by(count);
        }
    }

    /// Takes the queue's present state over into gauges.
    pub fn observe_queue(&self, view: &QueueView) {
        for (state, count) in [("queued", view.queued), ("running", view.running), ("dead", view.dead)] {
            self.queue_jobs.with_label_values(&[state]).set(gauge(count));
        }
        self.dead_letters.reset();
        for (cause, count) in &view.dead_by_cause {
            self.dead_letters.with_label_values(&[cause.as_str()]).set(gauge(*count));
        }
        self.queue_depth.reset();
        for (priority, count) in &view.by_priority {
            self.queue_depth.with_label_values(&[&priority.to_string()]).set(gauge(*count));
        }
        self.queue_oldest.reset();
        for (priority, age) in &view.oldest_by_priority {
            self.queue_oldest.with_label_values(&[&priority.to_string()]).set(age.as_secs_f64());
        }
        self.queue_oldest_age.set(view.oldest_age.as_secs_f64());
        self.queue_bytes.set(gauge(view.bytes));
        self.suspended.set(gauge(view.suspended));
    }

    /// Takes over how many finished jobs are held, and how many were let go too early.
    pub fn observe_window(&self, held: usize, early: u64) {
        self.held.set(gauge(held));
        self.let_go_early.set(i64::try_from(early).unwrap_or(i64::MAX));
    }

    /// Takes over into gauges how many jobs wait for a cache, and whether it is suspect.
    pub fn observe_cache(&self, cache: &str, owed: usize, is_suspect: bool) {
        self.cache_owed.with_label_values(&[cache]).set(gauge(owed));
        self.cache_suspect.with_label_values(&[cache]).set(i64::from(is_suspect));
    }

    /// Caches and connections are observed anew: those that a reload has removed are no longer shown.
    pub fn forget_caches(&self) {
        self.cache_owed.reset();
        self.cache_suspect.reset();
        self.connections.reset();
    }

    /// Takes a connection pool's present state over into gauges.
    pub fn observe_pool(&self, pool: &str, connections: usize, idle: usize) {
        self.connections.with_label_values(&[pool, "idle"]).set(gauge(idle));
        self.connections.with_label_values(&[pool, "busy"]).set(gauge(connections.saturating_sub(idle)));
    }

    /// All metrics in Prometheus's text format.
    ///
    /// # Errors
    /// Where a metric cannot be encoded: a mistake in this file.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn by_type(jobs: &IntCounterVec) -> [[IntCounter; JobState::ALL.len()]; JobType::ALL.len()] {
    JobType::ALL.map(|job_type| {
        JobState::ALL.map(|state| jobs.with_label_values(&[job_type.as_str(), state.as_str()]))
    })
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Makes metrics and registers them under the service's name.
struct Maker {
    registry: Registry,
}

impl Maker {
    fn register<C: Collector + Clone + 'static>(
        &self,
        metric: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let metric = metric?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::with_opts(named(name, help)))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(named(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(named(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(named(name, help), labels))
    }

    fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::with_opts(named(name, help)))
    }

    fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(named(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::from(named(name, help)).buckets(SECONDS.to_vec())))
    }

    fn histogram_by_type(
        &self,
        name: &str,
        help: &str,
    ) -> Result<[Histogram; JobType::ALL.len()], prometheus::Error> {
        let options = HistogramOpts::from(named(name, help)).buckets(SECONDS.to_vec());
        let all = self.register(HistogramVec::new(options, &["type"]))?;
        Ok(JobType::ALL.map(|job_type| all.with_label_values(&[job_type.as_str()])))
    }
}

fn named(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("decache")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new().unwrap();
        metrics.job_ended(JobType::Invalidate, JobState::Done);
        metrics.copies("api", &Tally { matched: 3, deleted: 2, absent: 1, failed: 0 });
        let text = metrics.render().unwrap();
        assert!(text.contains(r#"decache_jobs_total{state="done",type="invalidate"} 1"#), "{text}");
        assert!(text.contains(r#"decache_copies_total{cache="api",outcome="deleted"} 2"#), "{text}");
    }

    #[test]
    fn a_priority_that_is_empty_again_is_no_longer_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.observe_queue(&QueueView { by_priority: [(3, 1)].into(), ..QueueView::default() });
        metrics.observe_queue(&QueueView::default());
        assert!(!metrics.render().unwrap().contains(r#"priority="3""#));
    }
}
