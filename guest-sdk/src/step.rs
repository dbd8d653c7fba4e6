//! What is executed once: [`step`] names a part of the program whose result the journal keeps.

use anyhow::anyhow;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::journal::{self, BeginOutcome};
use crate::entry;
use crate::run::short_type_name;

/// A step, by a name of 1 to 256 bytes. It does nothing before [`Step::run`].
///
/// A name may be used again, in a loop for instance: each use is a step of its own. Steps do not nest.
///
/// ```no_run
/// # use relume::{Result, step};
/// # fn main() -> Result<()> {
/// # let cents = 1;
/// # fn charge(cents: u64) -> Result<String> { Ok(String::new()) }
/// let payment = step("charge").run(|| charge(cents))?;
/// # Ok(()) }
/// ```
pub fn step(name: impl Into<String>) -> Step {
    Step { name: name.into() }
}

/// A step that has a name and waits for [`run`](Step::run).
#[derive(Debug)]
#[must_use = "a step does nothing before `run`"]
pub struct Step {
    name: String,
}

impl Step {
    /// Executes `body` and records its result, or returns the recorded result without executing it.
    ///
    /// Once this returns, the result survives every crash, and `body` is never executed again in this run. A crash
    /// before that means: executed again. What `body` asks others to do must therefore bear being asked twice.
    ///
    /// The journal keeps the result as JSON, at most 4 MiB, and the value returned is read from that JSON the first
    /// time too: a field that serde skips is never there.
    ///
    /// In a closure with `?`, name the error: `run(|| -> relume::Result<_> { .. })`.
    ///
    /// # Errors
    /// [`StepError`] when `body` fails, or its result cannot be written as JSON and read back. The failure is recorded,
    /// so that the program meets it again in every replay and may handle it by doing something else. If it does
    /// not and the run is retried, `body` is executed again.
    ///
    /// # Exits
    /// The program ends with an error when the recorded result is not a `T`: the type was changed after it was
    /// recorded. No handler may see this, or a fallback and a success could both happen.
    pub fn run<T, E>(self, body: impl FnOnce() -> Result<T, E>) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<anyhow::Error>,
    {
        match journal::begin(&self.name) {
            BeginOutcome::Replayed(json) => Ok(recorded(&self.name, &json)),
            BeginOutcome::Failed(error) => Err(error.into()),
            BeginOutcome::Live(open) => match execute(body) {
                Ok((value, json)) => {
                    journal::Step::finish(open, &json);
                    Ok(value)
                }
                Err(message) => Err(journal::Step::fail(open, &journal::Failure { message }).into()),
            },
        }
    }
}

/// The result of `body` and the JSON to record, or the message to record.
fn execute<T, E>(body: impl FnOnce() -> Result<T, E>) -> Result<(T, Vec<u8>), String>
where
    T: Serialize + DeserializeOwned,
    E: Into<anyhow::Error>,
{
    // One line with all causes. `{:?}` would add a backtrace, which differs from one execution to the next.
    let value = body().map_err(|error| format!("{:#}", error.into()))?;
    let json = serde_json::to_vec(&value).map_err(|e| format!("the result cannot be written as JSON: {e}"))?;
    let value = serde_json::from_slice(&json).map_err(|e| format!("the result cannot be read back from JSON: {e}"))?;
    Ok((value, json))
}

/// The result that the journal holds.
fn recorded<T: DeserializeOwned>(step: &str, json: &[u8]) -> T {
    serde_json::from_slice(json).unwrap_or_else(|error| {
        let result = short_type_name::<T>();
        entry::report(&anyhow!("the recorded result of step `{step}` is not a valid `{result}`: {error}"));
        std::process::exit(1)
    })
}

/// A step failed, and is not executed again in this attempt.
///
/// Unhandled, it ends the attempt `step_exhausted`. To be recognised it must be the error or one of its causes, which
/// [`anyhow::Context`] and `#[from]` see to and `#[error(transparent)]` does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step `{step}` failed: {message}")]
pub struct StepError {
    step: String,
    message: String,
}

impl StepError {
    /// The step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// What went wrong and its causes, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<journal::StepError> for StepError {
    fn from(error: journal::StepError) -> StepError {
        StepError { step: error.step, message: error.message }
    }
}

#[cfg(test)]
impl StepError {
    pub(crate) fn new(step: &str, message: &str) -> StepError {
        StepError { step: step.to_owned(), message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use serde::Deserialize;

    use super::*;

    #[test] // R20
    fn the_result_is_recorded_as_json() {
        let (value, json) = execute(|| anyhow::Ok(vec![1, 2])).expect("it succeeds");
        assert_eq!((value, json), (vec![1, 2], b"[1,2]".to_vec()));
    }

    #[test] // R20
    fn the_first_result_is_what_a_replay_would_return() {
        #[derive(Serialize, Deserialize)]
        struct Card {
            #[serde(skip)]
            number: u64,
        }
        let (card, _) = execute(|| anyhow::Ok(Card { number: 4242 })).expect("it succeeds");
        assert_eq!(card.number, 0);
    }

    #[test] // R25
    fn a_failure_is_recorded_with_its_causes_in_one_line() {
        let body = || -> anyhow::Result<()> { Err(anyhow!("no route")).context("cannot reach the bank") };
        assert_eq!(execute(body).expect_err("it fails"), "cannot reach the bank: no route");
    }

    #[test] // R25
    fn a_result_that_json_cannot_hold_is_a_failure() {
        let body = || anyhow::Ok(std::collections::BTreeMap::from([(vec![1], 2)]));
        let message = execute(body).expect_err("keys are strings");
        assert!(message.starts_with("the result cannot be written as JSON: key must be a string"), "{message}");
    }
}
