//! What a worker is given, and what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::WaitingOn;
use crate::manifest::Settings;
use crate::retry::RetryPolicy;
use crate::run::{Change, Failure, Verdict};

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
    /// How long the attempt may run, beside the version's own limit.
    pub running_timeout: Option<Duration>,
    /// The code has to be fetched: the run is `starting` until [`Work::begin_running`] says
    /// otherwise.
    ///
    /// [`Work::begin_running`]: crate::store::Work::begin_running
    pub is_starting: bool,
    /// From 1.
    pub attempt: u32,
    /// 0 unless this attempt goes on after it was interrupted.
    pub recoveries: u32,
    /// It goes on after an interruption that was no wait.
    pub is_recovery: bool,
    /// How often in a row its worker was lost without a new journal entry in between. Source: R40.
    pub losses: u32,
    /// The run in which its journal began: the run itself, or the one it was forked from.
    pub origin_run_id: Uuid,
    /// When that was asked for.
    pub origin_at: Timestamp,
    /// The moment of the claim.
    pub now: Timestamp,
    /// From the moment of the claim; zero if it has passed.
    pub until_deadline: Option<Duration>,
    /// What earlier executions of this attempt used up.
    pub fuel_used: u64,
    /// How often somebody told this run something; see [`Park::signals`].
    pub signals: i64,
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
    /// The highest line number in the run's log, 0 if it is empty.
    pub last_line_num: i64,
}

/// What an ended attempt changes.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// How the attempt ended.
    pub verdict: Verdict,
    pub change: Change,
    pub exit_code: Option<i32>,
    pub failure: Option<Failure>,
    pub output: Option<Vec<u8>>,
    pub usage: Usage,
    pub used_loose_io: bool,
}

/// What an execution, or a step, used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub fuel: u64,
    /// The most it held at any moment.
    pub peak_memory_bytes: u64,
    /// Bodies of HTTP answers.
    pub bytes_in: u64,
    /// Bodies of HTTP requests.
    pub bytes_out: u64,
}

/// How a run is put aside until there is something to go on with. Source: R24.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Park {
    pub waiting_on: WaitingOn,
    /// The run it waits for, if it waits for a child.
    pub child: Option<Uuid>,
    /// How often it had been told something when it last looked: if there was more since, the run is
    /// due at once.
    pub signals: i64,
    pub usage: Usage,
    pub used_loose_io: bool,
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
    /// Only lines that were said at that time or later.
    pub reported_from: Option<Timestamp>,
    pub limit: u32,
}
