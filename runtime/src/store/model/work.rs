//! What a worker is given, and what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::WaitingOn;
use crate::manifest::{Settings, SomeLimits};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The app's when the run was started.
    pub app_limits: SomeLimits,
    /// What was set for this run alone.
    pub limits: SomeLimits,
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
    /// The number of the run's last call, 0 without one.
    pub last_call_num: i64,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The journal entry of the step in which it was printed; `None` outside steps.
    pub seq: Option<u32>,
    /// By the database's clock. Set when the line is read; ignored when it is written.
    pub reported_at: Timestamp,
}

/// Which log lines to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFilter {
    pub attempt: Option<u32>,
    /// Only lines with a higher number; 0 is all.
    pub after_line: i64,
    /// Only lines that were printed in the step of this journal entry.
    pub seq: Option<u32>,
    /// Only lines that were said at that time or later.
    pub reported_from: Option<Timestamp>,
    pub limit: u32,
    /// No line that begins after so many bytes of others.
    pub max_bytes: Option<u64>,
}

impl LogFilter {
    /// Whether there may be more lines than these, which it let through.
    pub fn is_full(&self, lines: &[LogLine]) -> bool {
        let bytes: u64 = lines.iter().map(|line| line.content.len() as u64).sum();
        lines.len() >= self.limit as usize || self.max_bytes.is_some_and(|max_bytes| bytes >= max_bytes)
    }
}

/// What a program asked of another host, and what came of it. Source: V11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// From 1, in the order in which the run's calls were over.
    pub call_num: i64,
    pub attempt: u32,
    /// The journal entry of the step that made it; `None` outside steps.
    pub seq: Option<u32>,
    pub method: String,
    /// Without its query, and cut.
    pub url: String,
    /// `None` if there was no answer.
    pub status: Option<u16>,
    /// Why it was refused, came to nothing, or broke off.
    pub error: Option<String>,
    /// Of its answer's body, as far as it was read.
    pub bytes_in: u64,
    /// Of its own body, as far as it was sent.
    pub bytes_out: u64,
    pub took: Duration,
    /// By the database's clock. Set when the call is read; ignored when it is written.
    pub recorded_at: Timestamp,
}
