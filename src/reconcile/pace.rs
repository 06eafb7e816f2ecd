//! Leaves a server as much time as was taken of it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Tick};

/// How long work goes on without a pause. Timers are no finer than a millisecond.
const TURN: Duration = Duration::from_millis(5);
/// The longest pause: after a timeout it is not the work that took the time.
const LONGEST: Duration = Duration::from_millis(250);

/// Work in turns, with pauses between them.
pub(super) struct Pace {
    clock: Clock,
    began: Tick,
}

impl Pace {
    pub(super) fn begin(clock: Clock) -> Self {
        Self { clock, began: clock.tick() }
    }

    /// To be called after each step: pauses for as long as the turn took, once it was long enough. `None` where that was
    /// cancelled.
    pub(super) async fn keep(&mut self, cancelled: &CancellationToken) -> Option<()> {
        let took = self.clock.tick().since(self.began);
        if cancelled.is_cancelled() {
            return None;
        }
        if took >= TURN {
            cancelled.run_until_cancelled(tokio::time::sleep(took.min(LONGEST))).await?;
            self.began = self.clock.tick();
        }
        Some(())
    }
}
