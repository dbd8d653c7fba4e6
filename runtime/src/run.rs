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

    /// The statuses of a run to which something may still happen.
    pub const ACTIVE: [Status; 5] =
        [Status::Scheduled, Status::Pending, Status::Starting, Status::Running, Status::Retrying];

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
        Status::ACTIVE.contains(&self)
    }
}

/// Every change of a run's status, and what makes it. The databases refuse all others, so that no mistake anywhere
/// can write one. A status that stays the same is no change: a run that is taken away stays `running`.
pub const EDGES: [(Status, Status, &str); 21] = [
    (Status::Scheduled, Status::Starting, "its time has come, and a worker fetches its code"),
    (Status::Scheduled, Status::Running, "its time has come, and a worker has it"),
    (Status::Scheduled, Status::Cancelled, "on request, or no worker came in time"),
    (Status::Pending, Status::Starting, "a worker has it, and fetches its code"),
    (Status::Pending, Status::Running, "a worker has it"),
    (Status::Pending, Status::Cancelled, "on request, or no worker came in time"),
    (Status::Starting, Status::Running, "its code is ready"),
    (Status::Starting, Status::Retrying, "its code could not be made ready"),
    (Status::Starting, Status::Errored, "its code could not be made ready, and no retries are left"),
    (Status::Starting, Status::Cancelled, "on request"),
    (Status::Running, Status::Starting, "another worker goes on with it, and fetches its code"),
    (Status::Running, Status::Retrying, "the attempt failed, and retries are left"),
    (Status::Running, Status::Exited, "the attempt ended well"),
    (Status::Running, Status::Crashed, "the attempt failed by the guest's fault, for good"),
    (Status::Running, Status::Errored, "the attempt failed by our fault, for good"),
    (Status::Running, Status::Cancelled, "on request"),
    (Status::Retrying, Status::Starting, "the wait is over, and a worker fetches its code"),
    (Status::Retrying, Status::Running, "the wait is over, and a worker has it"),
    (Status::Retrying, Status::Crashed, "the wait is over, and the app is disabled"),
    (Status::Retrying, Status::Errored, "the wait is over, and the app is disabled"),
    (Status::Retrying, Status::Cancelled, "on request"),
];

/// How an attempt that came to its end ended, and a run with it when nothing follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Well.
    Exited,
    /// By the guest's fault.
    Crashed,
    /// By our fault.
    Errored,
}

impl Verdict {
    /// The status of that name.
    pub fn status(self) -> Status {
        match self {
            Verdict::Exited => Status::Exited,
            Verdict::Crashed => Status::Crashed,
            Verdict::Errored => Status::Errored,
        }
    }
}

/// Why a run ended although something else was to be expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBecause {
    /// Its app was disabled when the next attempt was due, or when the last one failed. Source: R8.
    AppDisabled,
    /// The program said that another attempt makes no sense. Source: R7.
    NotRetryable,
    /// No worker took it in time.
    PendingTimeout,
}

impl EndedBecause {
    /// Every reason.
    pub const ALL: [EndedBecause; 3] =
        [EndedBecause::AppDisabled, EndedBecause::NotRetryable, EndedBecause::PendingTimeout];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            EndedBecause::AppDisabled => "app_disabled",
            EndedBecause::NotRetryable => "not_retryable",
            EndedBecause::PendingTimeout => "pending_timeout",
        }
    }

    /// The reason that `word` names.
    pub fn from_word(word: &str) -> Option<EndedBecause> {
        EndedBecause::ALL.into_iter().find(|reason| reason.as_str() == word)
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

    /// Whose fault it was: [`Verdict::Crashed`] the guest's, [`Verdict::Errored`] ours. Source: R2.
    pub fn verdict(self) -> Verdict {
        match self {
            FailureKind::Host | FailureKind::Panic | FailureKind::Artifact => Verdict::Errored,
            FailureKind::Exit
            | FailureKind::Error
            | FailureKind::Trap
            | FailureKind::Fuel
            | FailureKind::Memory
            | FailureKind::Stack
            | FailureKind::Timeout
            | FailureKind::StepExhausted
            | FailureKind::Divergence => Verdict::Crashed,
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
    /// With an error of which the program says that another attempt makes no sense. Source: R7.
    NotRetryable { failure: Failure, exit_code: Option<i32> },
}

impl Outcome {
    /// The end of an attempt to which nothing but its failure belongs.
    pub fn failed(kind: FailureKind, message: impl Into<String>) -> Outcome {
        Outcome::Failed { failure: Failure::new(kind, message), exit_code: None }
    }

    /// The attempt's final status.
    pub fn verdict(&self) -> Verdict {
        match self {
            Outcome::Exited { .. } => Verdict::Exited,
            Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. } => failure.kind.verdict(),
        }
    }
}

/// What [`settle`] needs to know of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The attempt that ended, from 1.
    pub attempt: u32,
    /// The policy copied onto the run when it was started.
    pub policy: RetryPolicy,
}

/// What becomes of the run. It cannot say what is no edge of [`EDGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It takes the attempt's status; `because` says why retries that were left do not happen.
    Finish { because: Option<EndedBecause> },
    /// Another attempt begins, `after` the end of this one. `forget_failed_step` removes the
    /// failure that ended the attempt from the journal, so that the step is executed again.
    /// If the app is disabled, the store finishes the run instead. Source: R8.
    Retry { after: Duration, forget_failed_step: bool },
}

/// What follows from the end of an attempt. Source: R6, R7.
pub fn settle(state: State, outcome: &Outcome) -> Change {
    let retry = state.policy.delay_before(state.attempt);
    match (outcome, retry) {
        (Outcome::Failed { failure, .. }, Some(after)) => {
            Change::Retry { after, forget_failed_step: failure.kind == FailureKind::StepExhausted }
        }
        (Outcome::NotRetryable { .. }, Some(_)) => Change::Finish { because: Some(EndedBecause::NotRetryable) },
        (Outcome::Exited { .. }, _) | (_, None) => Change::Finish { because: None },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FINISH: Change = Change::Finish { because: None };

    fn check(attempt: u32, max_retries: u32, kind: FailureKind, expected: Change) {
        let policy = RetryPolicy { max_retries, delay: Duration::from_secs(30), exponential: true };
        assert_eq!(settle(State { attempt, policy }, &Outcome::failed(kind, "for the test")), expected);
    }

    fn retry(seconds: u64) -> Change {
        Change::Retry { after: Duration::from_secs(seconds), forget_failed_step: false }
    }

    #[test] // R2
    fn a_guests_fault_is_crashed_and_ours_is_errored() {
        assert_eq!(Outcome::failed(FailureKind::Trap, "").verdict(), Verdict::Crashed);
        assert_eq!(Outcome::failed(FailureKind::Host, "").verdict(), Verdict::Errored);
        assert_eq!(Outcome::Exited { output: None }.verdict(), Verdict::Exited);
    }

    #[test] // R6, R7
    fn both_are_retried_while_retries_are_left() {
        check(1, 0, FailureKind::Trap, FINISH);
        check(1, 2, FailureKind::Exit, retry(30));
        check(2, 2, FailureKind::Host, retry(60));
        check(3, 2, FailureKind::Exit, FINISH);
    }

    #[test] // R7
    fn success_is_never_retried() {
        let policy = RetryPolicy { max_retries: 5, ..RetryPolicy::default() };
        assert_eq!(settle(State { attempt: 1, policy }, &Outcome::Exited { output: None }), FINISH);
    }

    #[test] // R7
    fn an_error_that_is_not_retryable_ends_the_run_and_says_so_if_retries_were_left() {
        let outcome =
            Outcome::NotRetryable { failure: Failure::new(FailureKind::Error, "no such card"), exit_code: Some(1) };
        let policy = RetryPolicy { max_retries: 1, ..RetryPolicy::default() };
        let because = Some(EndedBecause::NotRetryable);
        assert_eq!(settle(State { attempt: 1, policy }, &outcome), Change::Finish { because });
        assert_eq!(settle(State { attempt: 2, policy }, &outcome), FINISH);
    }

    #[test] // R6, R25
    fn a_step_that_ended_the_attempt_is_executed_again_by_the_next() {
        let after = Duration::from_secs(30);
        check(1, 1, FailureKind::StepExhausted, Change::Retry { after, forget_failed_step: true });
    }

    #[test] // R1
    fn a_final_status_is_never_left_and_each_active_one_can_be_cancelled() {
        for status in Status::ALL {
            let leaves = EDGES.iter().any(|(from, ..)| *from == status);
            let can_be_cancelled = EDGES.iter().any(|(from, to, _)| (*from, *to) == (status, Status::Cancelled));
            assert_eq!((leaves, can_be_cancelled), (status.is_active(), status.is_active()), "{status:?}");
        }
    }

    #[test]
    fn words_name_what_they_are_made_from() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), Some(status));
        }
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::from_word(kind.as_str()), Some(kind));
        }
        for reason in EndedBecause::ALL {
            assert_eq!(EndedBecause::from_word(reason.as_str()), Some(reason));
        }
    }

    fn any_policy() -> impl Strategy<Value = RetryPolicy> {
        (0..=10_u32, 0..=3600_u64, any::<bool>()).prop_map(|(max_retries, seconds, exponential)| RetryPolicy {
            max_retries,
            delay: Duration::from_secs(seconds),
            exponential,
        })
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        let kind = proptest::sample::select(FailureKind::ALL.to_vec());
        prop_oneof![
            1 => Just(Outcome::Exited { output: None }),
            8 => kind.prop_map(|kind| Outcome::failed(kind, "for the test")),
            1 => Just(Outcome::NotRetryable { failure: Failure::new(FailureKind::Error, ""), exit_code: Some(1) }),
        ]
    }

    proptest! {
        #[test] // R3, R4, R6, R7
        fn whatever_the_attempts_do_there_are_no_more_than_allowed_and_each_wait_is_exact(
            policy in any_policy(),
            outcomes in proptest::collection::vec(any_outcome(), 12),
        ) {
            let mut attempt = 0;
            for outcome in &outcomes {
                attempt += 1;
                prop_assert!(attempt <= policy.max_retries + 1);
                match settle(State { attempt, policy }, outcome) {
                    Change::Retry { after, .. } => {
                        let doublings = if policy.exponential { attempt - 1 } else { 0 };
                        let seconds = (policy.delay.as_secs() << doublings).min(3600);
                        prop_assert_eq!(after, Duration::from_secs(seconds));
                        prop_assert!(outcome.verdict() != Verdict::Exited);
                    }
                    Change::Finish { because } => {
                        let is_last = attempt == policy.max_retries + 1 || outcome.verdict() == Verdict::Exited;
                        prop_assert_eq!(because.is_none(), is_last);
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "12 attempts, and no end");
        }
    }
}
