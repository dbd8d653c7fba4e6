//! Runs, as a caller sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Timeouts;
use crate::manifest::SomeLimits;
use crate::retry::RetryPolicy;
use crate::run::{EndedBecause, Failure, Status};

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
    /// In each of the two `None` is the app's.
    pub timeouts: Timeouts,
    /// When it is due: `None`, and a moment that is past, is at once. Source: R45.
    pub scheduled_at: Option<Timestamp>,
    /// What kind of client asks, e.g. `tower_cli`.
    pub initiator: Option<String>,
    /// Starts with the same key are one start. Source: R44.
    pub key: Option<StartKey>,
    /// By when it has to be final. Source: R28.
    pub deadline_at: Option<Timestamp>,
    /// Those that are not set are the app's, or its version's.
    pub limits: SomeLimits,
}

/// What makes a start the same as another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartKey {
    /// Chosen by the caller, unique for the app.
    pub key: String,
    /// sha256 of what is asked for.
    pub request_hash: Vec<u8>,
}

/// The answer to a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub run: Run,
    /// The run was started earlier, with the same key.
    pub is_repeated: bool,
}

/// A run, without its input and output.
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
    /// When it was to start; when it was asked for unless a later time was.
    pub scheduled_at: Timestamp,
    /// When a worker first fetched its code, if one had to. Source: R1.
    pub starting_at: Option<Timestamp>,
    /// Why it ended although something else was to be expected.
    pub ended_because: Option<EndedBecause>,
    /// When it is cancelled if no worker has taken it.
    pub pending_until: Option<Timestamp>,
    /// How long each attempt may run.
    pub running_timeout: Option<Duration>,
    /// What kind of client asked for it.
    pub initiator: Option<String>,
    pub parameters: BTreeMap<String, String>,
    /// The schedule that started it. The name is there as long as the schedule is.
    pub schedule: Option<ScheduledBy>,
    /// By when it has to be final. Source: R28.
    pub deadline_at: Option<Timestamp>,
    /// While it is parked. Source: R24.
    pub waiting_on: Option<WaitingOn>,
    /// The run that started it. Source: R43.
    pub parent: Option<RunName>,
    /// The run of whose journal it has the first entries. Source: R31.
    pub forked_from: Option<Fork>,
    /// The run in which its journal began: itself, or the first of those it was forked from.
    pub origin_run_id: Uuid,
    /// When that was asked for.
    pub origin_at: Timestamp,
    /// Its program used the network outside steps, so that a replay may take another way.
    pub used_loose_io: bool,
    /// The app's when the run was started.
    pub app_limits: SomeLimits,
    /// What was set for this run alone.
    pub limits: SomeLimits,
}

/// A run, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName {
    pub run_id: Uuid,
    pub app: String,
    pub number: i64,
}

/// Where a forked run comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    pub run: RunName,
    /// The first entry that was not taken over.
    pub from_seq: u32,
}

/// What a parked run waits for. Source: R24.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingOn {
    pub kind: WaitKind,
    /// Of the step, the event, or the child (`app#7`); `sleep` for a sleep.
    pub name: String,
    /// Until when at the latest; `None` is for ever.
    #[serde(with = "crate::store::moments::option")]
    pub until: Option<Timestamp>,
}

/// What a run can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitKind {
    StepRetry,
    Sleep,
    Event,
    Child,
}

impl WaitKind {
    /// Every kind.
    pub const ALL: [WaitKind; 4] = [WaitKind::StepRetry, WaitKind::Sleep, WaitKind::Event, WaitKind::Child];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitKind::StepRetry => "step_retry",
            WaitKind::Sleep => "sleep",
            WaitKind::Event => "event",
            WaitKind::Child => "child",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<WaitKind> {
        WaitKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which schedule started a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledBy {
    pub schedule_id: Uuid,
    pub name: Option<String>,
}

/// What a run was given and returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIo {
    pub input: Vec<u8>,
    pub output: Option<Vec<u8>>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub app: Option<String>,
    /// Only runs of these apps, if no one app is named.
    pub among: Option<Vec<String>>,
    /// Runs in any of these; empty is all.
    pub statuses: Vec<Status>,
    /// Only runs that were created at that time or later.
    pub created_from: Option<Timestamp>,
    /// Only runs that were created before that time.
    pub created_until: Option<Timestamp>,
    /// Only runs with this text in their app, failure or parameters.
    pub query: Option<String>,
    /// Only runs that are older than this one, for paging; run ids rise with time.
    pub before: Option<Uuid>,
    pub limit: u32,
    pub offset: u32,
}

/// One try of a run. Source: R9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub seq: u32,
    /// `starting` or `running` until it ended.
    pub status: Status,
    /// When its code was fetched or compiled, if that was needed.
    pub starting_at: Option<Timestamp>,
    /// When the program began.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    pub failure: Option<Failure>,
    /// Over all the times it was executed, as far as those came to an end or were parked.
    pub fuel_used: Option<u64>,
    pub peak_memory_bytes: Option<u64>,
    /// Bodies of HTTP answers that the program received, counted as `fuel_used` is.
    pub bytes_in: Option<u64>,
    /// Bodies of HTTP requests that it sent.
    pub bytes_out: Option<u64>,
    /// How often the attempt went on in another place. Waking from a wait does not count.
    pub recoveries: u32,
}

/// How a run fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTimes {
    pub status: Status,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// A worker whose session is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveWorker {
    pub worker_id: Uuid,
    /// For people, as in `host:pid`.
    pub name: String,
    pub slots: u64,
    /// How many runs it has.
    pub held: u64,
    pub started_at: Timestamp,
    /// When it is taken for lost, unless it renews its session.
    pub expires_at: Timestamp,
}

/// What waits for a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DueRuns {
    pub count: u64,
    /// Since when the one that has waited longest is due.
    pub oldest_at: Option<Timestamp>,
}

/// Who could take a waiting run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Workers whose session is valid.
    pub workers: u64,
    /// Runs that they can execute at the same time.
    pub slots: u64,
    /// Runs that they execute.
    pub held: u64,
    /// Runs that are due and wait, and have waited for longer than the one in question.
    pub ahead: u64,
    /// A worker has the one in question.
    pub is_held: bool,
}
