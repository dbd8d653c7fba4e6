//! Stores the lines and calls of a worker's attempts, a batch at a time, and of each attempt in its turn: a flood
//! keeps neither the lines of others waiting nor the database busy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Log, cost};
use crate::kill_point;
use crate::store::{Call, Lease, LogLine, Record, StoreError};

/// How long lines wait for others, so that a chatty program costs few commits.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// How much longer than a batch took the database is left alone before the next, if nobody waits for that.
const REST_FOR_EACH: u32 = 3;
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

/// What a batch is made of. One of each kind may be under way, with lines of different logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// What somebody waits for: at once.
    AskedFor,
    /// What was printed: a little later, and with rests.
    Any,
}

async fn store_forever(store: Arc<dyn Record>, mut waiting: mpsc::UnboundedReceiver<Message>) {
    let (mut queues, mut under_way, mut new) = (Queues::default(), FuturesUnordered::new(), Vec::new());
    let (mut is_asked_under_way, mut is_any_under_way, mut rested_at) = (false, false, Instant::now());
    loop {
        if !is_asked_under_way && let Some(batch) = queues.take_batch(Lane::AskedFor) {
            is_asked_under_way = true;
            under_way.push(batch.store(store.as_ref(), Lane::AskedFor));
        }
        let due_at = queues.due_at().filter(|_| !is_any_under_way).map(|due| due.max(rested_at));
        tokio::select! {
            biased;
            Some((lane, logs, took)) = under_way.next() => {
                queues.land(&logs);
                match lane {
                    Lane::AskedFor => is_asked_under_way = false,
                    Lane::Any => (is_any_under_way, rested_at) = (false, Instant::now() + took * REST_FOR_EACH),
                }
            }
            () = sleep_until(due_at.unwrap_or(rested_at)), if due_at.is_some() => {
                if let Some(batch) = queues.take_batch(Lane::Any) {
                    is_any_under_way = true;
                    under_way.push(batch.store(store.as_ref(), Lane::Any));
                }
            }
            count = waiting.recv_many(&mut new, MAX_BATCH) => match count {
                // Not with lines left: their logs hold a sender.
                0 => return,
                _ => new.drain(..).for_each(|message| queues.add(message)),
            },
        }
    }
}

/// What waits to be stored: each log's in its order, and the logs in turn.
#[derive(Default)]
struct Queues {
    logs: VecDeque<Queue>,
}

struct Queue {
    log: Log,
    messages: VecDeque<Message>,
    /// When the first of the messages came.
    since: Instant,
    /// How many of the messages ask for those before them.
    asked: usize,
    /// Some of the log's lines are being stored. Whoever follows it is to see them in their order.
    is_under_way: bool,
}

impl Queues {
    fn add(&mut self, message: Message) {
        let (Message::Line(log, ..) | Message::Call(log, ..) | Message::Flush(log, _)) = &message;
        let place = self.logs.iter().position(|queue| queue.log.is(log)).unwrap_or_else(|| {
            self.logs.push_back(Queue::new(log.clone()));
            self.logs.len() - 1
        });
        let queue = &mut self.logs[place];
        if queue.messages.is_empty() {
            queue.since = Instant::now();
        }
        queue.asked += usize::from(matches!(message, Message::Flush(..)));
        queue.messages.push_back(message);
    }

    /// When what nobody asks for is to be stored.
    fn due_at(&self) -> Option<Instant> {
        let first = self.logs.iter().filter(|queue| queue.can_go(Lane::Any)).map(|queue| queue.since).min()?;
        Some(first + BATCH_TIME)
    }

    /// The first lines of each log that can go, in turn, until the batch is full.
    fn take_batch(&mut self, lane: Lane) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut waiting = std::mem::take(&mut self.logs);
        while let Some(mut queue) = waiting.pop_front() {
            if batch.is_full() || !queue.can_go(lane) {
                self.logs.push_back(queue);
                continue;
            }
            queue.move_to(&mut batch);
            waiting.push_back(queue);
        }
        // Those that were taken from come last the next time.
        let is_taken = |queue: &Queue| batch.logs.iter().any(|(log, _)| queue.log.is(log));
        self.logs.make_contiguous().sort_by_key(is_taken);
        for queue in self.logs.iter_mut().filter(|queue| is_taken(queue)) {
            queue.is_under_way = true;
        }
        (!batch.logs.is_empty()).then_some(batch)
    }

    /// The lines of these logs are stored.
    fn land(&mut self, logs: &[Log]) {
        for queue in &mut self.logs {
            queue.is_under_way &= !logs.iter().any(|log| queue.log.is(log));
        }
        self.logs.retain(|queue| queue.is_under_way || !queue.messages.is_empty());
    }
}

impl Queue {
    fn new(log: Log) -> Queue {
        Queue { log, messages: VecDeque::new(), since: Instant::now(), asked: 0, is_under_way: false }
    }

    fn can_go(&self, lane: Lane) -> bool {
        let is_meant = match lane {
            Lane::AskedFor => self.asked > 0,
            Lane::Any => !self.messages.is_empty(),
        };
        is_meant && !self.is_under_way
    }

    /// Moves one turn's lines.
    fn move_to(&mut self, batch: &mut Batch) {
        let mut bytes = 0;
        let turn = self.messages.len().min(LINES_A_TURN);
        for message in self.messages.drain(..turn) {
            match message {
                Message::Line(_, lease, line) => {
                    bytes += cost(&line.content);
                    batch.lines.push((lease, line));
                }
                Message::Call(_, lease, call) => {
                    bytes += call_bytes(&call);
                    batch.calls.push((lease, call));
                }
                Message::Flush(_, done) => {
                    self.asked -= 1;
                    batch.waiting_for_flush.push(done);
                }
            }
        }
        batch.bytes += bytes;
        batch.logs.push((self.log.clone(), bytes));
    }
}

#[derive(Default)]
struct Batch {
    /// Whose lines they are, and how many bytes of each.
    logs: Vec<(Log, usize)>,
    lines: Vec<(Lease, LogLine)>,
    calls: Vec<(Lease, Call)>,
    bytes: usize,
    waiting_for_flush: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.lines.len() + self.calls.len() >= MAX_BATCH || self.bytes >= MAX_BATCH_BYTES
    }

    /// Stores what there is, however long the database is away: its programs wait meanwhile. Returns whose it was,
    /// and how long that took.
    async fn store(self, store: &dyn Record, lane: Lane) -> (Lane, Vec<Log>, Duration) {
        let begun = Instant::now();
        if !self.lines.is_empty() || !self.calls.is_empty() {
            kill_point::reach("before_log_flush");
            until_stored("log lines", self.lines.len(), || store.append_logs(&self.lines)).await;
            until_stored("calls", self.calls.len(), || store.append_calls(&self.calls)).await;
        }
        let took = begun.elapsed();
        for (log, bytes) in &self.logs {
            log.stored(*bytes);
        }
        for done in self.waiting_for_flush {
            let _ = done.send(());
        }
        (lane, self.logs.into_iter().map(|(log, _)| log).collect(), took)
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
                sleep(RETRY_AFTER).await;
                continue;
            }
            Err(error) => tracing::error!(%error, count, "{what} were lost"),
        }
        return;
    }
}
