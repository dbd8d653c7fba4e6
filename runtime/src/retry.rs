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

/// When a failing step is executed again. Source: R21, R22.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPolicy {
    /// Executions in one attempt of the run, the first included; 0 is without a limit of its own.
    pub maximum_attempts: u32,
    pub delays: Delays,
}

/// The waits between the executions of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delays {
    /// `min(initial * coefficient^(n-1), maximum)` after failure `n`.
    Exponential { initial: Duration, coefficient: f64, maximum: Duration },
    /// From `first` to `last` in equal parts, over all the retries there are.
    Linear { first: Duration, last: Duration },
    /// The same after each failure.
    Fixed(Duration),
}

impl Default for StepPolicy {
    /// OpenWorkflow's. Source: R21.
    fn default() -> StepPolicy {
        let (initial, maximum) = (Duration::from_secs(1), Duration::from_secs(100));
        StepPolicy { maximum_attempts: 10, delays: Delays::Exponential { initial, coefficient: 2.0, maximum } }
    }
}

impl StepPolicy {
    /// The wait after failure `n` (from 1), in whole milliseconds; `None` if it was the last try.
    ///
    /// ```
    /// # use relume::retry::StepPolicy;
    /// let waits: Vec<_> = (1..).map_while(|n| StepPolicy::default().delay_after(n)).map(|wait| wait.as_secs()).collect();
    /// assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
    /// ```
    pub fn delay_after(&self, n: u32) -> Option<Duration> {
        if n == 0 || (self.maximum_attempts != 0 && n >= self.maximum_attempts) {
            return None;
        }
        Some(match self.delays {
            Delays::Exponential { initial, coefficient, maximum } => {
                let power = i32::try_from(n - 1).unwrap_or(i32::MAX);
                let wait = initial.as_millis() as f64 * coefficient.powi(power);
                // Not a number: 0 times infinity.
                let wait = if wait.is_nan() { 0.0 } else { wait.min(maximum.as_millis() as f64) };
                Duration::from_millis(wait as u64)
            }
            Delays::Linear { first, last } => {
                let (first, last) = (first.as_millis(), last.as_millis());
                // Waits are counted from 0 to the last but one try.
                let parts = u128::from(self.maximum_attempts.saturating_sub(2)).max(1);
                let wait = first + last.saturating_sub(first) * u128::from(n - 1).min(parts) / parts;
                Duration::from_millis(wait.try_into().unwrap_or(u64::MAX))
            }
            Delays::Fixed(wait) => wait,
        })
    }

    /// What makes no sense about it, if anything.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.delays {
            Delays::Exponential { coefficient, .. } if !(coefficient.is_finite() && coefficient >= 1.0) => {
                Err("the coefficient of a backoff is a number of at least 1")
            }
            Delays::Linear { first, last } if last < first => {
                Err("the last wait of a linear delay is not less than the first")
            }
            Delays::Linear { .. } if self.maximum_attempts == 0 => {
                Err("a linear delay needs a number of attempts to divide by")
            }
            _ => Ok(()),
        }
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

    fn step_waits(policy: StepPolicy) -> Vec<u64> {
        (1..).map_while(|n| policy.delay_after(n)).take(20).map(|wait| wait.as_secs()).collect()
    }

    fn linear(retries: u32, first: u64, last: u64) -> StepPolicy {
        let delays = Delays::Linear { first: Duration::from_secs(first), last: Duration::from_secs(last) };
        StepPolicy { maximum_attempts: retries + 1, delays }
    }

    #[test] // R21
    fn by_default_a_step_waits_1_2_4_up_to_100_seconds_and_is_executed_ten_times() {
        assert_eq!(step_waits(StepPolicy::default()), [1, 2, 4, 8, 16, 32, 64, 100, 100]);
    }

    #[test] // R21
    fn without_a_number_of_attempts_a_step_is_retried_without_end() {
        let policy = StepPolicy { maximum_attempts: 0, ..StepPolicy::default() };
        assert_eq!(policy.delay_after(u32::MAX), Some(Duration::from_secs(100)));
    }

    #[test] // R22
    fn a_linear_range_is_divided_equally() {
        let waits = step_waits(linear(5, 300, 600));
        let moments: Vec<u64> = waits
            .iter()
            .scan(0, |sum, wait| {
                *sum += wait;
                Some(*sum)
            })
            .collect();
        assert_eq!(moments, [300, 675, 1125, 1650, 2250]);
        assert_eq!(step_waits(linear(1, 300, 600)), [300]);
        assert!(step_waits(linear(0, 300, 600)).is_empty());
    }

    #[test] // R22
    fn fixed_and_immediate_retries() {
        let fixed = |seconds| StepPolicy { maximum_attempts: 3, delays: Delays::Fixed(Duration::from_secs(seconds)) };
        assert_eq!((step_waits(fixed(5)), step_waits(fixed(0))), (vec![5, 5], vec![0, 0]));
    }

    #[test] // R21, R22
    fn what_makes_no_sense_is_refused() {
        assert!(linear(5, 2, 1).check().is_err());
        assert!(StepPolicy { maximum_attempts: 0, ..linear(5, 1, 2) }.check().is_err());
        for coefficient in [0.5, -1.0, f64::NAN, f64::INFINITY] {
            let delays = Delays::Exponential { initial: Duration::ZERO, coefficient, maximum: Duration::ZERO };
            assert!(StepPolicy { maximum_attempts: 1, delays }.check().is_err());
        }
        StepPolicy::default().check().expect("it makes sense");
    }

    #[test] // R21
    fn hostile_numbers_do_no_harm() {
        let delays = Delays::Exponential { initial: Duration::MAX, coefficient: f64::MAX, maximum: Duration::MAX };
        let policy = StepPolicy { maximum_attempts: 0, delays };
        assert!(policy.delay_after(u32::MAX).is_some());
        let zero = Delays::Exponential { initial: Duration::ZERO, coefficient: f64::MAX, maximum: Duration::MAX };
        assert_eq!(StepPolicy { maximum_attempts: 0, delays: zero }.delay_after(u32::MAX), Some(Duration::ZERO));
    }
}
