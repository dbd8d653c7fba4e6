//! What is executed until it succeeds, and then never again: [`step`] names a part of the program whose result the
//! journal keeps.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Error, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::journal::{
    self, BeginOutcome, Delays, Exponential, FailOutcome, Failure, Linear, StepOptions,
};
use crate::run::short_type_name;
use crate::seeds;
use crate::time::whole_millis;
use crate::{entry, mark};

/// A step, by a name of 1 to 256 bytes. It does nothing before [`Step::run`].
///
/// A name may be used again, in a loop for instance: each use is a step of its own. Steps do not nest, and what waits
/// durably, such as [`sleep`](crate::sleep), does so outside of them.
///
/// A step that fails is executed again: up to 10 times in all, after 1 second, then 2, 4, and so on up to 100 seconds,
/// unless it says otherwise. While it waits for long, the program is not held in memory.
///
/// ```no_run
/// # use relume::{Result, step, time::secs};
/// # fn main() -> Result<()> {
/// # let cents = 1;
/// # fn quote() -> Result<u64> { Ok(1) }
/// # fn charge(cents: u64) -> Result<String> { Ok(String::new()) }
/// let cents = step("quote").run(quote)?;
/// let payment = step("charge").attempts(5).backoff(secs(1)..secs(30)).run(|| charge(cents))?;
/// # Ok(()) }
/// ```
pub fn step(name: impl Into<String>) -> Step {
    let delays = Delays::Exponential(DEFAULT_BACKOFF);
    let options = StepOptions { maximum_attempts: DEFAULT_ATTEMPTS, delays, at_most_once: false, given: None };
    Step { name: name.into(), options, invalid: None }
}

/// How often a step is executed in all, unless it says otherwise. Source: OpenWorkflow, as the next.
const DEFAULT_ATTEMPTS: u32 = 10;
/// When it is, unless it says otherwise.
const DEFAULT_BACKOFF: Exponential = Exponential { initial_ms: 1_000, coefficient: 2.0, maximum_ms: 100_000 };

/// A step that has a name and waits for [`run`](Step::run).
///
/// What it does not say is as [`step`] describes it. Its waits are of one kind: if it names several, the last counts.
/// Steps whose options make no sense, a `linear` that falls for instance, end the attempt.
#[derive(Debug, Clone)]
#[must_use = "a step does nothing before `run`"]
pub struct Step {
    name: String,
    options: StepOptions,
    /// Why the step cannot be executed, whatever its body does.
    invalid: Option<String>,
}

impl Step {
    /// Sets how often the step may be executed in all, in one attempt of the run. 1 is without retries; 0 is without a
    /// limit of its own, so that `limits.step_attempts` of the app's `relume.toml` is the only one.
    pub fn attempts(mut self, attempts: u32) -> Step {
        self.options.maximum_attempts = attempts;
        self
    }

    /// Waits that grow: the first is the start of `waits`, each is twice the one before, and none exceeds the end.
    pub fn backoff(self, waits: Range<Duration>) -> Step {
        self.initial_interval(waits.start).maximum_interval(waits.end)
    }

    /// Sets the first of the waits that grow.
    pub fn initial_interval(mut self, wait: Duration) -> Step {
        self.exponential().initial_ms = whole_millis(wait);
        self
    }

    /// Sets what each of the waits that grow is multiplied with to give the next, at least 1.
    pub fn coefficient(mut self, coefficient: f64) -> Step {
        self.exponential().coefficient = coefficient;
        self
    }

    /// Sets the longest of the waits that grow. A first wait that is longer is shortened to it.
    pub fn maximum_interval(mut self, wait: Duration) -> Step {
        self.exponential().maximum_ms = whole_millis(wait);
        self
    }

    /// `retries` retries, so `retries + 1` attempts, after waits that go from `first` to `last` in equal parts. A
    /// single retry waits `first`.
    ///
    /// ```no_run
    /// # use relume::{step, time::secs};
    /// // Executed at once, and again after 300, 375, 450, 525 and 600 seconds.
    /// step("report").linear(5, secs(300), secs(600))
    /// # .run(|| anyhow::Ok(())).ok();
    /// ```
    pub fn linear(mut self, retries: u32, first: Duration, last: Duration) -> Step {
        let (first_ms, last_ms) = (whole_millis(first), whole_millis(last));
        self.options.delays = Delays::Linear(Linear { first_ms, last_ms });
        self.attempts(retries.saturating_add(1))
    }

    /// The same wait after each failure.
    pub fn fixed(mut self, wait: Duration) -> Step {
        self.options.delays = Delays::Fixed(whole_millis(wait));
        self
    }

    /// No wait after a failure.
    pub fn immediate(self) -> Step {
        self.fixed(Duration::ZERO)
    }

    /// For what must not happen twice and knows no `Idempotency-Key`: the step is begun once. If a crash leaves it
    /// unknown whether it ended, it is not executed again, and the program decides:
    /// [`StepError::is_indeterminate`].
    ///
    /// Nor is it executed again when it fails, unless [`attempts`](Step::attempts) comes after this.
    pub fn at_most_once(mut self) -> Step {
        self.options.at_most_once = true;
        self.attempts(1)
    }

    /// Says what the step depends on. In a replay it has to be the same, or the program has changed in a way that its
    /// journal does not bear: it then ends with a report of the difference, where it would otherwise go on with a
    /// result that does not fit.
    ///
    /// ```no_run
    /// # use relume::step;
    /// # fn charge(cents: u64) -> relume::Result<String> { Ok(String::new()) }
    /// # fn main() -> relume::Result<()> {
    /// # let cents = 1;
    /// let payment = step("charge").given(&cents).run(|| charge(cents))?;
    /// # Ok(()) }
    /// ```
    pub fn given(mut self, value: &(impl Serialize + ?Sized)) -> Step {
        match serde_json::to_vec(value) {
            Ok(json) => self.options.given = Some(json),
            Err(e) => self.invalid = Some(format!("what it is given cannot be written as JSON: {e}")),
        }
        self
    }

    fn exponential(&mut self) -> &mut Exponential {
        if !matches!(self.options.delays, Delays::Exponential(_)) {
            self.options.delays = Delays::Exponential(DEFAULT_BACKOFF);
        }
        match &mut self.options.delays {
            Delays::Exponential(exponential) => exponential,
            Delays::Linear(_) | Delays::Fixed(_) => unreachable!("they were just replaced"),
        }
    }

    /// Executes `body` until it succeeds or its attempts are used up, and records its result; or returns the recorded
    /// result without executing it.
    ///
    /// Once this returns, the result survives every crash, and `body` is never executed again in this run. A crash
    /// before that means: executed again. What `body` asks others to do must therefore bear being asked twice.
    ///
    /// The journal keeps the result as JSON, at most 4 MiB, and the value returned is read from that JSON the first
    /// time too: a field that serde skips is never there. Nothing else may leave `body`: a replay skips it, and with it
    /// whatever it does to the variables around it.
    ///
    /// In a closure with `?`, name the error: `run(|| -> relume::Result<_> { .. })`.
    ///
    /// # Errors
    /// [`StepError`] when `body` has failed for the last time: its attempts are used up, or its error was marked as
    /// [`not_retryable`](crate::not_retryable). A result that cannot be written as JSON and read back is such an error,
    /// too. The failure is recorded, so that the program meets it again in every replay and may handle it by doing
    /// something else. If it does not and the run is retried, `body` is executed again.
    ///
    /// # Exits
    /// The program ends with an error when the recorded result is not a `T`: the type was changed after it was
    /// recorded. No handler may see this, or a fallback and a success could both happen.
    pub fn run<T, E>(self, mut body: impl FnMut() -> Result<T, E>) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Error>,
    {
        let mut open = match journal::begin(&self.name, &self.options) {
            BeginOutcome::Replayed(result) => {
                seeds::skip(result.seeds);
                return Ok(recorded(&self.name, &result.output));
            }
            BeginOutcome::Failed(error) => {
                seeds::skip(error.seeds);
                return Err(error.into());
            }
            BeginOutcome::Live(open) => open,
        };
        let mark = seeds::Mark::new();
        loop {
            let result = match &self.invalid {
                None => execute(&mut body),
                Some(why) => Err(final_failure(why.clone())),
            };
            // Before the result is read back, which a replay does too.
            let seeds = mark.taken();
            let failure = match result.and_then(|json| Ok((read_back(&json)?, json))) {
                Ok((value, json)) => {
                    journal::Step::finish(open, &json, seeds);
                    return Ok(value);
                }
                Err(failure) => Failure { seeds: mark.taken(), ..failure },
            };
            open = match journal::Step::fail(open, &failure) {
                FailOutcome::Again(open) => open,
                FailOutcome::Exhausted(error) => return Err(error.into()),
            }
        }
    }
}

/// The JSON to record of the result of `body`, or the failure to record.
fn execute<T, E>(body: impl FnOnce() -> Result<T, E>) -> Result<Vec<u8>, Failure>
where
    T: Serialize,
    E: Into<Error>,
{
    let value = body().map_err(|error| failure(&error.into()))?;
    serde_json::to_vec(&value).map_err(|e| final_failure(format!("the result cannot be written as JSON: {e}")))
}

fn read_back<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|e| final_failure(format!("the result cannot be read back from JSON: {e}")))
}

fn failure(error: &Error) -> Failure {
    // One line with all causes. `{:?}` would add a backtrace, which differs from one execution to the next.
    let message = format!("{error:#}");
    let retry_after_ms = mark::wait_of(error).map(whole_millis);
    Failure { message, retryable: !mark::is_not_retryable(error), retry_after_ms, seeds: 0 }
}

/// A failure after which the body is not executed again: it did its work, or would only meet the same.
fn final_failure(message: String) -> Failure {
    Failure { message, retryable: false, retry_after_ms: None, seeds: 0 }
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
#[error("step `{step}`{} {message}", if *.indeterminate { ":" } else { " failed:" })]
pub struct StepError {
    step: String,
    message: String,
    indeterminate: bool,
}

impl StepError {
    /// The step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// What went wrong the last time and its causes, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether it is unknown if the step ended, and with what: it was to be executed
    /// [at most once](Step::at_most_once), and a crash came in between. The program may ask the receiver.
    pub fn is_indeterminate(&self) -> bool {
        self.indeterminate
    }
}

impl From<journal::StepError> for StepError {
    fn from(error: journal::StepError) -> StepError {
        StepError { step: error.step, message: error.message, indeterminate: error.indeterminate }
    }
}

#[cfg(test)]
impl StepError {
    pub(crate) fn new(step: &str, message: &str) -> StepError {
        StepError { step: step.to_owned(), message: message.to_owned(), indeterminate: false }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use serde::Deserialize;

    use super::*;
    use crate::time::secs;
    use crate::{not_retryable, retry_after};

    #[test] // R20
    fn the_result_is_recorded_as_json() {
        let json = execute(|| anyhow::Ok(vec![1, 2])).expect("it succeeds");
        assert_eq!(json, b"[1,2]");
    }

    #[test] // R20
    fn the_first_result_is_what_a_replay_would_return() {
        #[derive(Serialize, Deserialize)]
        struct Card {
            #[serde(skip)]
            number: u64,
        }
        let json = execute(|| anyhow::Ok(Card { number: 4242 })).expect("it succeeds");
        let card: Card = read_back(&json).expect("it is JSON");
        assert_eq!(card.number, 0);
    }

    fn failure_of<T: Serialize + DeserializeOwned>(body: impl FnOnce() -> anyhow::Result<T>) -> Failure {
        execute(body).expect_err("it fails")
    }

    #[test] // R25
    fn a_failure_is_recorded_with_its_causes_in_one_line() {
        let failure =
            failure_of(|| -> anyhow::Result<()> { Err(anyhow!("no route")).context("cannot reach the bank") });
        assert_eq!(failure.message, "cannot reach the bank: no route");
        assert_eq!((failure.retryable, failure.retry_after_ms), (true, None));
    }

    #[test] // R25
    fn a_result_that_json_cannot_hold_is_a_failure_for_good() {
        let failure = failure_of(|| anyhow::Ok(std::collections::BTreeMap::from([(vec![1], 2)])));
        assert!(failure.message.starts_with("the result cannot be written as JSON: key must be"), "{failure:?}");
        assert!(!failure.retryable);
    }

    #[test] // R23
    fn a_failure_says_what_its_error_is_marked_with() {
        let body = || -> anyhow::Result<()> { Err(not_retryable(anyhow!("no such card"))).context("no payment") };
        assert!(!failure_of(body).retryable);
        let body = || -> anyhow::Result<()> { Err(retry_after(Duration::from_micros(1500), anyhow!("busy"))) };
        assert_eq!(failure_of(body).retry_after_ms, Some(2));
    }

    fn check_delays(step: Step, attempts: u32, delays: &str) {
        assert_eq!((step.options.maximum_attempts, format!("{:?}", step.options.delays).as_str()), (attempts, delays));
    }

    fn exponential(initial_ms: u64, coefficient: f64, maximum_ms: u64) -> String {
        format!("{:?}", Delays::Exponential(Exponential { initial_ms, coefficient, maximum_ms }))
    }

    #[test] // R21
    fn each_part_of_a_backoff_can_be_set_alone() {
        let step = || step("charge");
        check_delays(step(), 10, &exponential(1000, 2.0, 100_000));
        check_delays(step().attempts(0), 0, &exponential(1000, 2.0, 100_000));
        check_delays(step().initial_interval(secs(5)), 10, &exponential(5000, 2.0, 100_000));
        check_delays(step().coefficient(1.5), 10, &exponential(1000, 1.5, 100_000));
        check_delays(step().maximum_interval(secs(5)), 10, &exponential(1000, 2.0, 5000));
        check_delays(step().backoff(secs(2)..secs(30)).coefficient(3.0), 10, &exponential(2000, 3.0, 30_000));
    }

    #[test] // R22
    fn of_several_kinds_of_waits_the_last_counts() {
        let linear = format!("{:?}", Delays::Linear(Linear { first_ms: 300_000, last_ms: 600_000 }));
        check_delays(step("report").coefficient(3.0).linear(5, secs(300), secs(600)), 6, &linear);
        check_delays(step("report").linear(5, secs(1), secs(2)).immediate(), 6, &format!("{:?}", Delays::Fixed(0)));
        check_delays(step("report").fixed(secs(1)).coefficient(3.0), 10, &exponential(1000, 3.0, 100_000));
    }

    #[test] // R41
    fn a_step_to_be_begun_once_is_not_retried_unless_it_says_so() {
        assert_eq!(step("pay").attempts(5).at_most_once().options.maximum_attempts, 1);
        assert_eq!(step("pay").at_most_once().attempts(5).options.maximum_attempts, 5);
    }

    #[test] // R41
    fn an_error_says_whether_the_outcome_is_unknown() {
        let error = StepError { indeterminate: true, ..StepError::new("pay", "whether it ended is unknown") };
        assert_eq!(error.to_string(), "step `pay`: whether it ended is unknown");
    }

    #[test] // R20
    fn what_a_step_is_given_is_json() {
        assert_eq!(step("pay").given(&("Ada", 7)).options.given.as_deref(), Some(&br#"["Ada",7]"#[..]));
        let step = step("pay").given(&std::collections::BTreeMap::from([(vec![1], 2)]));
        assert!(step.invalid.is_some_and(|why| why.starts_with("what it is given cannot be written as JSON")));
    }
}
