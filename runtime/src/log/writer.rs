//! Stores the lines and calls of a worker's attempts, a batch at a time, and of each attempt in its turn: a flood does
//! not keep the lines of others waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Log, cost};
use crate::kill_point;
use crate::store::{Call, Lease, LogLine, Record, StoreError};

/// How long lines wait for others, so that a chatty program costs few commits.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// How long to wait before lines that the database did not take are tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The most lines one commit stores, so that a run which waits for its own waits for milliseconds.
const MAX_BATCH: usize = 250;
/// The most bytes one commit stores, but for its last line.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// How many lines of a log are stored before those of the next: a flood does not keep the others waiting.
const LINES_A_TURN: usize = 50;

/// Stores the lines of a worker's attempts.
#[derive(Clone)]
pub struct LogWriter {
    queue: mpsc::UnboundedSender<Message>,
}

/// About what a call takes up while it waits.
pub fn call_bytes(call: &Call) -> usize {
    size_of::<Call>() + call.method.len() + call.url.len() + call.error.as_ref().map_or(0, String::len)
}

pub enum Message {
    Line(Log, Lease, LogLine),
    Call(Log, Lease, Call),
    Flush(Log, oneshot::Sender<()>),
}

impl LogWriter {
    /// Starts the task that writes; it ends when the last clone of the writer is dropped.
    pub fn start(store: Arc<dyn Record>) -> LogWriter {
        let (queue, waiting) = mpsc::unbounded_channel();
        tokio::spawn(store_forever(store, waiting));
        LogWriter { queue }
    }

    pub(super) fn push(&self, message: Message) {
        // The task outlives every sender; if it were gone, there would be no one to tell.
        let _ = self.queue.send(message);
    }

    /// Returns when the lines that `log` has now are stored.
    pub(super) async fn flush(&self, log: Log) {
        let (done, flushed) = oneshot::channel();
        self.push(Message::Flush(log, done));
        let _ = flushed.await;
    }
}

async fn store_forever(store: Arc<dyn Record>, mut waiting: mpsc::UnboundedReceiver<Message>) {
    let mut queues = Queues::default();
    loop {
        if queues.is_empty() {
            let Some(first) = waiting.recv().await else { return };
            queues.add(first);
            let full = tokio::time::sleep(BATCH_TIME);
            tokio::pin!(full);
            while queues.rows < MAX_BATCH && !queues.is_asked_for {
                tokio::select! {
                    biased;
                    message = waiting.recv() => match message {
                        Some(message) => queues.add(message),
                        None => break,
                    },
                    () = &mut full => break,
                }
            }
        }
        while let Ok(message) = waiting.try_recv() {
            queues.add(message);
        }
        queues.take_batch().store(store.as_ref()).await;
    }
}

/// What waits to be stored: each log's in its order, and the logs in turn.
#[derive(Default)]
struct Queues {
    logs: VecDeque<(Log, VecDeque<Message>)>,
    /// Lines and calls.
    rows: usize,
    /// Somebody waits for lines to be stored.
    is_asked_for: bool,
}

impl Queues {
    fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    fn add(&mut self, message: Message) {
        let log = match &message {
            Message::Line(log, ..) | Message::Call(log, ..) => {
                self.rows += 1;
                log
            }
            Message::Flush(log, _) => {
                self.is_asked_for = true;
                log
            }
        };
        match self.logs.iter_mut().find(|(other, _)| Arc::ptr_eq(&other.inner, &log.inner)) {
            Some((_, queue)) => queue.push_back(message),
            None => self.logs.push_back((log.clone(), VecDeque::from([message]))),
        }
    }

    fn take_batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        while batch.logs.len() < MAX_BATCH
            && batch.bytes < MAX_BATCH_BYTES
            && let Some((log, mut queue)) = self.logs.pop_front()
        {
            let turn = queue.len().min(LINES_A_TURN);
            queue.drain(..turn).for_each(|message| batch.add(message));
            if !queue.is_empty() {
                self.logs.push_back((log, queue));
            }
        }
        self.rows = self.rows.saturating_sub(batch.logs.len());
        self.is_asked_for = false;
        batch
    }
}

#[derive(Default)]
struct Batch {
    logs: Vec<(Log, usize)>,
    lines: Vec<(Lease, LogLine)>,
    calls: Vec<(Lease, Call)>,
    bytes: usize,
    waiting_for_flush: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, message: Message) {
        match message {
            Message::Line(log, lease, line) => {
                self.bytes = self.bytes.saturating_add(cost(&line.content));
                self.logs.push((log, cost(&line.content)));
                self.lines.push((lease, line));
            }
            Message::Call(log, lease, call) => {
                self.bytes = self.bytes.saturating_add(call_bytes(&call));
                self.logs.push((log, call_bytes(&call)));
                self.calls.push((lease, call));
            }
            Message::Flush(_, done) => self.waiting_for_flush.push(done),
        }
    }

    /// Appends what there is, however long the database is away: its programs wait meanwhile.
    async fn append(&self, store: &dyn Record) {
        until_stored("log lines", self.lines.len(), || store.append_logs(&self.lines)).await;
        until_stored("calls", self.calls.len(), || store.append_calls(&self.calls)).await;
    }

    async fn store(self, store: &dyn Record) {
        if !self.logs.is_empty() {
            kill_point::reach("before_log_flush");
            self.append(store).await;
        }
        for (log, bytes) in self.logs {
            log.stored(bytes);
        }
        for done in self.waiting_for_flush {
            let _ = done.send(());
        }
    }
}

/// Stores `count` of `what`.
async fn until_stored<A: Future<Output = Result<u64, StoreError>>>(what: &str, count: usize, append: impl Fn() -> A) {
    if count == 0 {
        return;
    }
    loop {
        match append().await {
            Ok(stored) if stored < count as u64 => tracing::warn!("{what} were refused: their run was taken away"),
            Ok(_) => {}
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(%error, "{what} wait for the database");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            Err(error) => tracing::error!(%error, count, "{what} were lost"),
        }
        return;
    }
}
