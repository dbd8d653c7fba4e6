//! Time that survives every crash, and lengths of time in words.
//!
//! While the program [`sleep`]s it is not held in memory, so that a day costs no more than a second. Delays are lower
//! bounds: the program goes on that much later or a little more, never earlier.
//!
//! [`SystemTime::now`] and [`std::time::Instant`] work too. Outside steps they stand still between two entries of the
//! journal, so they do not tell how long something took; inside a step they are real, and the functions here, which
//! write to the journal, are refused.
//!
//! ```no_run
//! use relume::{sleep, sleep_until, now};
//! use relume::time::{days, hours};
//!
//! let asked_at = now();
//! sleep(hours(2));
//! sleep_until(asked_at + days(1));
//! ```

use std::time::{Duration, SystemTime};

use crate::bindings::relume::durable::time;

/// The time now, by the database's clock. It is recorded: a replay returns the same.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time::now())
}

/// Returns that much later, never earlier, whatever happens meanwhile. In a replay `length` has to be the same.
pub fn sleep(length: Duration) {
    time::sleep(whole_millis(length));
}

/// Returns at that moment or later, at once if it has passed. In a replay `moment` has to be the same: derive it from
/// [`now`], the input or the result of a step.
pub fn sleep_until(moment: SystemTime) {
    time::sleep_until(whole_millis(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()));
}

/// `n` milliseconds.
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
pub const fn minutes(n: u64) -> Duration {
    secs(n.saturating_mul(60))
}

/// `n` hours.
pub const fn hours(n: u64) -> Duration {
    secs(n.saturating_mul(60 * 60))
}

/// `n` days of 24 hours.
pub const fn days(n: u64) -> Duration {
    secs(n.saturating_mul(24 * 60 * 60))
}

/// Rounded up, so that no wait is shorter than was asked for; capped at 584 million years.
pub(crate) fn whole_millis(length: Duration) -> u64 {
    length.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // R42
    fn no_wait_is_shorter_than_was_asked_for() {
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(millis(1500)), 1500);
        assert_eq!(whole_millis(Duration::MAX), u64::MAX);
    }

    #[test]
    fn lengths_in_words() {
        assert_eq!(days(7), hours(7 * 24));
        assert_eq!(hours(1), minutes(60));
        assert_eq!(minutes(1), secs(60));
        assert_eq!(secs(1), millis(1000));
        assert_eq!(days(u64::MAX), Duration::from_secs(u64::MAX));
    }
}
