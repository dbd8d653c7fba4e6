//! What has this run already done? A [`Journal`] answers a program's steps from the record and
//! appends new ones. The appends of all runs of a worker meet in a [`JournalWriter`], which
//! commits those that wait together in one statement: idle, a step is flushed at once; busy, a
//! flush is shared.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kill_point;
use crate::store::{JournalEntry, Lease, StepOutcome, Store, StoreError};

/// The longest name of a step. Source: V6.
pub const MAX_NAME_BYTES: usize = 256;
/// The largest result of a step. Source: V9.
pub const MAX_ENTRY_BYTES: usize = 4 * 1024 * 1024;
/// The largest sum of a run's results. Source: V9.
pub const MAX_JOURNAL_BYTES: usize = 64 * 1024 * 1024;
/// The most entries one flush writes, so that a flush stays within milliseconds.
const MAX_FLUSH: usize = 256;

/// The steps of one run, as one execution of its program meets them.
pub struct Journal {
    attempt: u32,
    /// Recorded before this execution. Results are moved out as they are replayed.
    recorded: Vec<JournalEntry>,
    /// How many entries this execution has met; the next one has `seq = met + 1`.
    met: usize,
    /// How often each name was used.
    uses: HashMap<String, u32>,
    bytes: usize,
    sink: Sink,
    /// Once cancelled, no new step begins.
    pause: CancellationToken,
}

enum Sink {
    Memory,
    Store { lease: Lease, writer: JournalWriter },
}

/// What a step that begins is answered with.
#[derive(Debug)]
pub enum Begun {
    /// It finished before, with this result.
    Replayed(Vec<u8>),
    /// It failed before, with this message.
    Failed(String),
    /// It is to be executed now.
    Live(LiveStep),
}

/// A step that is being executed.
#[derive(Debug)]
pub struct LiveStep {
    seq: u32,
    name: String,
    occurrence: u32,
    began: Instant,
}

impl LiveStep {
    /// The place its entry will have in the journal: the same whenever it is executed.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// The step's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a step cannot begin or be recorded.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The program asked for something other than what it did before.
    #[error(transparent)]
    Divergence(Divergence),
    /// The program broke a rule; the text says which.
    #[error("{0}")]
    Refused(String),
    /// The worker is about to stop: the run goes on elsewhere.
    #[error("the worker is being drained")]
    Paused,
    /// The entry could not be written.
    #[error("the journal could not be written: {0}")]
    Store(#[source] Arc<StoreError>),
}

/// The first difference between a program and its journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "entry {seq} of the journal is step `{recorded}` (use {recorded_occurrence} of that name), but the program asked for \
     step `{asked}` (use {asked_occurrence}): the program or its input differs from when the step was recorded"
)]
pub struct Divergence {
    pub seq: u32,
    pub recorded: String,
    pub recorded_occurrence: u32,
    pub asked: String,
    pub asked_occurrence: u32,
}

impl Journal {
    /// A journal that begins with `recorded` and appends under `lease`. No new step begins once
    /// `pause` is cancelled.
    pub fn new(
        lease: Lease,
        attempt: u32,
        recorded: Vec<JournalEntry>,
        writer: JournalWriter,
        pause: CancellationToken,
    ) -> Journal {
        Journal::with_sink(attempt, recorded, Sink::Store { lease, writer }, pause)
    }

    /// A journal that is forgotten with this value: for programs that run without a server.
    pub fn in_memory(recorded: Vec<JournalEntry>) -> Journal {
        Journal::with_sink(1, recorded, Sink::Memory, CancellationToken::new())
    }

    fn with_sink(attempt: u32, recorded: Vec<JournalEntry>, sink: Sink, pause: CancellationToken) -> Journal {
        let bytes = recorded.iter().map(|entry| size(&entry.outcome)).sum();
        Journal { attempt, recorded, met: 0, uses: HashMap::new(), bytes, sink, pause }
    }

    /// Whether the next step is one that was recorded before this execution.
    pub fn is_replaying(&self) -> bool {
        self.met < self.recorded.len()
    }

    /// Begins the step `name`: answers it from the record, or says that it is to be executed.
    pub fn begin(&mut self, name: String) -> Result<Begun, JournalError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            let length = name.len();
            return Err(JournalError::Refused(format!(
                "a step's name has 1 to {MAX_NAME_BYTES} bytes, and this one has {length}"
            )));
        }
        let seq = u32::try_from(self.met + 1).map_err(|_| JournalError::Refused("too many steps".to_owned()))?;
        let occurrence = self.uses.get(&name).map_or(1, |uses| uses + 1);
        let Some(entry) = self.recorded.get_mut(self.met) else {
            if self.pause.is_cancelled() {
                return Err(JournalError::Paused);
            }
            return Ok(Begun::Live(LiveStep { seq, name, occurrence, began: Instant::now() }));
        };
        if entry.name != name || entry.occurrence != occurrence {
            return Err(JournalError::Divergence(Divergence {
                seq: entry.seq,
                recorded: entry.name.clone(),
                recorded_occurrence: entry.occurrence,
                asked: name,
                asked_occurrence: occurrence,
            }));
        }
        self.met += 1;
        self.uses.insert(name, occurrence);
        Ok(match &mut entry.outcome {
            StepOutcome::Finished(output) => Begun::Replayed(std::mem::take(output)),
            StepOutcome::Failed(message) => Begun::Failed(std::mem::take(message)),
        })
    }

    /// Records how `step` ended. Durable when this returns.
    pub async fn record(&mut self, step: LiveStep, outcome: StepOutcome) -> Result<(), JournalError> {
        let size = size(&outcome);
        if size > MAX_ENTRY_BYTES {
            return Err(JournalError::Refused(format!(
                "the result of step `{}` has {size} bytes; the most is {MAX_ENTRY_BYTES}",
                step.name
            )));
        }
        if self.bytes + size > MAX_JOURNAL_BYTES {
            return Err(JournalError::Refused(format!(
                "with the result of step `{}` the journal of this run would exceed {MAX_JOURNAL_BYTES} bytes",
                step.name
            )));
        }
        if let Sink::Store { lease, writer } = &self.sink {
            let entry = JournalEntry {
                seq: step.seq,
                attempt: self.attempt,
                name: step.name.clone(),
                occurrence: step.occurrence,
                outcome,
                took: step.began.elapsed(),
                recorded_at: Timestamp::UNIX_EPOCH,
            };
            writer.append(*lease, entry).await.map_err(JournalError::Store)?;
        }
        self.met += 1;
        self.bytes += size;
        self.uses.insert(step.name, step.occurrence);
        Ok(())
    }
}

fn size(outcome: &StepOutcome) -> usize {
    match outcome {
        StepOutcome::Finished(output) => output.len(),
        StepOutcome::Failed(message) => message.len(),
    }
}

/// Commits the entries of a worker's runs, those that wait at the same time together.
#[derive(Clone)]
pub struct JournalWriter {
    queue: mpsc::Sender<Append>,
}

struct Append {
    lease: Lease,
    entry: JournalEntry,
    written: oneshot::Sender<Result<(), Arc<StoreError>>>,
}

impl JournalWriter {
    /// Starts the task that writes; it ends when the last clone of the writer is dropped.
    pub fn start(store: Arc<dyn Store>) -> JournalWriter {
        let (queue, waiting) = mpsc::channel(MAX_FLUSH);
        tokio::spawn(flush_forever(store, waiting));
        JournalWriter { queue }
    }

    /// Appends one entry: durable when this returns.
    async fn append(&self, lease: Lease, entry: JournalEntry) -> Result<(), Arc<StoreError>> {
        let (written, answer) = oneshot::channel();
        let gone = || Arc::new(StoreError::Fault(anyhow::anyhow!("the journal's writer has ended")));
        self.queue.send(Append { lease, entry, written }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn flush_forever(store: Arc<dyn Store>, mut waiting: mpsc::Receiver<Append>) {
    let mut batch = Vec::with_capacity(MAX_FLUSH);
    while waiting.recv_many(&mut batch, MAX_FLUSH).await > 0 {
        let (entries, answers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|append| ((append.lease, append.entry), append.written)).unzip();
        kill_point::reach("before_commit");
        let results = flush(store.as_ref(), &entries).await;
        kill_point::reach("after_commit");
        for (answer, result) in answers.into_iter().zip(results) {
            // A guest that was dropped meanwhile no longer waits for its answer.
            let _ = answer.send(result);
        }
    }
}

/// Writes the entries in one commit and returns each one's result. If the database refuses the
/// commit, each entry is tried alone, so that one run's entry does not harm another's run.
async fn flush(store: &dyn Store, entries: &[(Lease, JournalEntry)]) -> Vec<Result<(), Arc<StoreError>>> {
    match store.append_journal(entries).await {
        Ok(written) => written.into_iter().map(|ok| if ok { Ok(()) } else { Err(refused()) }).collect(),
        Err(StoreError::Fault(_)) if entries.len() > 1 => {
            let mut results = Vec::with_capacity(entries.len());
            for entry in entries {
                results.push(match store.append_journal(std::slice::from_ref(entry)).await {
                    Ok(written) if written == [true] => Ok(()),
                    Ok(_) => Err(refused()),
                    Err(error) => Err(Arc::new(error)),
                });
            }
            results
        }
        Err(error) => {
            let error = Arc::new(error);
            entries.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

fn refused() -> Arc<StoreError> {
    tracing::warn!("a step's result was refused: its run was taken away from this worker");
    Arc::new(StoreError::LeaseLost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn finished(seq: u32, name: &str, occurrence: u32) -> JournalEntry {
        JournalEntry {
            seq,
            attempt: 1,
            name: name.to_owned(),
            occurrence,
            outcome: StepOutcome::Finished(vec![seq as u8]),
            took: Duration::ZERO,
            recorded_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn replayed(journal: &mut Journal, name: &str) -> Vec<u8> {
        match journal.begin(name.to_owned()) {
            Ok(Begun::Replayed(output)) => output,
            other => panic!("`{name}` is in the journal, and was answered {other:?}"),
        }
    }

    #[test] // R20
    fn recorded_steps_are_answered_in_order_and_the_next_is_live() {
        let mut journal = Journal::in_memory(vec![finished(1, "a", 1), finished(2, "a", 2)]);
        assert_eq!(replayed(&mut journal, "a"), [1]);
        assert_eq!(replayed(&mut journal, "a"), [2]);
        assert!(!journal.is_replaying());
        assert!(matches!(journal.begin("a".to_owned()), Ok(Begun::Live(step)) if step.occurrence == 3));
    }

    #[test]
    fn another_name_than_the_recorded_one_is_a_divergence() {
        let mut journal = Journal::in_memory(vec![finished(1, "charge", 1)]);
        match journal.begin("ship".to_owned()) {
            Err(JournalError::Divergence(divergence)) => {
                assert_eq!((divergence.seq, divergence.recorded.as_str()), (1, "charge"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test] // V9
    async fn a_result_over_the_limit_is_refused() {
        let mut journal = Journal::in_memory(vec![]);
        let Ok(Begun::Live(step)) = journal.begin("big".to_owned()) else { panic!("the journal is empty") };
        let result = journal.record(step, StepOutcome::Finished(vec![0; MAX_ENTRY_BYTES + 1])).await;
        assert!(matches!(result, Err(JournalError::Refused(_))));
    }

    #[test] // V6
    fn a_steps_name_is_neither_empty_nor_long() {
        let mut journal = Journal::in_memory(vec![]);
        assert!(matches!(journal.begin(String::new()), Err(JournalError::Refused(_))));
        assert!(matches!(journal.begin("n".repeat(257)), Err(JournalError::Refused(_))));
    }

    #[test]
    fn no_new_step_begins_once_paused_but_recorded_ones_are_answered() {
        let pause = CancellationToken::new();
        let mut journal = Journal::with_sink(1, vec![finished(1, "a", 1)], Sink::Memory, pause.clone());
        pause.cancel();
        assert_eq!(replayed(&mut journal, "a"), [1]);
        assert!(matches!(journal.begin("b".to_owned()), Err(JournalError::Paused)));
    }
}
