//! When a job that failed is tried again.

use std::time::Duration;

/// Exponential backoff with a cap; half of each delay is jitter, so that what failed together does not return together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Attempts after which a `cache` job gives up. Others never do.
    pub max_attempts: u32,
    /// The delay after the first failure.
    pub base: Duration,
    /// The longest delay.
    pub cap: Duration,
}

impl RetryPolicy {
    /// How long to wait after so many failures (1 or more); `jitter` from 0 to 1.
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_jitter_takes_at_most_half() {
        let policy =
            RetryPolicy { max_attempts: 8, base: Duration::from_millis(100), cap: Duration::from_secs(30) };
        assert_eq!(policy.delay(1, 1.0), Duration::from_millis(100));
        assert_eq!(policy.delay(1, 0.0), Duration::from_millis(50));
        assert_eq!(policy.delay(4, 1.0), Duration::from_millis(800));
        assert_eq!(policy.delay(400, 1.0), Duration::from_secs(30));
    }
}
