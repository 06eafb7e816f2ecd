//! Leaves a server as much time as was taken of it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Tick};

/// The shortest pause, so that a fast server is left some time too.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest pause: after a timeout it is not the work that took the time.
const LONGEST: Duration = Duration::from_millis(250);

/// A step of work, and the pause after it.
pub(super) struct Pace {
    clock: Clock,
    began: Tick,
}

impl Pace {
    pub(super) fn begin(clock: Clock) -> Self {
        Self { clock, began: clock.tick() }
    }

    /// Pauses for as long as the step took. `None` where that was cancelled.
    pub(super) async fn rest(self, cancelled: &CancellationToken) -> Option<()> {
        let took = self.clock.tick().since(self.began);
        cancelled.run_until_cancelled(tokio::time::sleep(took.clamp(SHORTEST, LONGEST))).await
    }
}
