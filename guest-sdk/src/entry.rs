//! What happens around the user's `main`: input in, output or error out. `#[relume::main]` calls it.

use std::process::ExitCode;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::context::{self, Failure};
use crate::{StepError, logger, mark, run, seeds};

/// The program around a `main` that takes the run's input.
pub fn with_input<T: DeserializeOwned, R: MainResult>(main: fn(T) -> R) -> ExitCode {
    init();
    exit(run::input().and_then(|input| main(input).output()))
}

/// The program around a `main` that takes none.
pub fn without_input<R: MainResult>(main: fn() -> R) -> ExitCode {
    init();
    exit(main().output())
}

fn init() {
    seeds::init();
    logger::init();
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
    if mark::is_not_retryable(error) {
        context::set_not_retryable();
    }
}

fn failure(error: &anyhow::Error) -> Failure {
    let step = mark::find::<StepError>(error);
    Failure { message: format!("{error:#}"), step: step.map(|error| error.step().to_owned()) }
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
        let error = mark::not_retryable(StepError::new("charge", "no such card")).context("the order failed");
        let failure = failure(&error);
        assert_eq!((mark::is_not_retryable(&error), failure.step.as_deref()), (true, Some("charge")));
        assert_eq!(failure.message, "the order failed: step `charge` failed: no such card");
    }

    #[test] // R52
    fn the_output_is_json() {
        assert_eq!(anyhow::Ok(["a"]).output().expect("it is JSON"), br#"["a"]"#);
        assert_eq!(anyhow::Ok(()).output().expect("it is JSON"), NO_OUTPUT);
        assert_eq!(().output().expect("it is JSON"), NO_OUTPUT);
    }
}
