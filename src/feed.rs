//! What invalidations and revocations of this process have done, for whoever looks on (DESIGN 8): the last so many of them, in their
//! order. It never holds a key or a token.
//!
//! Whoever looks on has a place in that order and nothing else. Who is so slow that it is gone from there is told so, and nobody
//! waits for anybody.

use std::{
    collections::VecDeque,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    clock::Timestamp,
    fan_out::FanOut,
    job::{Job, JobId, JobType},
    queue::Tally,
};

/// Events that are kept. Each takes 5 KiB at most, where holders and the entity's id are.
const KEPT: usize = 1024;

/// The feed.
pub struct Feed {
    /// Tells the places of this process from those of any other.
    life: Box<str>,
    events: Mutex<Events>,
    /// The number of the next event; closed at the end of the service.
    next: watch::Sender<Option<u64>>,
}

#[derive(Default)]
struct Events {
    first: u64,
    kept: VecDeque<Arc<Event>>,
}

/// Something that has been done, written once for all who look on.
#[derive(Debug)]
pub struct Event {
    /// The type of the entity; `None` where it was about a holder.
    pub resource_type: Option<Box<str>>,
    /// A JSON object in one line.
    pub json: Box<str>,
}

/// A place between two events. Its text is the id of the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    life: Box<str>,
    next: u64,
}

/// The text is none that [`Place`] gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an id of this stream")]
pub struct NoPlace;

/// What comes after a place.
#[derive(Debug)]
pub enum Next {
    /// This event; the place is behind it.
    Event(Arc<Event>),
    /// Events that are not kept any more, or nobody knows how many of another life; the place is before the first that is kept.
    Gap,
    /// Nothing yet.
    Nothing,
    /// Nothing ever again: the service ends.
    End,
}

#[derive(Serialize)]
struct Told<'a> {
    job: String,
    job_type: &'static str,
    #[serde(flatten)]
    about: About<'a>,
    #[serde(flatten)]
    tally: Tally,
    /// Whether it removed again what had been removed.
    recheck: bool,
    finished_at: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum About<'a> {
    Entity { resource_type: &'a str, entity_id: &'a str, holders: Vec<String>, more_holders: bool },
    Holder { holder: &'a str },
}

impl Feed {
    /// An empty feed. `life` is this process's and no other's: letters and digits.
    pub fn new(life: &str) -> Self {
        Self { life: life.into(), events: Mutex::default(), next: watch::Sender::new(Some(0)) }
    }

    /// A fan-out has come to its end.
    pub fn tell(&self, job: &Job, fan_out: &FanOut, now: Timestamp) {
        let about = match job.job_type {
            JobType::Revoke => About::Holder { holder: &job.entity.id },
            JobType::Cache | JobType::Invalidate => About::Entity {
                resource_type: &job.entity.resource_type,
                entity_id: &job.entity.id,
                holders: fan_out.removed.ids().map(|holder| holder.to_string()).collect(),
                more_holders: fan_out.removed.has_more(),
            },
        };
        let id: JobId = job.id;
        let told = Told {
            job: id.to_string(),
            job_type: job.job_type.as_str(),
            about,
            tally: fan_out.tally,
            recheck: job.recheck,
            finished_at: now.to_string(),
        };
        let is_about_entity = job.job_type != JobType::Revoke;
        let resource_type = is_about_entity.then(|| job.entity.resource_type.clone());
        // None of it can fail to be written.
        let Ok(json) = serde_json::to_string(&told) else { return };
        self.push(Event { resource_type, json: json.into() });
    }

    fn push(&self, event: Event) {
        let mut events = self.lock();
        events.kept.push_back(Arc::new(event));
        if events.kept.len() > KEPT {
            events.kept.pop_front();
            events.first += 1;
        }
        let next = events.next();
        // Where it is closed, nobody looks on any more.
        self.next.send_modify(|known| *known = known.map(|_| next));
    }

    /// The place behind the last event.
    pub fn end(&self) -> Place {
        Place { life: self.life.clone(), next: self.lock().next() }
    }

    /// What comes after `place`, which is moved there.
    pub fn after(&self, place: &mut Place) -> Next {
        let events = self.lock();
        let is_ours = place.life == self.life && place.next <= events.next();
        if !is_ours || place.next < events.first {
            *place = Place { life: self.life.clone(), next: events.first };
            return Next::Gap;
        }
        let at = usize::try_from(place.next - events.first).ok();
        match at.and_then(|at| events.kept.get(at)) {
            Some(event) => {
                place.next += 1;
                Next::Event(event.clone())
            }
            None if self.next.borrow().is_none() => Next::End,
            None => Next::Nothing,
        }
    }

    /// Whoever is to be woken by what comes next. To be had before [`Feed::after`] says that there is nothing.
    pub fn watch(&self) -> watch::Receiver<Option<u64>> {
        self.next.subscribe()
    }

    /// Nothing comes any more: all who look on are let go.
    pub fn close(&self) {
        self.next.send_replace(None);
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.next.borrow().is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A place that is in no feed.
    pub fn nowhere() -> Self {
        Self { life: Box::default(), next: 0 }
    }

    /// Its text; none where it is nowhere.
    pub fn id(&self) -> Option<String> {
        (!self.life.is_empty()).then(|| self.to_string())
    }
}

impl Events {
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.life, self.next)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (life, next) = text.split_once('-').ok_or(NoPlace)?;
        let is_number = !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_digit());
        let next = next.parse().ok().filter(|_| is_number).ok_or(NoPlace)?;
        Ok(Self { life: life.into(), next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(feed: &Feed, number: usize) {
        feed.push(Event { resource_type: None, json: number.to_string().into() });
    }

    fn rest(feed: &Feed, place: &mut Place) -> Vec<String> {
        let next = || match feed.after(place) {
            Next::Event(event) => Some(event.json.to_string()),
            Next::Gap => Some("gap".to_owned()),
            Next::Nothing | Next::End => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn whoever_comes_back_goes_on_where_they_were() {
        let feed = Feed::new("a");
        let start = feed.end();
        (1..=3).for_each(|number| push(&feed, number));
        let mut place: Place = start.to_string().parse().unwrap();
        assert_eq!(rest(&feed, &mut place), ["1", "2", "3"]);
        let mut place: Place = place.to_string().parse().unwrap();
        push(&feed, 4);
        assert_eq!(rest(&feed, &mut place), ["4"]);
    }

    #[test]
    fn whoever_is_too_slow_is_told_of_a_gap_and_goes_on_with_what_is_kept() {
        let feed = Feed::new("a");
        let mut place = feed.end();
        (1..=KEPT + 2).for_each(|number| push(&feed, number));
        let told = rest(&feed, &mut place);
        assert_eq!((&*told[0], &*told[1], told.len()), ("gap", "3", KEPT + 1));
        assert!(rest(&feed, &mut place).is_empty());
    }

    #[test]
    fn a_place_of_another_life_or_of_the_future_is_a_gap() {
        let feed = Feed::new("b");
        push(&feed, 1);
        for place in ["a-1", "b-7"] {
            assert_eq!(rest(&feed, &mut place.parse().unwrap()), ["gap", "1"], "{place}");
        }
        for none in ["", "b", "b-", "b-x", "b-+1", "b--1", "b-99999999999999999999"] {
            assert_eq!(none.parse::<Place>(), Err(NoPlace), "{none}");
        }
    }

    #[test]
    fn at_the_end_what_is_left_is_told_first() {
        let feed = Feed::new("a");
        let mut place = feed.end();
        push(&feed, 1);
        feed.close();
        assert!(matches!(feed.after(&mut place), Next::Event(_)));
        assert!(matches!(feed.after(&mut place), Next::End) && feed.is_closed());
    }
}
