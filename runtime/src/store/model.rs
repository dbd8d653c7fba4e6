//! What the store takes and returns. Rows and statements have their own shapes, next to them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::manifest::Settings;
use crate::retry::RetryPolicy;
use crate::run::{Change, Failure, Status};

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub name: String,
    /// The version a run takes unless it names one; `None` before the first upload.
    pub active_version: Option<u32>,
    pub policy: RetryPolicy,
    pub created_at: Timestamp,
}

/// An upload to be stored as a version.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The component's sha256, in lower-case hexadecimal.
    pub digest: String,
    pub component: Vec<u8>,
    pub settings: Settings,
    /// Becomes the app's policy, if there.
    pub policy: Option<RetryPolicy>,
}

/// One immutable upload of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub app: String,
    /// From 1 for each app.
    pub number: u32,
    pub digest: String,
    pub size_bytes: u64,
    pub settings: Settings,
    pub created_at: Timestamp,
}

/// A request to run an app.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    pub app: String,
    /// `None` is the active one.
    pub version: Option<u32>,
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
    /// `None` is the app's.
    pub policy: Option<RetryPolicy>,
}

/// A run, without its payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub run_id: Uuid,
    pub app: String,
    /// From 1 for each app; people write `app#7`.
    pub number: i64,
    pub version: u32,
    pub status: Status,
    /// Counts the attempt that is running or awaited. Source: R9.
    pub num_attempts: u32,
    /// Copied from the app when the run was started. Source: R5.
    pub policy: RetryPolicy,
    /// Of the last attempt, once the run is final. Source: R10.
    pub exit_code: Option<i32>,
    /// Of the last attempt, once the run is final.
    pub failure: Option<Failure>,
    pub created_at: Timestamp,
    /// When the first attempt began.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// While `retrying`.
    pub next_attempt_at: Option<Timestamp>,
}

/// A run's payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIo {
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
    pub output: Option<Vec<u8>>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub app: Option<String>,
    pub status: Option<Status>,
    /// Only runs that are older than this one, for paging; run ids rise with time.
    pub before: Option<Uuid>,
    pub limit: u32,
}

/// One try of a run. Source: R9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub seq: u32,
    /// `running` until it ended.
    pub status: Status,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    pub failure: Option<Failure>,
    pub fuel_used: Option<u64>,
    pub peak_memory_bytes: Option<u64>,
    /// How often the attempt went on in another place.
    pub recoveries: u32,
}

/// A worker's right to claim runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSession {
    pub worker_id: Uuid,
    /// Until when it is valid without a renewal.
    pub lease: Duration,
}

/// A worker's right to write about one run: valid until the run's fence rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub run_id: Uuid,
    pub fence: i64,
}

/// A claimed run, with all that its execution needs but the component and the journal.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub lease: Lease,
    pub app: String,
    pub number: i64,
    pub version: u32,
    pub digest: String,
    pub settings: Settings,
    pub policy: RetryPolicy,
    /// From 1.
    pub attempt: u32,
    /// 0 unless this attempt goes on after it was interrupted.
    pub recoveries: u32,
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
    /// The highest line number in the run's log, 0 if it is empty.
    pub last_line_num: i64,
}

/// What an ended attempt changes.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The attempt's final status.
    pub status: Status,
    pub change: Change,
    pub exit_code: Option<i32>,
    pub failure: Option<Failure>,
    pub output: Option<Vec<u8>>,
    pub fuel_used: u64,
    pub peak_memory_bytes: u64,
}

/// One recorded step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// From 1 for each run, without gaps.
    pub seq: u32,
    /// The attempt that recorded it.
    pub attempt: u32,
    pub name: String,
    /// Which use of the name, from 1. Source: R20.
    pub occurrence: u32,
    pub outcome: StepOutcome,
    /// How long the step's body took.
    pub took: Duration,
    /// By the database's clock. Set when the entry is read; ignored when it is written.
    pub recorded_at: Timestamp,
}

/// How a recorded step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// With this result.
    Finished(Vec<u8>),
    /// With this message.
    Failed(String),
}

/// Who says a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The guest, on stdout or stderr.
    Program,
    /// Relume, about the run.
    Setup,
}

impl Channel {
    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Program => "program",
            Channel::Setup => "setup",
        }
    }

    /// The channel that `word` names.
    pub fn from_word(word: &str) -> Option<Channel> {
        [Channel::Program, Channel::Setup].into_iter().find(|channel| channel.as_str() == word)
    }
}

/// One line of a run's log. Source: R11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Rises within the run, over all its attempts.
    pub line_num: i64,
    pub attempt: u32,
    pub channel: Channel,
    /// Without the newline and without NUL.
    pub content: String,
    /// By the database's clock. Set when the line is read; ignored when it is written.
    pub reported_at: Timestamp,
}

/// Which log lines to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFilter {
    pub attempt: Option<u32>,
    /// Only lines with a higher number; 0 is all.
    pub after_line: i64,
    pub limit: u32,
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The public part, by which it is looked up.
    pub token_id: String,
    pub name: String,
    /// sha256 of the secret part.
    pub secret_hash: Vec<u8>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub token_id: String,
    pub name: String,
    pub created_at: Timestamp,
}
