//! What is a run, and what follows from an outcome? [`settle`] takes the state of a run and how
//! its attempt ended, and returns the [`Change`] for the store to write. Nothing here reads a
//! clock, touches a database or knows of HTTP.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// Where a run stands. The first five are active: something may still happen to the run.
/// Source: R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits for its start time.
    Scheduled,
    /// Waits for a worker.
    Pending,
    /// A worker has it, and is fetching or compiling the app's code.
    Starting,
    /// A worker executes it, or it has been taken from a lost worker and waits for another.
    Running,
    /// Its last attempt failed; the next one is due at a known time.
    Retrying,
    /// Ended well.
    Exited,
    /// Ended by the guest's fault.
    Crashed,
    /// Ended by our fault.
    Errored,
    /// Ended on request.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a run's life.
    pub const ALL: [Status; 9] = [
        Status::Scheduled,
        Status::Pending,
        Status::Starting,
        Status::Running,
        Status::Retrying,
        Status::Exited,
        Status::Crashed,
        Status::Errored,
        Status::Cancelled,
    ];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Scheduled => "scheduled",
            Status::Pending => "pending",
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Retrying => "retrying",
            Status::Exited => "exited",
            Status::Crashed => "crashed",
            Status::Errored => "errored",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status that `word` names.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether something may still happen to the run.
    pub fn is_active(self) -> bool {
        !matches!(self, Status::Exited | Status::Crashed | Status::Errored | Status::Cancelled)
    }
}

/// Why an attempt failed, one word of DESIGN's table of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The program exited with a code other than 0.
    Exit,
    /// `main` returned an error.
    Error,
    /// WebAssembly trapped: unreachable, out of bounds, division by zero ...
    Trap,
    /// The fuel of the attempt ran out.
    Fuel,
    /// Memory, tables or handles over the limit.
    Memory,
    /// The stack overflowed.
    Stack,
    /// The running time was used up, be it in a call to the host.
    Timeout,
    /// A step failed for good, and the program did not handle it.
    StepExhausted,
    /// On replay the program asked for something other than the journal holds.
    Divergence,
    /// The store or another part of the host failed.
    Host,
    /// The host panicked.
    Panic,
    /// The app's code could not be read.
    Artifact,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 12] = [
        FailureKind::Exit,
        FailureKind::Error,
        FailureKind::Trap,
        FailureKind::Fuel,
        FailureKind::Memory,
        FailureKind::Stack,
        FailureKind::Timeout,
        FailureKind::StepExhausted,
        FailureKind::Divergence,
        FailureKind::Host,
        FailureKind::Panic,
        FailureKind::Artifact,
    ];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Exit => "exit",
            FailureKind::Error => "error",
            FailureKind::Trap => "trap",
            FailureKind::Fuel => "fuel",
            FailureKind::Memory => "memory",
            FailureKind::Stack => "stack",
            FailureKind::Timeout => "timeout",
            FailureKind::StepExhausted => "step_exhausted",
            FailureKind::Divergence => "divergence",
            FailureKind::Host => "host",
            FailureKind::Panic => "panic",
            FailureKind::Artifact => "artifact",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<FailureKind> {
        FailureKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whose fault it was: [`Status::Crashed`] the guest's, [`Status::Errored`] ours. Source: R2.
    pub fn status(self) -> Status {
        match self {
            FailureKind::Host | FailureKind::Panic | FailureKind::Artifact => Status::Errored,
            FailureKind::Exit
            | FailureKind::Error
            | FailureKind::Trap
            | FailureKind::Fuel
            | FailureKind::Memory
            | FailureKind::Stack
            | FailureKind::Timeout
            | FailureKind::StepExhausted
            | FailureKind::Divergence => Status::Crashed,
        }
    }
}

/// What is kept of a failed attempt beside its status. Source: R2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// For a person: what happened, and its causes.
    pub message: String,
    /// The guest's stack, innermost frame first, where there is one.
    pub backtrace: Option<String>,
}

impl Failure {
    /// A failure without a backtrace.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), backtrace: None }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0; `output` is what the program set, if it did.
    Exited { output: Option<Vec<u8>> },
    /// Otherwise; `exit_code` is there when the program chose one. Source: R10.
    Failed { failure: Failure, exit_code: Option<i32> },
}

/// What [`settle`] needs to know of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The attempt that ended, from 1.
    pub attempt: u32,
    /// The policy copied onto the run when it was started.
    pub policy: RetryPolicy,
}

/// What becomes of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is over.
    Finish(Status),
    /// Another attempt begins, `after` the end of this one. `forget_failed_step` removes the
    /// failure that ended the attempt from the journal, so that the step is executed again.
    Retry { after: Duration, forget_failed_step: bool },
}

/// What follows from the end of an attempt. Source: R6, R7.
pub fn settle(state: State, outcome: &Outcome) -> Change {
    let failure = match outcome {
        Outcome::Exited { .. } => return Change::Finish(Status::Exited),
        Outcome::Failed { failure, .. } => failure,
    };
    match state.policy.delay_before(state.attempt) {
        Some(after) => {
            let forget_failed_step = failure.kind == FailureKind::StepExhausted;
            Change::Retry { after, forget_failed_step }
        }
        None => Change::Finish(failure.kind.status()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempt: u32, max_retries: u32, kind: FailureKind, expected: Change) {
        let policy = RetryPolicy { max_retries, delay: Duration::from_secs(30), exponential: true };
        let outcome = Outcome::Failed { failure: Failure::new(kind, "for the test"), exit_code: None };
        assert_eq!(settle(State { attempt, policy }, &outcome), expected);
    }

    fn retry(seconds: u64) -> Change {
        Change::Retry { after: Duration::from_secs(seconds), forget_failed_step: false }
    }

    #[test] // R2
    fn a_guests_fault_is_crashed_and_ours_is_errored() {
        check(1, 0, FailureKind::Trap, Change::Finish(Status::Crashed));
        check(1, 0, FailureKind::Host, Change::Finish(Status::Errored));
    }

    #[test] // R6, R7
    fn both_are_retried_while_retries_are_left() {
        check(1, 2, FailureKind::Exit, retry(30));
        check(2, 2, FailureKind::Host, retry(60));
        check(3, 2, FailureKind::Exit, Change::Finish(Status::Crashed));
    }

    #[test] // R7
    fn success_is_never_retried() {
        let policy = RetryPolicy { max_retries: 5, ..RetryPolicy::default() };
        let outcome = Outcome::Exited { output: None };
        assert_eq!(settle(State { attempt: 1, policy }, &outcome), Change::Finish(Status::Exited));
    }

    #[test] // R6, R25
    fn a_step_that_ended_the_attempt_is_executed_again_by_the_next() {
        let after = Duration::from_secs(30);
        check(1, 1, FailureKind::StepExhausted, Change::Retry { after, forget_failed_step: true });
    }

    #[test]
    fn words_name_what_they_are_made_from() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), Some(status));
        }
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::from_word(kind.as_str()), Some(kind));
        }
    }
}
