//! What did the guest print? A [`Log`] turns the bytes of one attempt into numbered lines, with
//! limits; a [`LogWriter`] stores the lines of all attempts of a worker, a batch at a time.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::kill_point;
use crate::store::{Channel, Lease, LogLine, Store, StoreError};

/// The longest line that is kept whole. Source: V8.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most that is kept of one attempt. Source: V8.
pub const MAX_ATTEMPT_BYTES: usize = 10 * 1024 * 1024;
/// How much of an attempt may wait to be stored before its guest has to wait.
const MAX_QUEUED_BYTES: usize = 256 * 1024;
/// How long lines wait for others, so that a chatty program costs few commits.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// How long to wait before lines that the database did not take are tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The most lines one commit stores.
const MAX_BATCH: usize = 1000;
/// How many last lines of stderr are remembered to explain a failure.
const LAST_WORDS: usize = 3;

/// Which stream of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The log of one attempt. Clones are the same log.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    sink: Sink,
    attempt: u32,
    /// Set while the program repeats what it did, and so what it printed, before.
    muted: AtomicBool,
    /// Bytes that wait to be stored.
    queued_bytes: AtomicUsize,
    room: Notify,
    lines: Mutex<Lines>,
}

enum Sink {
    Store { lease: Lease, writer: LogWriter },
    Terminal,
    Nowhere,
}

#[derive(Default)]
struct Lines {
    last_line_num: i64,
    kept_bytes: usize,
    dropped: u64,
    partial: [Vec<u8>; 2],
    last_words: VecDeque<String>,
}

impl Log {
    /// A log whose lines are stored under `lease`, numbered from after `last_line_num`.
    pub fn new(lease: Lease, attempt: u32, last_line_num: i64, writer: LogWriter) -> Log {
        Log::with_sink(Sink::Store { lease, writer }, attempt, last_line_num)
    }

    /// A log that goes to our own stdout and stderr.
    pub fn to_terminal() -> Log {
        Log::with_sink(Sink::Terminal, 1, 0)
    }

    /// A log that nobody reads.
    pub fn to_nowhere() -> Log {
        Log::with_sink(Sink::Nowhere, 1, 0)
    }

    fn with_sink(sink: Sink, attempt: u32, last_line_num: i64) -> Log {
        let lines = Mutex::new(Lines { last_line_num, ..Lines::default() });
        let muted = AtomicBool::new(false);
        let inner = Inner { sink, attempt, muted, queued_bytes: AtomicUsize::new(0), room: Notify::new(), lines };
        Log { inner: Arc::new(inner) }
    }

    /// While muted, what the program prints is not kept.
    pub fn mute(&self, muted: bool) {
        self.inner.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether what the program prints is not kept.
    pub fn is_muted(&self) -> bool {
        self.inner.muted.load(Ordering::Relaxed)
    }

    /// Takes bytes the program wrote; whole lines are kept, the rest waits for its newline.
    pub fn write(&self, stream: Stream, bytes: &[u8]) {
        if self.is_muted() {
            return;
        }
        let mut lines = self.lines();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend(&mut lines, stream, &rest[..end]);
            self.end_line(&mut lines, stream);
            rest = &rest[end + 1..];
        }
        self.extend(&mut lines, stream, rest);
    }

    /// Says something about the run, on the channel `setup`.
    pub fn setup(&self, content: &str) {
        let mut lines = self.lines();
        self.keep(&mut lines, Channel::Setup, Stream::Stderr, content.to_owned());
    }

    /// Waits until there is room for more.
    pub async fn room(&self) {
        while self.inner.queued_bytes.load(Ordering::Acquire) > MAX_QUEUED_BYTES {
            let freed = self.inner.room.notified();
            if self.inner.queued_bytes.load(Ordering::Acquire) > MAX_QUEUED_BYTES {
                freed.await;
            }
        }
    }

    /// Whether there is room for more now.
    pub fn has_room(&self) -> bool {
        self.inner.queued_bytes.load(Ordering::Acquire) <= MAX_QUEUED_BYTES
    }

    /// The last lines of stderr, to explain a failure.
    pub fn last_words(&self) -> Vec<String> {
        self.lines().last_words.iter().cloned().collect()
    }

    /// Ends unfinished lines, marks what was dropped, and returns when all is stored, or given
    /// up because the run or the database was lost.
    pub async fn finish(&self) {
        {
            let mut lines = self.lines();
            for stream in [Stream::Stdout, Stream::Stderr] {
                if !lines.partial[stream as usize].is_empty() {
                    self.end_line(&mut lines, stream);
                }
            }
            let dropped = std::mem::take(&mut lines.dropped);
            if dropped > 0 {
                let limit_mib = MAX_ATTEMPT_BYTES / (1024 * 1024);
                let content = format!("{dropped} lines dropped: an attempt's log is limited to {limit_mib} MiB");
                self.push(&mut lines, Channel::Setup, content);
            }
        }
        self.store_lines().await;
    }

    /// Returns when every whole line so far is stored, or given up.
    pub async fn store_lines(&self) {
        if let Sink::Store { writer, .. } = &self.inner.sink
            && self.inner.queued_bytes.load(Ordering::Acquire) > 0
        {
            writer.flush().await;
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.inner.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the unfinished line, as far as the limit goes.
    fn extend(&self, lines: &mut Lines, stream: Stream, bytes: &[u8]) {
        let partial = &mut lines.partial[stream as usize];
        let room = (MAX_LINE_BYTES + 1).saturating_sub(partial.len());
        partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&self, lines: &mut Lines, stream: Stream) {
        let mut line = std::mem::take(&mut lines.partial[stream as usize]);
        let cut = line.len() > MAX_LINE_BYTES;
        line.truncate(MAX_LINE_BYTES);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let mut content = String::from_utf8_lossy(&line).replace('\0', "\u{fffd}");
        if cut {
            content.push_str(" [line cut]");
        }
        if stream == Stream::Stderr {
            if lines.last_words.len() == LAST_WORDS {
                lines.last_words.pop_front();
            }
            lines.last_words.push_back(content.clone());
        }
        self.keep(lines, Channel::Program, stream, content);
    }

    fn keep(&self, lines: &mut Lines, channel: Channel, stream: Stream, content: String) {
        if let Sink::Terminal = self.inner.sink {
            return print(stream, &content);
        }
        lines.kept_bytes = lines.kept_bytes.saturating_add(content.len() + 1);
        if lines.kept_bytes > MAX_ATTEMPT_BYTES {
            lines.dropped += 1;
            return;
        }
        self.push(lines, channel, content);
    }

    fn push(&self, lines: &mut Lines, channel: Channel, content: String) {
        let Sink::Store { lease, writer } = &self.inner.sink else { return };
        lines.last_line_num += 1;
        self.inner.queued_bytes.fetch_add(content.len() + 1, Ordering::AcqRel);
        let line = LogLine {
            line_num: lines.last_line_num,
            attempt: self.inner.attempt,
            channel,
            content,
            reported_at: Timestamp::UNIX_EPOCH,
        };
        writer.push(Message::Line(self.clone(), *lease, line));
    }

    fn stored(&self, bytes: usize) {
        self.inner.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.inner.room.notify_waiters();
    }
}

/// Prints a line to our own stream; on a terminal, without what would steer it.
fn print(stream: Stream, line: &str) {
    // A closed terminal is no reason to fail the program.
    let _ = match stream {
        Stream::Stdout if std::io::stdout().is_terminal() => writeln!(std::io::stdout(), "{}", printable(line)),
        Stream::Stdout => writeln!(std::io::stdout(), "{line}"),
        Stream::Stderr if std::io::stderr().is_terminal() => writeln!(std::io::stderr(), "{}", printable(line)),
        Stream::Stderr => writeln!(std::io::stderr(), "{line}"),
    };
}

/// The text without characters that move the cursor, colour, or reverse the reading order.
/// Source: V19.
pub fn printable(text: &str) -> String {
    let is_harmless = |c: &char| match c {
        '\n' | '\t' => true,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(is_harmless).collect()
}

/// Stores the lines of a worker's attempts.
#[derive(Clone)]
pub struct LogWriter {
    queue: mpsc::UnboundedSender<Message>,
}

enum Message {
    Line(Log, Lease, LogLine),
    Flush(oneshot::Sender<()>),
}

impl LogWriter {
    /// Starts the task that writes; it ends when the last clone of the writer is dropped.
    pub fn start(store: Arc<dyn Store>) -> LogWriter {
        let (queue, waiting) = mpsc::unbounded_channel();
        tokio::spawn(store_forever(store, waiting));
        LogWriter { queue }
    }

    fn push(&self, message: Message) {
        // The task outlives every sender; if it were gone, there would be no one to tell.
        let _ = self.queue.send(message);
    }

    async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.push(Message::Flush(done));
        let _ = flushed.await;
    }
}

async fn store_forever(store: Arc<dyn Store>, mut waiting: mpsc::UnboundedReceiver<Message>) {
    while let Some(first) = waiting.recv().await {
        let mut batch = Batch::default();
        batch.add(first);
        let full = tokio::time::sleep(BATCH_TIME);
        tokio::pin!(full);
        while batch.lines.len() < MAX_BATCH && batch.waiting_for_flush.is_empty() {
            tokio::select! {
                biased;
                message = waiting.recv() => match message {
                    Some(message) => batch.add(message),
                    None => break,
                },
                () = &mut full => break,
            }
        }
        batch.store(store.as_ref()).await;
    }
}

#[derive(Default)]
struct Batch {
    logs: Vec<(Log, usize)>,
    lines: Vec<(Lease, LogLine)>,
    waiting_for_flush: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, message: Message) {
        match message {
            Message::Line(log, lease, line) => {
                self.logs.push((log, line.content.len() + 1));
                self.lines.push((lease, line));
            }
            Message::Flush(done) => self.waiting_for_flush.push(done),
        }
    }

    /// Appends the lines, however long the database is away: their programs wait meanwhile.
    async fn append(&self, store: &dyn Store) {
        loop {
            match store.append_logs(&self.lines).await {
                Ok(stored) if stored < self.lines.len() as u64 => {
                    tracing::warn!("log lines were refused: their run was taken away");
                }
                Ok(_) => {}
                Err(StoreError::Unavailable(error)) => {
                    tracing::warn!(%error, "log lines wait for the database");
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
                Err(error) => tracing::error!(%error, lines = self.lines.len(), "log lines were lost"),
            }
            return;
        }
    }

    async fn store(self, store: &dyn Store) {
        if !self.lines.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // V19
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{9b}2J\u{202e}c\r\u{7}\t\n"), "a[31mb2Jc\t\n");
        assert_eq!(printable("Grüße 🙂"), "Grüße 🙂");
    }
}
