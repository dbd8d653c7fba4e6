//! What is a run, and what follows from an outcome? [`settle`] takes the state of a run and how
//! its attempt ended, and returns the [`Change`] for the store to write. Nothing here reads a
//! clock, touches a database or knows of HTTP.

mod failure;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::failure::{Failure, FailureKind};
use crate::retry::RetryPolicy;

/// Where a run stands. The first five are active: something may still happen to the run.
/// Source: R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
pub const EDGES: [(Status, Status, &str); 23] = [
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
    (Status::Crashed, Status::Retrying, "somebody asked for another attempt"),
    (Status::Errored, Status::Retrying, "somebody asked for another attempt"),
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
    /// The next attempt would begin at its deadline or later. Source: R28.
    Deadline,
    /// It has made as many step attempts as it may. Source: R27.
    StepLimit,
}

impl EndedBecause {
    /// Every reason.
    pub const ALL: [EndedBecause; 5] = [
        EndedBecause::AppDisabled,
        EndedBecause::NotRetryable,
        EndedBecause::PendingTimeout,
        EndedBecause::Deadline,
        EndedBecause::StepLimit,
    ];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            EndedBecause::AppDisabled => "app_disabled",
            EndedBecause::NotRetryable => "not_retryable",
            EndedBecause::PendingTimeout => "pending_timeout",
            EndedBecause::Deadline => "deadline",
            EndedBecause::StepLimit => "step_limit",
        }
    }

    /// The reason that `word` names.
    pub fn from_word(word: &str) -> Option<EndedBecause> {
        EndedBecause::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How long until the run's deadline, if it has one. Source: R28.
    pub until_deadline: Option<Duration>,
}

/// What becomes of the run. It cannot say what is no edge of [`EDGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It takes the attempt's status; `because` says why retries that were left do not happen.
    Finish { because: Option<EndedBecause> },
    /// Another attempt begins, `after` the end of this one. `reopen_failed_step` makes of the
    /// failure that ended the attempt a step that is to be executed, with all its tries.
    /// If the app is disabled, the store finishes the run instead. Source: R8.
    Retry { after: Duration, reopen_failed_step: bool },
}

/// What follows from the end of an attempt. Source: R6, R7, R28.
pub fn settle(state: State, outcome: &Outcome) -> Change {
    let Some(after) = state.policy.delay_before(state.attempt) else { return Change::Finish { because: None } };
    let failure = match outcome {
        Outcome::Exited { .. } => return Change::Finish { because: None },
        Outcome::NotRetryable { .. } => return Change::Finish { because: Some(EndedBecause::NotRetryable) },
        Outcome::Failed { failure, .. } => failure,
    };
    match failure.kind {
        FailureKind::StepLimit => Change::Finish { because: Some(EndedBecause::StepLimit) },
        FailureKind::Deadline => Change::Finish { because: Some(EndedBecause::Deadline) },
        _ if state.until_deadline.is_some_and(|left| after >= left) => {
            Change::Finish { because: Some(EndedBecause::Deadline) }
        }
        kind => Change::Retry { after, reopen_failed_step: kind == FailureKind::StepExhausted },
    }
}

/// What becomes of an attempt that was interrupted while its program ran. Source: R40, R41.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterInterruption {
    /// It goes on in another worker.
    Resume,
    /// It ends `worker_lost`.
    Fail,
}

/// How often in a row an attempt goes on after the loss of its worker without a new journal entry in between. Source: R40.
pub const MAX_FRUITLESS_RECOVERIES: u32 = 3;

/// Whether an attempt goes on after an interruption. `losses` counts those in a row that were the death of a worker,
/// without a new journal entry in between; a drained worker is none. What may be begun only once does not go on.
pub fn after_interruption(losses: u32, begins_once: bool) -> AfterInterruption {
    if begins_once || losses > MAX_FRUITLESS_RECOVERIES { AfterInterruption::Fail } else { AfterInterruption::Resume }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FINISH: Change = Change::Finish { because: None };

    fn check(attempt: u32, max_retries: u32, kind: FailureKind, expected: Change) {
        let policy = RetryPolicy { max_retries, delay: Duration::from_secs(30), exponential: true };
        assert_eq!(
            settle(State { attempt, policy, until_deadline: None }, &Outcome::failed(kind, "for the test")),
            expected
        );
    }

    fn retry(seconds: u64) -> Change {
        Change::Retry { after: Duration::from_secs(seconds), reopen_failed_step: false }
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
        assert_eq!(
            settle(State { attempt: 1, policy, until_deadline: None }, &Outcome::Exited { output: None }),
            FINISH
        );
    }

    #[test] // R7
    fn an_error_that_is_not_retryable_ends_the_run_and_says_so_if_retries_were_left() {
        let outcome =
            Outcome::NotRetryable { failure: Failure::new(FailureKind::Error, "no such card"), exit_code: Some(1) };
        let policy = RetryPolicy { max_retries: 1, ..RetryPolicy::default() };
        let because = Some(EndedBecause::NotRetryable);
        assert_eq!(settle(State { attempt: 1, policy, until_deadline: None }, &outcome), Change::Finish { because });
        assert_eq!(settle(State { attempt: 2, policy, until_deadline: None }, &outcome), FINISH);
    }

    #[test] // R7, R27, R28
    fn neither_the_step_limit_nor_the_deadline_is_retried() {
        check(1, 2, FailureKind::StepLimit, Change::Finish { because: Some(EndedBecause::StepLimit) });
        check(1, 2, FailureKind::Deadline, Change::Finish { because: Some(EndedBecause::Deadline) });
        check(3, 2, FailureKind::Deadline, FINISH);
    }

    #[test] // R28
    fn a_retry_that_would_begin_at_the_deadline_does_not_happen() {
        let policy = RetryPolicy { max_retries: 1, delay: Duration::from_secs(30), exponential: false };
        let left = |seconds| State { attempt: 1, policy, until_deadline: Some(Duration::from_secs(seconds)) };
        let crashed = Outcome::failed(FailureKind::Trap, "for the test");
        assert_eq!(settle(left(30), &crashed), Change::Finish { because: Some(EndedBecause::Deadline) });
        assert_eq!(settle(left(31), &crashed), retry(30));
    }

    #[test] // R40, R41
    fn an_attempt_survives_three_fruitless_recoveries_unless_it_may_be_begun_only_once() {
        let resumes = |losses, begins_once| after_interruption(losses, begins_once) == AfterInterruption::Resume;
        assert_eq!([0, 1, 3, 4].map(|losses| resumes(losses, false)), [true, true, true, false]);
        assert_eq!([0, 1].map(|losses| resumes(losses, true)), [false, false]);
    }

    #[test] // R6, R25
    fn a_step_that_ended_the_attempt_is_executed_again_by_the_next() {
        let after = Duration::from_secs(30);
        check(1, 1, FailureKind::StepExhausted, Change::Retry { after, reopen_failed_step: true });
    }

    #[test] // R1, R31
    fn a_final_status_is_left_on_request_only_and_each_active_one_can_be_cancelled() {
        for status in Status::ALL {
            let next: Vec<_> = EDGES.iter().filter(|(from, ..)| *from == status).map(|(_, to, _)| *to).collect();
            match status {
                Status::Exited | Status::Cancelled => assert_eq!(next, []),
                Status::Crashed | Status::Errored => assert_eq!(next, [Status::Retrying]),
                active => assert!(next.contains(&Status::Cancelled), "{active:?}"),
            }
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
                match settle(State { attempt, policy, until_deadline: None }, outcome) {
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
