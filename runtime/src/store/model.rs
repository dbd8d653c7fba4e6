//! What the store takes and returns. Rows and statements have their own shapes, next to them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::manifest::Settings;
use crate::retry::RetryPolicy;
use crate::run::{Change, EndedBecause, Failure, Status, Verdict};

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub name: String,
    /// The version a run takes unless it names one; `None` before the first upload.
    pub active_version: Option<u32>,
    pub policy: RetryPolicy,
    /// For people.
    pub description: String,
    /// No run is started, and no attempt retried. Source: R8.
    pub disabled: bool,
    /// Copied onto runs when they are started; see [`NewRun::timeouts`].
    pub timeouts: Timeouts,
    /// Rises with every change, uploads included.
    pub revision: i64,
    pub created_at: Timestamp,
    /// Of its active schedules, the one whose tick comes first.
    pub next_tick: Option<Tick>,
}

/// When a schedule starts its next run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    pub cron: String,
    pub at: Timestamp,
}

/// How long a run may wait for a worker, and how long each of its attempts may run. `None` is
/// without end; the version's own limit of running time holds beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// In whole seconds, from when the run is due.
    pub pending: Option<Duration>,
    /// In whole seconds.
    pub running: Option<Duration>,
}

/// What to change of an app; `None` is left as it is.
#[derive(Debug, Clone, Default)]
pub struct AppChange {
    pub description: Option<String>,
    pub disabled: Option<bool>,
    pub policy: Option<RetryPolicy>,
    /// `Some(None)` takes the timeout away.
    pub pending_timeout: Option<Option<Duration>>,
    pub running_timeout: Option<Option<Duration>>,
}

/// Which apps to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct AppFilter {
    /// Part of the name.
    pub query: Option<String>,
    pub only: Option<OnlyApps>,
    pub sort: AppSort,
    pub limit: u32,
    pub offset: u32,
}

/// Which apps to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyApps {
    Enabled,
    Disabled,
    /// With an active run.
    Running,
    /// With an active schedule.
    Scheduled,
}

/// In which order to list apps; the newest first where it is about time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AppSort {
    #[default]
    Name,
    CreatedAt,
    UpdatedAt,
    MostRecentRun,
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
    /// In each of the two `None` is the app's.
    pub timeouts: Timeouts,
    /// When it is due: `None`, and a moment that is past, is at once. Source: R45.
    pub scheduled_at: Option<Timestamp>,
    /// What kind of client asks, e.g. `tower_cli`.
    pub initiator: Option<String>,
    /// Starts with the same key are one start. Source: R44.
    pub key: Option<StartKey>,
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
    /// Runs in any of these; empty is all.
    pub statuses: Vec<Status>,
    /// Only runs that were created at that time or later.
    pub created_from: Option<Timestamp>,
    /// Only runs that were created before that time.
    pub created_until: Option<Timestamp>,
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
    /// How long the attempt may run, beside the version's own limit.
    pub running_timeout: Option<Duration>,
    /// The code has to be fetched: the run is `starting` until [`Work::begin_running`] says
    /// otherwise.
    ///
    /// [`Work::begin_running`]: super::Store::begin_running
    pub is_starting: bool,
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
    /// How the attempt ended.
    pub verdict: Verdict,
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
    /// Only lines that were said at that time or later.
    pub reported_from: Option<Timestamp>,
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
    /// What it may do, as `api` spells it.
    pub scopes: String,
    /// It is valid for so long; `None` is until it is revoked.
    pub valid_for: Option<Duration>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub token_id: String,
    pub name: String,
    /// What it may do, as `api` spells it.
    pub scopes: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// Runs of an app at the times that a cron expression names. Source: R45.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub schedule_id: Uuid,
    /// Unique.
    pub name: String,
    pub app: String,
    pub settings: ScheduleSettings,
    pub app_is_disabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The tick that comes next, or is due; of no meaning while the schedule is paused.
    pub next_tick_at: Timestamp,
    pub last_tick_at: Option<Timestamp>,
}

/// What can be changed of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSettings {
    pub cron: String,
    /// The name of a time zone, as in `Europe/London`.
    pub timezone: String,
    /// A tick starts no run while the run of an earlier one is active.
    pub skips_overlap: bool,
    pub is_paused: bool,
    pub parameters: BTreeMap<String, String>,
}

/// What is known of a secret without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    /// A few characters of it, by which people know which one it is.
    pub preview: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A secret to be kept.
#[derive(Debug, Clone)]
pub struct NewSecret {
    pub name: String,
    /// Encrypted by whoever holds the key.
    pub sealed: Vec<u8>,
    pub preview: String,
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
