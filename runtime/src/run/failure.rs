//! Why does an attempt fail, and whose fault is it?

use serde::{Deserialize, Serialize};

use super::Verdict;

/// Why an attempt failed, one word of DESIGN's table of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The run made more step attempts than it may. Source: R27.
    StepLimit,
    /// The run's deadline came. Source: R28.
    Deadline,
    /// The store or another part of the host failed.
    Host,
    /// The host panicked.
    Panic,
    /// The app's code could not be read.
    Artifact,
    /// Its worker was lost, and the attempt does not go on elsewhere. Source: R40, R41.
    WorkerLost,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 15] = [
        FailureKind::Exit,
        FailureKind::Error,
        FailureKind::Trap,
        FailureKind::Fuel,
        FailureKind::Memory,
        FailureKind::Stack,
        FailureKind::Timeout,
        FailureKind::StepExhausted,
        FailureKind::Divergence,
        FailureKind::StepLimit,
        FailureKind::Deadline,
        FailureKind::Host,
        FailureKind::Panic,
        FailureKind::Artifact,
        FailureKind::WorkerLost,
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
            FailureKind::StepLimit => "step_limit",
            FailureKind::Deadline => "deadline",
            FailureKind::Host => "host",
            FailureKind::Panic => "panic",
            FailureKind::Artifact => "artifact",
            FailureKind::WorkerLost => "worker_lost",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<FailureKind> {
        FailureKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whose fault it was: [`Verdict::Crashed`] the guest's, [`Verdict::Errored`] ours. Source: R2.
    pub fn verdict(self) -> Verdict {
        match self {
            FailureKind::Host | FailureKind::Panic | FailureKind::Artifact | FailureKind::WorkerLost => {
                Verdict::Errored
            }
            FailureKind::Exit
            | FailureKind::Error
            | FailureKind::Trap
            | FailureKind::Fuel
            | FailureKind::Memory
            | FailureKind::Stack
            | FailureKind::Timeout
            | FailureKind::StepExhausted
            | FailureKind::Divergence
            | FailureKind::StepLimit
            | FailureKind::Deadline => Verdict::Crashed,
        }
    }
}

/// What is kept of a failed attempt beside its status. Source: R2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
