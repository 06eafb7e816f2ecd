//! Bodies of `POST /v1/events`, in every form that is taken, and the jobs that are made of them.

use std::sync::OnceLock;

use decache::{
    clock::{Tick, Timestamp},
    config::Config,
    enrich::Enrichment,
    event::{
        Entity, Event, EventError,
        cloud::{self, Attributes},
        forms::{self, BodyError, Lines},
        is_resource_type,
    },
    job::Accepted,
    resource::Resources,
    rules::RuleSet,
    secret::HolderId,
};

const ARRIVED: Timestamp = Timestamp(1_763_812_800_000);
const LIMIT: usize = 8;

/// A body that is refused says why; an event that is taken is valid in every field.
pub(super) fn event(data: &[u8]) {
    hold(forms::json(data, LIMIT, ARRIVED));
}

/// The same events in whatever pieces a body comes.
pub(super) fn lines(data: &[u8]) {
    let read = |size: usize| {
        let mut lines = Lines::new(LIMIT);
        data.chunks(size).for_each(|piece| lines.push(piece, ARRIVED));
        lines.finish(ARRIVED)
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(1), whole);
    assert_eq!(read(7), whole);
    hold(whole);
}

/// Every mode: what comes is a document, a list of them, or the data of an event whose attributes are in headers.
pub(super) fn cloud_event(data: &[u8]) {
    let knows = |name: &str| name == "Posts" || name == "Blog.Posts";
    hold(cloud::structured(data, &knows, ARRIVED));
    hold(cloud::batch(data, LIMIT, &knows, ARRIVED));
    let mut attributes = Attributes::default();
    for (name, text) in [("specversion", "1.0"), ("id", "e"), ("source", "/"), ("type", "a.Blog.Posts.Read")]
    {
        attributes.put(name, text.to_owned());
    }
    hold(cloud::binary(&attributes, data, &knows, ARRIVED));
    if let Ok(kind) = std::str::from_utf8(data) {
        attributes.put("type", kind.to_owned());
        attributes.put("subject", kind.to_owned());
        attributes.put("time", kind.to_owned());
        hold(cloud::binary(&attributes, b"", &knows, ARRIVED));
    }
}

fn hold(read: Result<Vec<Result<Event, EventError>>, BodyError>) {
    match read {
        Ok(events) => {
            assert!(events.len() <= LIMIT);
            for event in events {
                match event {
                    Ok(event) => check(&event),
                    Err(error) => assert!(!error.0.is_empty()),
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check(event: &Event) {
    assert!(is_resource_type(&event.entity.resource_type));
    assert!((1..=Entity::MAX_ID_BYTES).contains(&event.entity.id.len()));
    let names = [Some(&event.entity.id), event.user_id.as_ref(), event.id.as_ref(), event.cache_key.as_ref()];
    for name in names.into_iter().flatten().chain([&event.action_type]) {
        assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
    }
    if let Some(token) = &event.access_token {
        assert!(!token.expose().is_empty() && !token.expose().chars().any(char::is_control));
    }
    assert!(!event.payload.contains_key("access_token"), "a token that a key or a follow-up would show");
    assert!(event.occurred_at.is_none_or(|at| at <= ARRIVED));
    assert!(event.expires_in.is_none_or(|life| !life.is_zero()));
    enrich(event);
}

fn enrich(event: &Event) {
    static RULES: OnceLock<(RuleSet, Resources)> = OnceLock::new();
    let (rules, resources) = RULES.get_or_init(|| {
        let config = Config::default();
        let resources = Resources::compile(&config.resources, "decache:").expect("the default resources");
        (RuleSet::compile(&config.rules, &resources).expect("the default rules"), resources)
    });
    let enrichment = Enrichment { rules, resources, holder_id: &|_| HolderId([7; 16]) };
    let at = Accepted { now: ARRIVED, tick: Tick(0) };
    let Ok(jobs) = enrichment.jobs(event, at) else { return };
    let again = enrichment.jobs(event, at).expect("jobs that were made before");
    assert_eq!(jobs.len(), again.len());
    for (job, again) in jobs.iter().zip(&again) {
        assert_eq!(job.key, again.key, "the same event is the same job");
        assert_eq!(job.entity, event.entity);
    }
}
