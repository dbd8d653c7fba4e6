//! What did the guest print? A [`Log`] turns the bytes of one attempt into numbered lines, with
//! limits; a [`LogWriter`] stores the lines of all attempts of a worker. So it does with what they called over the
//! network.

mod writer;

use std::collections::VecDeque;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use self::writer::{Message, call_bytes};
use crate::manifest::{Limit, Limits};
use crate::numbers::{Number, bytes, count, fixed};
use crate::redact::Redactor;
use crate::store::{Call, Channel, Lease, LogLine};
use crate::telemetry::{LOG_LINES, LOG_LINES_DROPPED};

pub use self::writer::LogWriter;

/// The most calls that are kept of one run. Source: V11.
pub const MAX_RUN_CALLS: i64 = 10_000;
/// What a line costs beside its text: its row, and its place in memory until it is stored.
const LINE_BYTES: usize = 128;
/// How much of an attempt may wait to be stored before its guest has to wait.
const MAX_QUEUED_BYTES: usize = 256 * 1024;
/// How many last lines of stderr are remembered to explain a failure.
const LAST_WORDS: usize = 3;

/// Which stream of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How much is kept of one attempt. Source: V8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// The longest line that is kept whole.
    pub line_bytes: usize,
    pub attempt_bytes: usize,
}

impl From<&Limits> for LogLimits {
    fn from(limits: &Limits) -> LogLimits {
        LogLimits { line_bytes: limits.bytes(Limit::LogLineKib), attempt_bytes: limits.bytes(Limit::LogMib) }
    }
}

/// The log of one attempt. Clones are the same log.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    sink: Sink,
    attempt: u32,
    limits: LogLimits,
    /// Set while the program repeats what it did, and so what it printed, before.
    muted: AtomicBool,
    /// The journal entry of the step under way; 0 outside steps.
    step: AtomicU32,
    /// Bytes that wait to be stored.
    queued_bytes: AtomicUsize,
    room: Notify,
    lines: Mutex<Lines>,
    secrets: OnceLock<Redactor>,
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
    last_call_num: i64,
    dropped_calls: u64,
    partial: [Vec<u8>; 2],
    last_words: VecDeque<String>,
}

impl Log {
    /// A log whose lines and calls are stored under `lease`, numbered from after the last ones.
    pub fn new(
        lease: Lease,
        attempt: u32,
        last_line_num: i64,
        last_call_num: i64,
        writer: LogWriter,
        limits: LogLimits,
    ) -> Log {
        let log = Log::with_sink(Sink::Store { lease, writer }, attempt, last_line_num, limits);
        log.lines().last_call_num = last_call_num;
        log
    }

    /// A log that goes to our own stdout and stderr.
    pub fn to_terminal() -> Log {
        Log::with_sink(Sink::Terminal, 1, 0, LogLimits::from(&Limits::default()))
    }

    /// A log that nobody reads.
    pub fn to_nowhere() -> Log {
        Log::with_sink(Sink::Nowhere, 1, 0, LogLimits::from(&Limits::default()))
    }

    fn with_sink(sink: Sink, attempt: u32, last_line_num: i64, limits: LogLimits) -> Log {
        let lines = Mutex::new(Lines { last_line_num, ..Lines::default() });
        let (muted, step) = (AtomicBool::new(false), AtomicU32::new(0));
        let (queued_bytes, room, secrets) = (AtomicUsize::new(0), Notify::new(), OnceLock::new());
        let inner = Inner { sink, attempt, limits, muted, step, queued_bytes, room, lines, secrets };
        Log { inner: Arc::new(inner) }
    }

    /// From now on these secrets show nowhere in it.
    pub fn hide(&self, secrets: Redactor) {
        // An attempt has one set of secrets, so it is told once.
        let _ = self.inner.secrets.set(secrets);
    }

    /// The text without the secrets of the attempt, as for whatever else is written down of it.
    pub fn hidden(&self, text: &str) -> String {
        self.secrets().text(text).into_owned()
    }

    fn secrets(&self) -> &Redactor {
        const NONE: &Redactor = &Redactor::none();
        self.inner.secrets.get().unwrap_or(NONE)
    }

    /// While muted, what the program prints is not kept.
    pub fn mute(&self, muted: bool) {
        self.inner.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether what the program prints is not kept.
    pub fn is_muted(&self) -> bool {
        self.inner.muted.load(Ordering::Relaxed)
    }

    /// From now on what is printed is of the step of this journal entry, or of none.
    pub fn enter_step(&self, seq: Option<u32>) {
        self.inner.step.store(seq.unwrap_or(0), Ordering::Relaxed);
    }

    fn step(&self) -> Option<u32> {
        Some(self.inner.step.load(Ordering::Relaxed)).filter(|seq| *seq > 0)
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
        self.keep(&mut lines, Channel::Setup, Stream::Stderr, self.hidden(content));
    }

    /// Takes a line of a log that another process keeps; it gets its number here, and meets the same limits.
    pub fn relay(&self, channel: Channel, seq: Option<u32>, mut content: String) {
        // Room for what such a log adds to a line that it cuts.
        content.truncate(content.floor_char_boundary(self.inner.limits.line_bytes.saturating_add(LINE_BYTES)));
        let mut lines = self.lines();
        self.enter_step(seq);
        self.keep(&mut lines, channel, Stream::Stderr, self.hidden(&content).replace('\0', "\u{fffd}"));
        self.enter_step(None);
    }

    /// A call that is over. It gets its number here.
    pub fn call(&self, call: Call) {
        let mut lines = self.lines();
        let Sink::Store { lease, writer } = &self.inner.sink else { return };
        if lines.last_call_num >= MAX_RUN_CALLS {
            lines.dropped_calls += 1;
            return;
        }
        lines.last_call_num += 1;
        self.inner.queued_bytes.fetch_add(call_bytes(&call), Ordering::AcqRel);
        writer.push(Message::Call(self.clone(), *lease, Call { call_num: lines.last_call_num, ..call }));
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
                let limit_mib = self.inner.limits.attempt_bytes / (1024 * 1024);
                let content = format!(
                    "{dropped} lines dropped: an attempt's log is limited to {limit_mib} MiB (`limits.log_mib`)"
                );
                self.push(&mut lines, Channel::Setup, content);
            }
            let dropped_calls = std::mem::take(&mut lines.dropped_calls);
            if dropped_calls > 0 {
                let content = format!("{dropped_calls} calls are not listed: a run's list holds {MAX_RUN_CALLS}");
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
            writer.flush(self.clone()).await;
        }
    }

    fn is(&self, other: &Log) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.inner.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the unfinished line, as far as the limit goes, and a secret that begins before it.
    fn extend(&self, lines: &mut Lines, stream: Stream, bytes: &[u8]) {
        let partial = &mut lines.partial[stream as usize];
        let limit = self.inner.limits.line_bytes.saturating_add(1).saturating_add(self.secrets().reach_bytes());
        let room = limit.saturating_sub(partial.len());
        partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&self, lines: &mut Lines, stream: Stream) {
        let most = self.inner.limits.line_bytes;
        let whole = std::mem::take(&mut lines.partial[stream as usize]);
        let mut line = self.secrets().bytes(&whole, most.saturating_add(1)).into_owned();
        let cut = whole.len().max(line.len()) > most;
        line.truncate(most);
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
        lines.kept_bytes = lines.kept_bytes.saturating_add(cost(&content));
        if lines.kept_bytes > self.inner.limits.attempt_bytes {
            lines.dropped += 1;
            metrics::counter!(LOG_LINES_DROPPED).increment(1);
            return;
        }
        self.push(lines, channel, content);
    }

    fn push(&self, lines: &mut Lines, channel: Channel, content: String) {
        let Sink::Store { lease, writer } = &self.inner.sink else { return };
        lines.last_line_num += 1;
        metrics::counter!(LOG_LINES).increment(1);
        self.inner.queued_bytes.fetch_add(cost(&content), Ordering::AcqRel);
        let line = LogLine {
            line_num: lines.last_line_num,
            attempt: self.inner.attempt,
            channel,
            content,
            seq: self.step(),
            reported_at: Timestamp::UNIX_EPOCH,
        };
        writer.push(Message::Line(self.clone(), *lease, line));
    }

    fn stored(&self, bytes: usize) {
        self.inner.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.inner.room.notify_waiters();
    }
}

/// The numbers that no manifest can set.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V8", "lines of a run that wait to be stored before its program waits", bytes(MAX_QUEUED_BYTES)),
        fixed("V8", "what a line counts beside its text", bytes(LINE_BYTES)),
        fixed("V11", "HTTP calls of a run that are listed", count(MAX_RUN_CALLS)),
    ]
}

/// What a line counts against the limits: a line of no text is not free.
fn cost(content: &str) -> usize {
    content.len().saturating_add(LINE_BYTES)
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

/// The text without characters that move the cursor, colour, have no width, or reverse the reading order.
/// Source: V19.
pub fn printable(text: &str) -> String {
    let is_harmless = |c: &char| match c {
        '\n' | '\t' => true,
        // What has no width, and what turns the reading order: between letters, before a line, in emoji, as tags.
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => false,
        '\u{2028}'..='\u{202e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(is_harmless).collect()
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
