//! When does a failed attempt run again? Arithmetic only: nothing here reads a clock or knows
//! what a run is.

use std::time::Duration;

/// The most retries a policy may allow. Source: R3.
pub const MAX_RETRIES: u32 = 10;
/// The longest wait before a retry, with and without backoff. Source: R3, R4.
pub const MAX_DELAY: Duration = Duration::from_secs(3600);

/// How often, and how soon, a failed attempt is tried again. The default is: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    /// Attempts beyond the first, at most [`MAX_RETRIES`].
    pub max_retries: u32,
    /// The wait before the first retry, in whole seconds, at most [`MAX_DELAY`].
    pub delay: Duration,
    /// Whether the wait doubles with every retry.
    pub exponential: bool,
}

impl RetryPolicy {
    /// The wait before retry `n` (from 1): `delay`, or `delay * 2^(n-1)` with backoff, at most
    /// one hour. `None` once `n` exceeds `max_retries`. Source: R4.
    ///
    /// ```
    /// # use relume::retry::RetryPolicy;
    /// # use std::time::Duration;
    /// let policy = RetryPolicy { max_retries: 3, delay: Duration::from_secs(30), exponential: true };
    /// assert_eq!(policy.delay_before(3), Some(Duration::from_secs(120)));
    /// assert_eq!(policy.delay_before(4), None);
    /// ```
    pub fn delay_before(&self, n: u32) -> Option<Duration> {
        if n == 0 || n > self.max_retries {
            return None;
        }
        let factor = if self.exponential { 2u32.saturating_pow(n - 1) } else { 1 };
        Some(self.delay.saturating_mul(factor).min(MAX_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(max_retries: u32, delay_seconds: u64, exponential: bool) -> Vec<u64> {
        let policy = RetryPolicy { max_retries, delay: Duration::from_secs(delay_seconds), exponential };
        (1..).map_while(|n| policy.delay_before(n)).map(|wait| wait.as_secs()).collect()
    }

    #[test] // R3
    fn by_default_nothing_is_retried() {
        assert!(waits(0, 0, false).is_empty());
    }

    #[test] // R4
    fn without_backoff_every_wait_is_the_delay() {
        assert_eq!(waits(3, 30, false), [30, 30, 30]);
    }

    #[test] // R4
    fn backoff_doubles() {
        assert_eq!(waits(3, 30, true), [30, 60, 120]);
    }

    #[test] // R4
    fn no_wait_exceeds_an_hour() {
        assert_eq!(waits(10, 900, true), [900, 1800, 3600, 3600, 3600, 3600, 3600, 3600, 3600, 3600]);
    }
}
