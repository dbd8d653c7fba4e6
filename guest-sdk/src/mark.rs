//! What an error says about another try: that there is no point in one, or when it should be. An error is marked by
//! [`not_retryable`] or [`retry_after`], and keeps its text.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use anyhow::Error;

use crate::http;

/// Marks an error as one that another try would only meet again: a card that does not exist, an order that was
/// cancelled. A step that fails with it is not tried again. Returned from `main`, it ends the run at once, whatever
/// retries it has left. Its text stays the same.
///
/// ```no_run
/// # use relume::{Result, not_retryable};
/// # use anyhow::anyhow;
/// # fn check(cents: i64) -> Result<()> {
/// if cents < 0 {
///     return Err(not_retryable(anyhow!("{cents} cents cannot be charged")));
/// }
/// # Ok(()) }
/// ```
pub fn not_retryable(error: impl Into<Error>) -> Error {
    Marked { error: error.into(), says: Says::NotRetryable }.into()
}

/// Marks an error with how long to wait before the step that fails with it is tried again, whatever the step's own
/// waits are. It gives the step no more tries than it has. Its text stays the same.
///
/// An answer of 429 or 503 with a `Retry-After` that [`http::Response::error_for_status`] refused needs no mark.
///
/// ```no_run
/// # use relume::{Result, retry_after, time::minutes};
/// # use anyhow::anyhow;
/// # fn check(queue_is_full: bool) -> Result<()> {
/// if queue_is_full {
///     return Err(retry_after(minutes(5), anyhow!("the queue is full")));
/// }
/// # Ok(()) }
/// ```
pub fn retry_after(wait: Duration, error: impl Into<Error>) -> Error {
    Marked { error: error.into(), says: Says::RetryAfter(wait) }.into()
}

/// Whether the error, or one of its causes, is marked by [`not_retryable`].
pub(crate) fn is_not_retryable(error: &Error) -> bool {
    causes(error).iter().any(|cause| matches!(says(*cause), Some(Says::NotRetryable)))
}

/// The wait that the error, or the first of its causes that knows one, asks for.
pub(crate) fn wait_of(error: &Error) -> Option<Duration> {
    causes(error).iter().find_map(|cause| match says(*cause) {
        Some(Says::RetryAfter(wait)) => Some(wait),
        _ => cause.downcast_ref::<http::Error>().and_then(http::Error::retry_after),
    })
}

/// The first of the causes that is an `E`, the error itself included.
pub(crate) fn find<E: StdError + 'static>(error: &Error) -> Option<&E> {
    causes(error).into_iter().find_map(|cause| cause.downcast_ref())
}

/// The error and its causes. The chain goes on behind what is marked, and not through it, so both ways are taken.
fn causes(error: &Error) -> Vec<&(dyn StdError + 'static)> {
    let mut causes = vec![];
    for cause in error.chain() {
        causes.push(cause);
        if let Some(marked) = cause.downcast_ref::<Marked>() {
            causes.extend(self::causes(&marked.error));
        }
    }
    causes
}

fn says(cause: &(dyn StdError + 'static)) -> Option<Says> {
    cause.downcast_ref::<Marked>().map(|marked| marked.says)
}

/// An error that is marked. It stands for the error itself: the same text, the same causes.
struct Marked {
    error: Error,
    says: Says,
}

#[derive(Clone, Copy)]
enum Says {
    NotRetryable,
    RetryAfter(Duration),
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl StdError for Marked {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test] // R7, R23
    fn a_marked_error_keeps_its_text() {
        let error = Err::<(), _>(anyhow!("no such card")).context("the bank says no").expect_err("it is one");
        let error = not_retryable(error).context("the order failed");
        assert_eq!(format!("{error:#}"), "the order failed: the bank says no: no such card");
        assert!(is_not_retryable(&error));
        assert!(!is_not_retryable(&anyhow!("no such card")));
    }

    #[test] // R23
    fn the_outermost_wait_counts() {
        let error = retry_after(Duration::from_secs(5), anyhow!("busy"));
        assert_eq!(wait_of(&error), Some(Duration::from_secs(5)));
        let error = retry_after(Duration::from_secs(7), error.context("the bank does not answer"));
        assert_eq!(
            (wait_of(&error), format!("{error:#}").as_str()),
            (Some(Duration::from_secs(7)), "the bank does not answer: busy")
        );
        assert_eq!(wait_of(&anyhow!("busy")), None);
    }

    #[test] // R7, R23
    fn an_error_may_have_both_marks() {
        let error = not_retryable(retry_after(Duration::ZERO, anyhow!("no such card")));
        assert_eq!((is_not_retryable(&error), wait_of(&error)), (true, Some(Duration::ZERO)));
    }
}
