//! What happens around the user's `main`: input in, output or error out. `#[relume::main]` calls it.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::context::{self, Failure};
use crate::{StepError, logger, run};

/// The program around a `main` that takes the run's input.
pub fn with_input<T: DeserializeOwned, R: MainResult>(main: fn(T) -> R) -> ExitCode {
    logger::init();
    exit(run::input().and_then(|input| main(input).output()))
}

/// The program around a `main` that takes none.
pub fn without_input<R: MainResult>(main: fn() -> R) -> ExitCode {
    logger::init();
    exit(main().output())
}

/// What `main` may return.
#[diagnostic::on_unimplemented(
    message = "`main` cannot return `{Self}`",
    note = "it returns nothing or a `Result<U, E>`: `U` implements `serde::Serialize`, `E` becomes an `anyhow::Error`"
)]
pub trait MainResult {
    /// The run's output as JSON.
    fn output(self) -> anyhow::Result<Vec<u8>>;
}

impl MainResult for () {
    fn output(self) -> anyhow::Result<Vec<u8>> {
        Ok(NO_OUTPUT.to_vec())
    }
}

impl<U: Serialize, E: Into<anyhow::Error>> MainResult for Result<U, E> {
    fn output(self) -> anyhow::Result<Vec<u8>> {
        let output = self.map_err(Into::into)?;
        serde_json::to_vec(&output).map_err(|e| anyhow::anyhow!("the output cannot be written as JSON: {e}"))
    }
}

/// The JSON of `()` and `None`. It is not set as output, so that a program that returns nothing has none.
const NO_OUTPUT: &[u8] = b"null";

fn exit(outcome: anyhow::Result<Vec<u8>>) -> ExitCode {
    match outcome {
        Ok(output) => {
            if output != NO_OUTPUT {
                context::set_output(&output);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says to the log and to the host why the program will exit with a code other than 0.
pub(crate) fn report(error: &anyhow::Error) {
    eprintln!("Error: {error:#}");
    context::set_error(&failure(error));
    if not_retryable_cause(error).is_some() {
        context::set_not_retryable();
    }
}

/// Marks an error as one that another attempt would only meet again: a card that does not exist, an order that was
/// cancelled. Returned from `main`, it ends the run at once, whatever retries it has left. Its text stays the same.
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
pub fn not_retryable(error: impl Into<anyhow::Error>) -> anyhow::Error {
    NotRetryable(error.into()).into()
}

/// An error that is marked.
struct NotRetryable(anyhow::Error);

impl fmt::Debug for NotRetryable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for NotRetryable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for NotRetryable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

fn failure(error: &anyhow::Error) -> Failure {
    // The chain goes on behind what is marked, and not through it.
    let marked = not_retryable_cause(error).into_iter().flat_map(|error| error.0.chain());
    let step = error.chain().chain(marked).find_map(|cause| cause.downcast_ref::<StepError>());
    Failure { message: format!("{error:#}"), step: step.map(|error| error.step().to_owned()) }
}

fn not_retryable_cause(error: &anyhow::Error) -> Option<&NotRetryable> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test] // R25
    fn a_step_is_found_anywhere_in_the_chain() {
        let unhandled: Result<(), _> = Err(StepError::new("charge", "card declined"));
        let error = unhandled.context("the order failed").context("sorry").expect_err("it is one");
        let failure = failure(&error);
        assert_eq!(failure.step.as_deref(), Some("charge"));
        assert_eq!(failure.message, "sorry: the order failed: step `charge` failed: card declined");
    }

    #[test] // R2
    fn an_error_of_the_programs_own_names_no_step() {
        assert_eq!(failure(&anyhow::anyhow!("no such order")).step, None);
    }

    #[test] // R7
    fn a_marked_error_keeps_its_text_and_its_step() {
        let error = not_retryable(StepError::new("charge", "no such card")).context("the order failed");
        let failure = failure(&error);
        assert_eq!((not_retryable_cause(&error).is_some(), failure.step.as_deref()), (true, Some("charge")));
        assert_eq!(failure.message, "the order failed: step `charge` failed: no such card");
        assert!(not_retryable_cause(&anyhow::anyhow!("no such order")).is_none());
    }

    #[test] // R52
    fn the_output_is_json() {
        assert_eq!(anyhow::Ok(["a"]).output().expect("it is JSON"), br#"["a"]"#);
        assert_eq!(anyhow::Ok(()).output().expect("it is JSON"), NO_OUTPUT);
        assert_eq!(().output().expect("it is JSON"), NO_OUTPUT);
    }
}
