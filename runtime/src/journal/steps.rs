//! Steps: executed until one execution ends well, or no more are left.

use std::time::Duration;

use tokio::time::Instant;

use super::{Call, Journal, JournalError, MAX_WAIT, check_name};
use crate::retry::StepPolicy;
use crate::store::{Due, EntryKind, EntryState, JournalEntry, Recorded, Usage, WaitKind};

/// How a step is to be executed.
#[derive(Debug, Clone)]
pub struct StepOptions {
    pub policy: StepPolicy,
    /// Source: R41.
    pub at_most_once: bool,
    /// What it says it is given.
    pub given: Vec<u8>,
}

/// What a step that begins is answered with.
#[derive(Debug)]
pub enum Begun {
    /// It finished before, with this result; seeds as in [`JournalEntry::seeds`].
    Replayed(Vec<u8>, u32),
    /// It failed before.
    Failed(Failed),
    /// It is to be executed now.
    Live(LiveStep),
}

/// A step that is not executed again in this attempt.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    pub message: String,
    /// It was to be executed at most once, and whether it ended is unknown.
    pub is_indeterminate: bool,
    /// As in [`JournalEntry::seeds`].
    pub seeds: u32,
}

/// What one execution of a step took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub usage: Usage,
    /// As in [`JournalEntry::seeds`]: of all executions since the step began in this process.
    pub seeds: u32,
}

/// Why a step failed, as the program says it.
#[derive(Debug)]
pub struct StepFailure {
    pub message: String,
    pub is_retryable: bool,
    /// How long to wait, whatever the policy says. Source: R23.
    pub retry_after: Option<Duration>,
}

/// A step that is being executed.
#[derive(Debug)]
pub struct LiveStep {
    seq: u32,
    call: Call,
    policy: StepPolicy,
    at_most_once: bool,
    /// Executions that came to an end in this attempt, and in earlier ones.
    tries: u32,
    tries_before: u32,
    took: Duration,
    usage: Usage,
    seeds: u32,
    began: Instant,
}

impl LiveStep {
    /// The place its entry has in the journal: the same whenever it is executed.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// The step's name.
    pub fn name(&self) -> &str {
        &self.call.name
    }
}

/// The step is to be executed at most once, and was begun before.
fn indeterminate() -> Failed {
    Failed { message: "it was begun, and whether it ended is unknown".to_owned(), is_indeterminate: true, seeds: 0 }
}

impl Journal {
    /// Begins the step `name`: answers it from the record, or says that it is to be executed. Waits for its
    /// next try, if it failed.
    pub async fn begin(&mut self, name: String, options: StepOptions) -> Result<Begun, JournalError> {
        check_name("a step", &name)?;
        options.policy.check().map_err(|wrong| JournalError::Refused(format!("step `{name}`: {wrong}")))?;
        let StepOptions { policy, at_most_once, given } = options;
        let call = self.call(EntryKind::Step, name, given);
        let recorded = self.take(&call)?;
        let seq = self.met.saturating_add(1);
        let began = Instant::now();
        let mut step = LiveStep {
            seq,
            call,
            policy,
            at_most_once,
            tries: 0,
            tries_before: 0,
            took: Duration::ZERO,
            usage: Usage::default(),
            seeds: 0,
            began,
        };
        let Some(entry) = recorded else { return Ok(Begun::Live(self.execute(step).await?)) };
        let (at, seeds) = (entry.recorded_at, entry.seeds);
        match entry.state {
            EntryState::Finished(output) => {
                self.meet(step.call, at);
                Ok(Begun::Replayed(output, seeds))
            }
            EntryState::Failed(message) => {
                self.meet(step.call, at);
                Ok(Begun::Failed(Failed { message, is_indeterminate: false, seeds }))
            }
            EntryState::Indeterminate => {
                self.meet(step.call, at);
                Ok(Begun::Failed(indeterminate()))
            }
            EntryState::Begun => {
                step.remember(&entry, self.terms.attempt);
                self.finish(step, EntryState::Indeterminate).await?;
                Ok(Begun::Failed(indeterminate()))
            }
            EntryState::Again(_) | EntryState::Waiting => {
                step.remember(&entry, self.terms.attempt);
                if let Some(Due::At(due_at)) = entry.due {
                    self.wait_until(due_at, WaitKind::StepRetry, step.name()).await?;
                }
                Ok(Begun::Live(self.execute(step).await?))
            }
        }
    }

    /// Records the result of `step`. Durable when this returns.
    pub async fn succeed(&mut self, mut step: LiveStep, spent: Spent, output: Vec<u8>) -> Result<(), JournalError> {
        self.count(&mut step, spent);
        self.finish(step, EntryState::Finished(output)).await
    }

    /// Records that `step` failed, and says whether it is to be executed again; then the wait is over.
    pub async fn fail(
        &mut self,
        mut step: LiveStep,
        failure: StepFailure,
        spent: Spent,
    ) -> Result<Result<LiveStep, Failed>, JournalError> {
        self.count(&mut step, spent);
        let StepFailure { message, .. } = &failure;
        let Some(wait) = self.next_wait(&step, &failure) else {
            let message = message.clone();
            self.finish(step, EntryState::Failed(message.clone())).await?;
            return Ok(Err(Failed { message, is_indeterminate: false, seeds: spent.seeds }));
        };
        let recorded = self.keep(&step, EntryState::Again(message.clone()), Some(Due::After(wait))).await?;
        self.check_step_limit()?;
        // No wait is none, however far behind the database's clock ours is.
        if let Some(due_at) = recorded.due_at.filter(|_| !wait.is_zero()) {
            self.wait_until(due_at, WaitKind::StepRetry, step.name()).await?;
        }
        Ok(Ok(self.execute(step).await?))
    }

    /// How long to wait for the next try; `None` if there is none. Source: R21, R23, R28.
    fn next_wait(&self, step: &LiveStep, failure: &StepFailure) -> Option<Duration> {
        if !failure.is_retryable {
            return None;
        }
        let wait = step.policy.delay_after(step.tries)?;
        let wait = failure.retry_after.unwrap_or(wait).min(MAX_WAIT);
        let left = self.terms.until_deadline.map(|until| until.saturating_sub(self.began.elapsed()));
        left.is_none_or(|left| wait < left).then_some(wait)
    }

    /// The step is executed from now on.
    async fn execute(&mut self, mut step: LiveStep) -> Result<LiveStep, JournalError> {
        self.check_step_limit()?;
        if self.pause.is_cancelled() {
            return Err(JournalError::Paused);
        }
        if step.at_most_once {
            self.keep(&step, EntryState::Begun, None).await?;
        }
        step.began = Instant::now();
        Ok(step)
    }

    /// Source: R27.
    fn check_step_limit(&self) -> Result<(), JournalError> {
        let limit = self.terms.limits.step_attempts;
        if self.step_attempts < limit { Ok(()) } else { Err(JournalError::StepLimit(limit)) }
    }

    fn count(&mut self, step: &mut LiveStep, spent: Spent) {
        step.tries = step.tries.saturating_add(1);
        step.took = step.took.saturating_add(step.began.elapsed());
        step.usage = step.usage.and(spent.usage);
        step.seeds = spent.seeds;
        self.step_attempts = self.step_attempts.saturating_add(1);
    }

    async fn finish(&mut self, step: LiveStep, state: EntryState) -> Result<(), JournalError> {
        let recorded = self.keep(&step, state, None).await?;
        self.meet(step.call, recorded.at);
        Ok(())
    }

    async fn keep(&mut self, step: &LiveStep, state: EntryState, due: Option<Due>) -> Result<Recorded, JournalError> {
        let entry = JournalEntry {
            tries: step.tries,
            tries_before: step.tries_before,
            took: step.took,
            usage: step.usage,
            seeds: step.seeds,
            ..self.entry(&step.call, state, due)
        };
        self.write(entry).await
    }
}

impl LiveStep {
    /// What came of the step before: a new attempt begins with all its tries.
    fn remember(&mut self, entry: &JournalEntry, attempt: u32) {
        (self.tries, self.tries_before) = match entry.attempt == attempt {
            true => (entry.tries, entry.tries_before),
            false => (0, entry.tries.saturating_add(entry.tries_before)),
        };
        (self.took, self.usage) = (entry.took, entry.usage);
    }
}

impl Usage {
    /// Both, one after the other.
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            fuel: self.fuel.saturating_add(other.fuel),
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
            bytes_in: self.bytes_in.saturating_add(other.bytes_in),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
        }
    }
}
