//! What does the end of a guest mean? DESIGN's table of verdicts, read off an error's types
//! along its whole chain, never off its text. Whatever has no type of ours is the guest's fault:
//! a guest can never cause `errored`.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::Interrupted;
use super::durable::shortened;
use super::limits::OverLimit;
use crate::journal::{Divergence, JournalError, Parking};
use crate::manifest::{Limit, Limits};
use crate::run::{Failure, FailureKind, Outcome, Verdict};
use crate::store::StoreError;

/// How much of a stack is kept.
pub const MAX_BACKTRACE_BYTES: usize = 8 * 1024;

/// The host could not do what the guest asked: our fault, or no fault at all.
#[derive(Debug, thiserror::Error)]
pub enum HostFault {
    /// The journal could not be written.
    #[error("the journal could not be written: {0}")]
    Store(#[source] Arc<StoreError>),
    /// The worker is about to stop.
    #[error("the worker is being drained")]
    Paused,
    /// The run is to be put aside.
    #[error("the run waits for {}", .0.waiting_on.name)]
    Parked(Box<Parking>),
    /// The journal was only to be checked, and was met to its end.
    #[error("the journal was replayed to its end")]
    Replayed,
    /// Here a test wants the program to end.
    #[error("the program was ended for a test")]
    Crashed,
}

/// The guest broke a rule that the text names.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Why a program gives up.
#[derive(Debug, Clone)]
pub struct ProgramError {
    pub message: String,
    /// Whether it is because a step failed for good.
    pub step_exhausted: bool,
}

/// What the program left behind for its verdict.
pub struct Remains {
    /// What `main` returned through `wasi:cli/run`, or what ended it.
    pub end: wasmtime::Result<Result<(), ()>>,
    pub output: Option<Vec<u8>>,
    pub error: Option<ProgramError>,
    /// The program said that another attempt makes no sense.
    pub not_retryable: bool,
    /// The journal goes on where the program ended.
    pub left_over: Option<Divergence>,
    /// The last lines on stderr.
    pub last_words: Vec<String>,
}

/// What keeps a program from being instantiated, if it has no type: that it has more parts than wasmtime may make for it.
pub fn not_instantiated(error: wasmtime::Error, limits: &Limits) -> wasmtime::Error {
    let has_a_type = error.is::<Trap>()
        || error.is::<OverLimit>()
        || error.is::<HostFault>()
        || error.is::<I32Exit>()
        || error.is::<Refused>()
        || error.is::<Divergence>()
        || error.is::<JournalError>()
        || error.is::<ResourceTableError>();
    if has_a_type {
        return error;
    }
    let (most, cause) = (limits.get(Limit::Instances), error.root_cause().to_string());
    let text = format!(
        "{cause}: a program has at most {most} instances, as many memories and as many tables (`limits.instances`)"
    );
    wasmtime::Error::new(OverLimit(text))
}

/// How the attempt ended; or why it goes on elsewhere.
pub fn verdict(remains: Remains, limits: &Limits) -> Result<Outcome, Interrupted> {
    let Remains { end, output, error, not_retryable, left_over, last_words } = remains;
    let exited = |code| match left_over {
        Some(divergence) => Outcome::failed(FailureKind::Divergence, divergence.to_string()),
        None if code == 0 => Outcome::Exited { output },
        None => exited_with(code, error, not_retryable),
    };
    let trap = match end {
        Ok(Ok(())) => return Ok(exited(0)),
        Ok(Err(())) => return Ok(exited(1)),
        Err(trap) => trap,
    };
    if let Some(fault) = trap.downcast_ref::<HostFault>() {
        return host_fault(fault);
    }
    if let Some(I32Exit(code)) = trap.downcast_ref::<I32Exit>() {
        return Ok(exited(*code));
    }
    let (kind, message) = classify(&trap, limits, &last_words);
    let message = shortened(message);
    let backtrace = trap.downcast_ref::<WasmBacktrace>().map(|backtrace| {
        let mut text = backtrace.to_string();
        text.truncate(text.floor_char_boundary(MAX_BACKTRACE_BYTES));
        text
    });
    Ok(Outcome::Failed { failure: Failure { kind, message, backtrace }, exit_code: None })
}

/// Names the step in which the program ended, if the fault is its own.
pub fn in_step(name: &str, mut outcome: Outcome) -> Outcome {
    if let Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. } = &mut outcome
        && failure.kind.verdict() == Verdict::Crashed
    {
        failure.message = shortened(format!("in the step `{name}`: {}", failure.message));
    }
    outcome
}

/// The attempt used up its running time.
pub fn out_of_time(running_time: Duration, limits: &Limits) -> Outcome {
    let which = if running_time < limits.running_time() { "running_timeout" } else { "limits.running_time_seconds" };
    let message = format!("still running after {} s, its limit of running time (`{which}`)", running_time.as_secs());
    Outcome::failed(FailureKind::Timeout, message)
}

/// The run's deadline came.
pub fn past_deadline() -> Outcome {
    Outcome::failed(FailureKind::Deadline, "the run's deadline came before it ended")
}

/// Something of ours panicked while it served the attempt.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Outcome {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "the host panicked while it ran a guest");
    Outcome::failed(FailureKind::Panic, "Relume itself failed; its log has the details")
}

fn host_fault(fault: &HostFault) -> Result<Outcome, Interrupted> {
    match fault {
        HostFault::Paused => Err(Interrupted::Paused),
        HostFault::Parked(parking) => Err(Interrupted::Parked(parking.clone())),
        HostFault::Replayed => Err(Interrupted::Replayed),
        HostFault::Crashed => Err(Interrupted::Crashed),
        HostFault::Store(error) => match error.as_ref() {
            StoreError::LeaseLost => Err(Interrupted::LeaseLost),
            StoreError::Unavailable(_) => Err(Interrupted::StoreUnavailable),
            error => {
                tracing::error!(%error, "a step could not be recorded");
                Ok(Outcome::failed(FailureKind::Host, fault.to_string()))
            }
        },
    }
}

fn exited_with(code: i32, error: Option<ProgramError>, not_retryable: bool) -> Outcome {
    let failure = match error {
        Some(ProgramError { message, step_exhausted: true }) => Failure::new(FailureKind::StepExhausted, message),
        Some(ProgramError { message, step_exhausted: false }) => Failure::new(FailureKind::Error, message),
        None => Failure::new(FailureKind::Exit, format!("the program exited with code {code}")),
    };
    match not_retryable {
        false => Outcome::Failed { failure, exit_code: Some(code) },
        true => Outcome::NotRetryable { failure, exit_code: Some(code) },
    }
}

fn classify(trap: &wasmtime::Error, limits: &Limits, last_words: &[String]) -> (FailureKind, String) {
    if let Some(divergence) = trap.downcast_ref::<Divergence>() {
        return (FailureKind::Divergence, divergence.to_string());
    }
    if let Some(error @ JournalError::StepLimit(_)) = trap.downcast_ref::<JournalError>() {
        return (FailureKind::StepLimit, error.to_string());
    }
    if let Some(over) = trap.downcast_ref::<OverLimit>() {
        return (FailureKind::Memory, over.to_string());
    }
    if let Some(ResourceTableError::Full) = trap.downcast_ref::<ResourceTableError>() {
        return (
            FailureKind::Memory,
            format!("the program holds more than {} handles (`limits.handles`)", limits.get(Limit::Handles)),
        );
    }
    if let Some(refused) = trap.downcast_ref::<Refused>() {
        return (FailureKind::Error, refused.to_string());
    }
    match trap.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            (FailureKind::Fuel, format!("the program used up its fuel of {} (`limits.fuel`)", limits.fuel()))
        }
        Some(Trap::StackOverflow) => {
            (FailureKind::Stack, "the program's stack overflowed: does it recurse without end?".to_owned())
        }
        Some(trap @ Trap::UnreachableCodeReached) if !last_words.is_empty() => {
            (FailureKind::Trap, format!("{trap}; its last words: {}", last_words.join(" / ")))
        }
        Some(trap) => (FailureKind::Trap, trap.to_string()),
        None => (FailureKind::Trap, trap.root_cause().to_string()),
    }
}
