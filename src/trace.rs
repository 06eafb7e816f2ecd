//! Traces that begin at a client (W3C Trace Context): where a piece of work stands in one, from the request through the job to the
//! commands that it sends. Only what is sampled is known here at all, and only where something takes spans ([`crate::otlp`]):
//! else every question below is answered by one look at a value that is not set.
//!
//! Nothing of a request but its method, route and status, and nothing of a job but its type, topic and id is in a span:
//! entity ids and keys are the API's, and tokens may stand in them.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use crate::{
    clock::{Clock, Tick},
    job::Job,
};

/// Contexts at most that a span links to: of jobs that it does the work of.
const LINKS: usize = 16;

/// Names a span that is sampled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanContext {
    /// The whole trace's, never zero.
    pub trace_id: u128,
    /// Its own, never zero.
    pub span_id: u64,
}

/// Where a job stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// What has asked for it.
    pub parent: SpanContext,
    /// What has asked for jobs that it took the place of, the latest ones.
    pub links: Vec<SpanContext>,
}

impl Trace {
    /// Of a job that this has asked for.
    pub fn of(parent: SpanContext) -> Box<Self> {
        Box::new(Self { parent, links: Vec::new() })
    }

    /// Of a job that does the work of another, too: it is part of what has asked for it, and linked to what has asked for the
    /// other. Where nothing that is sampled has asked for it, it is part of the other's.
    pub fn merged(newer: Option<Box<Self>>, older: Option<&Self>) -> Option<Box<Self>> {
        let Some(older) = older else { return newer };
        let Some(mut newer) = newer else { return Some(Box::new(older.clone())) };
        newer.links.extend(older.links.iter().copied().chain([older.parent]));
        let too_many = newer.links.len().saturating_sub(LINKS);
        newer.links.drain(..too_many);
        Some(newer)
    }
}

/// What a `traceparent` header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TraceParent {
    context: SpanContext,
    is_sampled: bool,
}

/// Reads `00-<trace id>-<span id>-<flags>`; a later version may have more behind that. `None` where it is to be ignored.
fn parse(header: &str) -> Option<TraceParent> {
    let mut fields = header.split('-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let has_more = fields.next().is_some();
    if !is_hex(version, 2) || version == "ff" || (version == "00" && has_more) || !is_hex(flags, 2) {
        return None;
    }
    let trace_id = is_hex(trace, 32).then(|| u128::from_str_radix(trace, 16).ok())??;
    let span_id = is_hex(span, 16).then(|| u64::from_str_radix(span, 16).ok())??;
    let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    (trace_id != 0 && span_id != 0)
        .then_some(TraceParent { context: SpanContext { trace_id, span_id }, is_sampled })
}

tokio::task_local! {
    /// The span that the task is in.
    static CURRENT: Option<SpanContext>;
}

/// The span that the task is in, if it is sampled.
pub fn current() -> Option<SpanContext> {
    CURRENT.try_with(|current| *current).ok().flatten()
}

/// Does something in this span.
pub fn within<F: Future>(span: Option<&Span>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(span.map(|span| span.context), work)
}

/// Takes spans that are over. It never waits.
pub type Take = Box<dyn Fn(Span) + Send + Sync>;

/// What spans are made with.
struct Tracer {
    take: Take,
    /// How many of the requests are sampled that say nothing of it, from 0 to 1.
    ratio: f64,
    clock: Clock,
    /// A moment on both clocks: times are told by the wall's, and measured by the monotonic one.
    base: (u64, Tick),
}

static TRACER: OnceLock<Arc<Tracer>> = OnceLock::new();

/// From here on spans are made and given to `take`. The first call counts.
pub fn start(take: Take, ratio: f64, clock: Clock) {
    let base = (clock.now().0.saturating_mul(1_000_000), clock.tick());
    TRACER.set(Arc::new(Tracer { take, ratio, clock, base })).ok();
}

/// What part a span has in its trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Answers a request.
    Server,
    /// Does what was queued.
    Consumer,
    /// Asks another service.
    Client,
}

/// A value that tells of a span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

/// A piece of work that is under way, or over.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name in the trace.
    pub context: SpanContext,
    /// What it is a part of: a span of the same trace.
    pub parent: Option<u64>,
    /// What else has asked for it.
    pub links: Vec<SpanContext>,
    /// What it does.
    pub name: Cow<'static, str>,
    /// Its part.
    pub kind: Kind,
    /// When it began, in nanoseconds since the epoch.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// What tells of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it failed.
    pub failed: bool,
    tracer: Arc<Tracer>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tracer(..)")
    }
}

impl Tracer {
    fn now(&self) -> u64 {
        let (wall, tick) = self.base;
        wall + u64::try_from(self.clock.tick().since(tick).as_nanos()).unwrap_or_default()
    }

    fn begin(
        self: &Arc<Self>,
        (trace_id, parent): (u128, Option<u64>),
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> Span {
        let (context, began) = (SpanContext { trace_id, span_id: fastrand::u64(1..) }, self.now());
        let (name, tracer) = (name.into(), self.clone());
        let (links, attributes) = (Vec::new(), Vec::new());
        Span { context, parent, links, name, kind, began, ended: began, attributes, failed: false, tracer }
    }
}

impl Span {
    /// Adds what tells of it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    /// It is over.
    pub fn end(mut self, failed: bool) {
        (self.ended, self.failed) = (self.tracer.now(), failed);
        let tracer = self.tracer.clone();
        (tracer.take)(self);
    }
}

/// The span of a request: a part of what its `traceparent` says, if that is sampled; where it has none, of a new trace, as often
/// as is configured.
pub fn of_request(traceparent: Option<&str>, name: impl FnOnce() -> String) -> Option<Span> {
    let tracer = TRACER.get()?;
    let at = match traceparent.and_then(parse) {
        Some(TraceParent { context, is_sampled: true }) => (context.trace_id, Some(context.span_id)),
        Some(_) => return None,
        None => (fastrand::f64() < tracer.ratio).then(|| (fastrand::u128(1..), None))?,
    };
    Some(tracer.begin(at, name(), Kind::Server))
}

/// The span of an attempt at a job.
pub fn of_job(job: &Job) -> Option<Span> {
    let (tracer, trace) = (TRACER.get()?, job.trace.as_ref()?);
    let at = (trace.parent.trace_id, Some(trace.parent.span_id));
    let mut span = tracer.begin(at, format!("job {}", job.job_type), Kind::Consumer);
    span.links.clone_from(&trace.links);
    let span = span.with("decache.job.id", Attribute::Text(job.id.to_string().into()));
    Some(span.with("decache.job.topic", Attribute::Text(job.topic.to_string().into())))
}

/// The spans of jobs that are done together, each with its place. What is asked of others for all of them is a part of the
/// first, and the others link to that.
pub fn of_jobs<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<(usize, Span)> {
    if TRACER.get().is_none() {
        return Vec::new();
    }
    let mut spans: Vec<_> = jobs.enumerate().filter_map(|(place, job)| Some((place, of_job(job)?))).collect();
    if let Some((first, others)) = spans.split_first_mut() {
        others.iter_mut().for_each(|(_, span)| span.links.push(first.1.context));
    }
    spans
}

/// A part of the span that the task is in: something asked of another service.
pub fn of_call(name: impl FnOnce() -> String) -> Option<Span> {
    let (tracer, parent) = (TRACER.get()?, current()?);
    Some(tracer.begin((parent.trace_id, Some(parent.span_id)), name(), Kind::Client))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    const SPAN: u64 = 0xb7ad_6b71_6920_3331;

    fn context(span_id: u64) -> SpanContext {
        SpanContext { trace_id: TRACE, span_id }
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_writes_it() {
        let read = |text: &str| parse(text).map(|it| (it.context, it.is_sampled));
        let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        assert_eq!(read(&format!("00-{ids}-01")), Some((context(SPAN), true)));
        assert_eq!(read(&format!("00-{ids}-00")), Some((context(SPAN), false)));
        assert_eq!(read(&format!("00-{ids}-03")), Some((context(SPAN), true)));
        assert_eq!(read(&format!("cc-{ids}-01-what-comes")), Some((context(SPAN), true)));
        for text in [
            String::new(),
            format!("00-{ids}"),
            format!("00-{ids}-01-more"),
            format!("ff-{ids}-01"),
            format!("00-{}-01", ids.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16)),
            format!("00-+{}-01", &ids[1..]),
            format!("00-{ids}-1"),
            "tok-alice".to_owned(),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }

    #[test]
    fn a_job_that_does_the_work_of_others_is_linked_to_the_latest_of_them() {
        let mut survivor = Some(Trace::of(context(1)));
        for span in 2..40 {
            survivor = Trace::merged(Some(Trace::of(context(span))), survivor.as_deref());
        }
        let survivor = survivor.unwrap();
        assert_eq!(survivor.parent, context(39));
        assert_eq!(survivor.links, (23..39).map(context).collect::<Vec<_>>());
        let untraced = Trace::merged(None, Some(&survivor)).unwrap();
        assert_eq!(untraced, survivor, "what was sampled is not lost to what was not");
        assert_eq!(Trace::merged(None, None), None);
    }

    #[tokio::test]
    async fn where_nothing_takes_spans_there_are_none() {
        let asked = of_request(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), || {
            panic!("not even its name is made")
        });
        assert!(asked.is_none());
        assert_eq!(within(asked.as_ref(), async { current() }).await, None);
    }
}
