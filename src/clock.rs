//! Time as values. Everything that decides takes these as arguments; only [`Clock`] reads the machine's clocks.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::job::Accepted;

/// Wall-clock time: milliseconds since the Unix epoch. What events carry and what stores keep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This time, `by` later.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This time, `by` earlier, not before the epoch.
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// Time from `earlier` to this, zero where it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 with milliseconds, in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(time) => write!(f, "{time:.3}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// A moment of the monotonic clock: microseconds since the process began. What the queue orders by, so that a step
/// of the wall clock neither delays a job nor runs it early.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Tick(pub u64);

impl Tick {
    /// This moment, `by` later.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this, zero where it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Reads the machine's clocks. The monotonic one is tokio's, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: tokio::time::Instant,
    /// In a simulation: the wall-clock time at which it began, from where on it goes with the monotonic one.
    #[cfg(test)]
    simulated: Option<Timestamp>,
}

impl Clock {
    /// A clock whose ticks begin at zero.
    pub fn start() -> Self {
        Self {
            began: tokio::time::Instant::now(),
            #[cfg(test)]
            simulated: None,
        }
    }

    /// A clock whose wall-clock time is `now`, and goes on as tokio's time does.
    #[cfg(test)]
    pub(crate) fn simulated(now: Timestamp) -> Self {
        Self { simulated: Some(now), ..Self::start() }
    }

    /// Monotonic time since [`Clock::start`].
    pub fn tick(&self) -> Tick {
        Tick::default().after(self.began.elapsed())
    }

    /// Now, on both clocks.
    pub fn accepted(&self) -> Accepted {
        Accepted { now: self.now(), tick: self.tick() }
    }

    /// The tick as tokio's instant, for timers.
    pub fn instant(&self, tick: Tick) -> tokio::time::Instant {
        self.began + Duration::from_micros(tick.0)
    }

    /// Wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> Timestamp {
        #[cfg(test)]
        if let Some(began_at) = self.simulated {
            return began_at.after(self.began.elapsed());
        }
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(millis(since_epoch.unwrap_or_default()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339_in_utc() {
        assert_eq!(Timestamp(1_763_805_600_123).to_string(), "2025-11-22T10:00:00.123Z");
    }
}
