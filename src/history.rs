//! The last hour in samples, as far as people look at it: a bounded ring. It reads no clock; whoever feeds it brings the time.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::clock::Tick;

/// Between two samples.
pub const STEP: Duration = Duration::from_secs(10);
/// How far back the samples go.
pub const SPAN: Duration = Duration::from_secs(60 * 60);
/// One more than fit into the span: the oldest is what the next is compared with.
const KEPT: usize = (SPAN.as_secs() / STEP.as_secs()) as usize + 1;
/// Priorities of which a sample keeps the oldest job, the most urgent ones: a sample has a bounded size.
const PRIORITIES: usize = 8;

/// What there is to be seen at one time. What is counted is counted from the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Events that were taken, ignored ones among them.
    pub events: u64,
    /// Jobs that have come to their end.
    pub ended: u64,
    /// Jobs that wait.
    pub queued: usize,
    /// Dead letters.
    pub dead: usize,
    /// For how long the oldest job has been ready, by priority.
    pub oldest: BTreeMap<u16, Duration>,
    /// How long invalidations took, from an event's acceptance to the deletion of the last copy.
    pub latency: Durations,
}

/// Durations, counted in buckets.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Durations {
    /// Upper bounds in seconds, in their order, and how many were not longer.
    pub up_to: Vec<(f64, u64)>,
    /// How many there were in all.
    pub count: u64,
}

/// What was in the time between two samples, or at the end of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// How long ago that time ended.
    pub ago: Duration,
    /// Events that were taken in a second.
    pub events_per_second: f64,
    /// Jobs that ended in a second.
    pub ended_per_second: f64,
    /// Jobs that waited.
    pub queued: usize,
    /// Dead letters.
    pub dead: usize,
    /// For how long the oldest job had been ready, by priority.
    pub oldest: BTreeMap<u16, Duration>,
    /// The median of how long invalidations took, in seconds; `None` where none ended.
    pub median: Option<f64>,
    /// What 95 of 100 did not exceed.
    pub slowest: Option<f64>,
}

#[derive(Debug)]
struct Sample {
    at: Tick,
    reading: Reading,
}

/// The samples.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
}

impl History {
    /// Keeps a reading where it is time for one. May be called as often as one likes.
    pub fn note(&mut self, now: Tick, reading: impl FnOnce() -> Reading) {
        if self.samples.back().is_some_and(|last| now.since(last.at) < STEP) {
            return;
        }
        let mut reading = reading();
        while reading.oldest.len() > PRIORITIES {
            reading.oldest.pop_last();
        }
        self.samples.push_back(Sample { at: now, reading });
        let too_old = |sample: &Sample| now.since(sample.at) > SPAN + STEP;
        while self.samples.len() > KEPT || self.samples.front().is_some_and(too_old) {
            self.samples.pop_front();
        }
    }

    /// What was in the last hour, the oldest first.
    pub fn points(&self, now: Tick) -> Vec<Point> {
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        pairs.map(|(before, after)| point(before, after, now)).collect()
    }

    /// What `quantile` of the invalidations of the last `span` did not exceed, in seconds; `None` where none ended.
    pub fn latency(&self, quantile: f64, span: Duration) -> Option<f64> {
        let last = self.samples.back()?;
        let first = self.samples.iter().find(|sample| last.at.since(sample.at) <= span)?;
        last.reading.latency.since(&first.reading.latency).quantile(quantile)
    }
}

fn point(before: &Sample, after: &Sample, now: Tick) -> Point {
    let seconds = after.at.since(before.at).as_secs_f64().max(f64::EPSILON);
    let per_second = |count: fn(&Reading) -> u64| {
        count(&after.reading).saturating_sub(count(&before.reading)) as f64 / seconds
    };
    let latency = after.reading.latency.since(&before.reading.latency);
    Point {
        ago: now.since(after.at),
        events_per_second: per_second(|reading| reading.events),
        ended_per_second: per_second(|reading| reading.ended),
        queued: after.reading.queued,
        dead: after.reading.dead,
        oldest: after.reading.oldest.clone(),
        median: latency.quantile(0.5),
        slowest: latency.quantile(0.95),
    }
}

impl Durations {
    /// Those that are not among the earlier ones.
    fn since(&self, earlier: &Self) -> Self {
        let before = |at: usize| earlier.up_to.get(at).map_or(0, |(_, count)| *count);
        let rest = |(at, (bound, count)): (usize, &(f64, u64))| (*bound, count.saturating_sub(before(at)));
        Self {
            up_to: self.up_to.iter().enumerate().map(rest).collect(),
            count: self.count.saturating_sub(earlier.count),
        }
    }

    /// What `quantile` of them did not exceed, as if they were spread evenly over their bucket. What is beyond the last bound
    /// counts as that.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = quantile * self.count as f64;
        let (mut below, mut from) = (0, 0.0);
        for &(bound, count) in &self.up_to {
            if count as f64 >= rank && count > below {
                let share = (rank - below as f64) / (count - below) as f64;
                return Some(from + (bound - from) * share.clamp(0.0, 1.0));
            }
            (below, from) = (count, bound);
        }
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::default().after(Duration::from_secs(seconds))
    }

    fn events(events: u64) -> Reading {
        Reading { events, ..Reading::default() }
    }

    #[test]
    fn a_sample_is_taken_every_ten_seconds_however_often_it_is_offered() {
        let mut history = History::default();
        for second in 0..=60 {
            history.note(at(second), || events(second * 5));
        }
        let points = history.points(at(60));
        assert_eq!(points.len(), 6);
        assert!(points.iter().all(|point| point.events_per_second == 5.0));
        assert_eq!(
            points.iter().map(|point| point.ago.as_secs()).collect::<Vec<_>>(),
            [50, 40, 30, 20, 10, 0]
        );
    }

    #[test]
    fn a_pause_is_spread_over_its_time_and_a_restarted_count_is_none() {
        let mut history = History::default();
        for (second, count) in [(0, 0), (100, 200), (110, 3)] {
            history.note(at(second), || events(count));
        }
        let rates: Vec<f64> = history.points(at(110)).iter().map(|point| point.events_per_second).collect();
        assert_eq!(rates, [2.0, 0.0]);
    }

    #[test]
    fn it_keeps_an_hour_and_a_bounded_number_of_priorities() {
        let mut history = History::default();
        let oldest = (0..100).map(|priority| (priority, Duration::from_secs(1))).collect();
        let reading = Reading { oldest, ..Reading::default() };
        for step in 0..1000 {
            history.note(at(step * 10), || reading.clone());
        }
        let points = history.points(at(9990));
        assert_eq!(points.len(), 360);
        assert!(points.iter().all(|point| point.oldest.len() == 8 && point.ago < SPAN));
        history.note(at(20_000), || reading.clone());
        assert!(history.points(at(20_000)).is_empty(), "what is older than an hour goes, too");
    }

    #[test]
    fn quantiles_are_of_what_ended_in_between() {
        let durations =
            |fast, slow| Durations { up_to: vec![(0.1, fast), (1.0, fast + slow)], count: fast + slow };
        let mut history = History::default();
        for (second, latency) in [(0, durations(100, 0)), (10, durations(110, 10)), (20, durations(110, 10))]
        {
            history.note(at(second), || Reading { latency, ..Reading::default() });
        }
        let points = history.points(at(20));
        assert_eq!((points[0].median, points[1].median), (Some(0.1), None));
        assert!((points[0].slowest.unwrap() - 0.91).abs() < 1e-9);
        assert!((history.latency(0.5, SPAN).unwrap() - 0.1).abs() < 1e-9);
        assert_eq!(history.latency(0.5, Duration::from_secs(10)), None);
    }

    #[test]
    fn what_is_beyond_the_last_bound_counts_as_that() {
        assert_eq!(Durations { up_to: vec![(0.5, 0), (2.0, 0)], count: 3 }.quantile(0.5), Some(2.0));
        assert_eq!(Durations::default().quantile(0.5), None);
    }
}
