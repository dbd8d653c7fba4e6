//! Commits the entries of a worker's runs, those that wait at the same time together.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::size;
use crate::kill_point;
use crate::store::{JournalEntry, Lease, Record, Recorded, StoreError};
use crate::telemetry::{JOURNAL_ENTRIES, JOURNAL_FLUSH_SECONDS};

/// The most entries one flush writes, so that a flush stays within milliseconds.
const MAX_FLUSH: usize = 256;

/// An entry of more than this is written alone, so that it keeps no other run waiting.
const MAX_SHARED_BYTES: usize = 64 * 1024;

/// Commits the entries of a worker's runs. Clones share a queue.
#[derive(Clone)]
pub struct JournalWriter {
    queue: mpsc::Sender<Append>,
    store: Arc<dyn Record>,
}

struct Append {
    lease: Lease,
    entry: JournalEntry,
    written: oneshot::Sender<Written>,
}

type Written = Result<Recorded, Arc<StoreError>>;

impl JournalWriter {
    /// Starts the task that writes; it ends when the last clone of the writer is dropped.
    pub fn start(store: Arc<dyn Record>) -> JournalWriter {
        let (queue, waiting) = mpsc::channel(MAX_FLUSH);
        tokio::spawn(flush_forever(store.clone(), waiting));
        JournalWriter { queue, store }
    }

    /// Where it writes.
    pub fn store(&self) -> &dyn Record {
        self.store.as_ref()
    }

    /// Writes one entry: durable when this returns.
    pub async fn append(&self, lease: Lease, entry: JournalEntry) -> Written {
        if size(&entry) > MAX_SHARED_BYTES {
            return write(self.store.as_ref(), &[(lease, entry)]).await.pop().unwrap_or_else(|| Err(refused()));
        }
        let (written, answer) = oneshot::channel();
        let gone = || Arc::new(StoreError::Fault(anyhow::anyhow!("the journal's writer has ended")));
        self.queue.send(Append { lease, entry, written }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn flush_forever(store: Arc<dyn Record>, mut waiting: mpsc::Receiver<Append>) {
    let mut batch = Vec::with_capacity(MAX_FLUSH);
    while waiting.recv_many(&mut batch, MAX_FLUSH).await > 0 {
        let (entries, answers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|append| ((append.lease, append.entry), append.written)).unzip();
        let results = write(store.as_ref(), &entries).await;
        for (answer, result) in answers.into_iter().zip(results) {
            // A guest that was dropped meanwhile no longer waits for its answer.
            let _ = answer.send(result);
        }
    }
}

async fn write(store: &dyn Record, entries: &[(Lease, JournalEntry)]) -> Vec<Written> {
    kill_point::reach("before_commit");
    let begun = Instant::now();
    let results = flush(store, entries).await;
    metrics::histogram!(JOURNAL_FLUSH_SECONDS).record(begun.elapsed());
    let written = results.iter().filter(|result| result.is_ok()).count();
    metrics::counter!(JOURNAL_ENTRIES).increment(written as u64);
    kill_point::reach("after_commit");
    results
}

/// Writes the entries in one commit and returns each one's result. If the database refuses the
/// commit, each entry is tried alone, so that one run's entry does not harm another's run.
async fn flush(store: &dyn Record, entries: &[(Lease, JournalEntry)]) -> Vec<Written> {
    match store.append_journal(entries).await {
        Ok(written) => written.into_iter().map(|recorded| recorded.ok_or_else(refused)).collect(),
        Err(StoreError::Fault(_)) if entries.len() > 1 => {
            let mut results = Vec::with_capacity(entries.len());
            for entry in entries {
                results.push(match store.append_journal(std::slice::from_ref(entry)).await {
                    Ok(written) => written.into_iter().next().flatten().ok_or_else(refused),
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
