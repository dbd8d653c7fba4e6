//! The shapes of rows, and how each becomes what the store returns. A number or word that the
//! schema would not have let in is a fault.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use super::errors::senseless;
use super::model::*;
use super::{Result, StoreError};
use crate::retry::RetryPolicy;
use crate::run::{EndedBecause, Failure, FailureKind, Status};

/// A row, and what it says.
pub(super) trait Row {
    type Value;
    fn decode(self) -> Result<Self::Value>;
}

/// What all the rows say.
pub(super) fn decode_all<R: Row>(rows: Vec<R>) -> Result<Vec<R::Value>> {
    rows.into_iter().map(Row::decode).collect()
}

#[derive(FromRow)]
pub(super) struct PolicyColumns {
    max_retries: i32,
    retry_delay_ms: i64,
    exponential: bool,
}

impl Row for PolicyColumns {
    type Value = RetryPolicy;
    fn decode(self) -> Result<RetryPolicy> {
        Ok(RetryPolicy {
            max_retries: count(self.max_retries)?,
            delay: Duration::from_millis(count(self.retry_delay_ms)?),
            exponential: self.exponential,
        })
    }
}

#[derive(FromRow)]
pub(super) struct FailureColumns {
    #[sqlx(default)]
    exit_code: Option<i32>,
    #[sqlx(default)]
    failure_kind: Option<String>,
    #[sqlx(default)]
    failure_message: Option<String>,
    #[sqlx(default)]
    failure_backtrace: Option<String>,
}

impl Row for FailureColumns {
    type Value = Option<Failure>;
    fn decode(self) -> Result<Option<Failure>> {
        let Some(word) = self.failure_kind else { return Ok(None) };
        let kind = FailureKind::from_word(&word).ok_or_else(|| senseless("a kind of failure"))?;
        let message = self.failure_message.unwrap_or_default();
        Ok(Some(Failure { kind, message, backtrace: self.failure_backtrace }))
    }
}

#[derive(FromRow)]
pub(super) struct AppRow {
    name: String,
    active_version: Option<i32>,
    #[sqlx(flatten)]
    policy: PolicyColumns,
    description: String,
    disabled: bool,
    pending_timeout_s: Option<i32>,
    running_timeout_s: Option<i32>,
    revision: i64,
    created_at: i64,
    // The answer to a creation is without these: the app has no schedule.
    #[sqlx(default)]
    cron: Option<String>,
    #[sqlx(default)]
    next_tick_at: Option<i64>,
}

impl Row for AppRow {
    type Value = App;
    fn decode(self) -> Result<App> {
        Ok(App {
            name: self.name,
            active_version: self.active_version.map(count).transpose()?,
            policy: self.policy.decode()?,
            description: self.description,
            disabled: self.disabled,
            timeouts: Timeouts { pending: seconds(self.pending_timeout_s)?, running: seconds(self.running_timeout_s)? },
            revision: self.revision,
            created_at: moment(self.created_at)?,
            next_tick: match (self.cron, self.next_tick_at) {
                (Some(cron), Some(at)) => Some(Tick { cron, at: moment(at)? }),
                _ => None,
            },
        })
    }
}

#[derive(FromRow)]
pub(super) struct VersionRow {
    app: String,
    version: i32,
    digest: String,
    size_bytes: i64,
    settings: String,
    created_at: i64,
}

impl Row for VersionRow {
    type Value = Version;
    fn decode(self) -> Result<Version> {
        Ok(Version {
            app: self.app,
            number: count(self.version)?,
            digest: self.digest,
            size_bytes: count(self.size_bytes)?,
            settings: json(&self.settings)?,
            created_at: moment(self.created_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct RunRow {
    run_id: Uuid,
    app: String,
    number: i64,
    version: i32,
    status: String,
    num_attempts: i32,
    #[sqlx(flatten)]
    policy: PolicyColumns,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    ended_because: Option<String>,
    scheduled_at: i64,
    starting_at: Option<i64>,
    pending_until: Option<i64>,
    running_timeout_s: Option<i32>,
    initiator: Option<String>,
    schedule_id: Option<Uuid>,
    parameters: String,
    // The answer to a start is without these: the run has none of them.
    #[sqlx(default)]
    schedule_name: Option<String>,
    #[sqlx(default)]
    next_attempt_at: Option<i64>,
    #[sqlx(flatten)]
    failure: FailureColumns,
}

impl Row for RunRow {
    type Value = Run;
    fn decode(self) -> Result<Run> {
        Ok(Run {
            run_id: self.run_id,
            app: self.app,
            number: self.number,
            version: count(self.version)?,
            status: status(&self.status)?,
            num_attempts: count(self.num_attempts)?,
            policy: self.policy.decode()?,
            exit_code: self.failure.exit_code,
            failure: self.failure.decode()?,
            created_at: moment(self.created_at)?,
            started_at: self.started_at.map(moment).transpose()?,
            ended_at: self.ended_at.map(moment).transpose()?,
            next_attempt_at: self.next_attempt_at.map(moment).transpose()?,
            scheduled_at: moment(self.scheduled_at)?,
            starting_at: self.starting_at.map(moment).transpose()?,
            ended_because: self.ended_because.as_deref().map(reason).transpose()?,
            pending_until: self.pending_until.map(moment).transpose()?,
            running_timeout: seconds(self.running_timeout_s)?,
            initiator: self.initiator,
            parameters: json(&self.parameters)?,
            schedule: self.schedule_id.map(|schedule_id| ScheduledBy { schedule_id, name: self.schedule_name }),
        })
    }
}

/// The run that a key started, and the hash of the request that came with it.
#[derive(FromRow)]
pub(super) struct StartRow {
    #[sqlx(flatten)]
    run: RunRow,
    request_hash: Vec<u8>,
}

impl Row for StartRow {
    type Value = (Run, Vec<u8>);
    fn decode(self) -> Result<(Run, Vec<u8>)> {
        Ok((self.run.decode()?, self.request_hash))
    }
}

#[derive(FromRow)]
pub(super) struct AttemptRow {
    seq: i32,
    status: String,
    starting_at: Option<i64>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    #[sqlx(flatten)]
    failure: FailureColumns,
    fuel_used: Option<i64>,
    peak_memory_bytes: Option<i64>,
    recoveries: i32,
}

impl Row for AttemptRow {
    type Value = Attempt;
    fn decode(self) -> Result<Attempt> {
        Ok(Attempt {
            seq: count(self.seq)?,
            status: status(&self.status)?,
            starting_at: self.starting_at.map(moment).transpose()?,
            started_at: self.started_at.map(moment).transpose()?,
            ended_at: self.ended_at.map(moment).transpose()?,
            exit_code: self.failure.exit_code,
            failure: self.failure.decode()?,
            fuel_used: self.fuel_used.map(count).transpose()?,
            peak_memory_bytes: self.peak_memory_bytes.map(count).transpose()?,
            recoveries: count(self.recoveries)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct RunIoRow {
    input: Vec<u8>,
    output: Option<Vec<u8>>,
}

impl Row for RunIoRow {
    type Value = RunIo;
    fn decode(self) -> Result<RunIo> {
        Ok(RunIo { input: self.input, output: self.output })
    }
}

#[derive(FromRow)]
pub(super) struct LeaseRow {
    run_id: Uuid,
    fence: i64,
}

impl Row for LeaseRow {
    type Value = Lease;
    fn decode(self) -> Result<Lease> {
        Ok(Lease { run_id: self.run_id, fence: self.fence })
    }
}

#[derive(FromRow)]
pub(super) struct AssignmentRow {
    #[sqlx(flatten)]
    lease: LeaseRow,
    app: String,
    number: i64,
    version: i32,
    digest: String,
    settings: String,
    #[sqlx(flatten)]
    policy: PolicyColumns,
    running_timeout_s: Option<i32>,
    is_starting: bool,
    num_attempts: i32,
    recoveries: i32,
    input: Vec<u8>,
    parameters: String,
    last_line_num: i64,
}

impl Row for AssignmentRow {
    type Value = Assignment;
    fn decode(self) -> Result<Assignment> {
        Ok(Assignment {
            lease: self.lease.decode()?,
            app: self.app,
            number: self.number,
            version: count(self.version)?,
            digest: self.digest,
            settings: json(&self.settings)?,
            policy: self.policy.decode()?,
            running_timeout: seconds(self.running_timeout_s)?,
            is_starting: self.is_starting,
            attempt: count(self.num_attempts)?,
            recoveries: count(self.recoveries)?,
            input: self.input,
            parameters: json(&self.parameters)?,
            last_line_num: self.last_line_num,
        })
    }
}

#[derive(FromRow)]
pub(super) struct JournalRow {
    seq: i32,
    attempt: i32,
    name: String,
    occurrence: i32,
    payload: Vec<u8>,
    failed: bool,
    took_us: i64,
    recorded_at: i64,
}

impl Row for JournalRow {
    type Value = JournalEntry;
    fn decode(self) -> Result<JournalEntry> {
        let outcome = match self.failed {
            false => StepOutcome::Finished(self.payload),
            true => StepOutcome::Failed(String::from_utf8(self.payload).map_err(|_| senseless("a step's error"))?),
        };
        Ok(JournalEntry {
            seq: count(self.seq)?,
            attempt: count(self.attempt)?,
            name: self.name,
            occurrence: count(self.occurrence)?,
            outcome,
            took: Duration::from_micros(count(self.took_us)?),
            recorded_at: moment(self.recorded_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct LogRow {
    line_num: i64,
    attempt: i32,
    channel: String,
    content: String,
    reported_at: i64,
}

impl Row for LogRow {
    type Value = LogLine;
    fn decode(self) -> Result<LogLine> {
        Ok(LogLine {
            line_num: self.line_num,
            attempt: count(self.attempt)?,
            channel: Channel::from_word(&self.channel).ok_or_else(|| senseless("a log channel"))?,
            content: self.content,
            reported_at: moment(self.reported_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct TokenRow {
    token_id: String,
    name: String,
    secret_hash: Vec<u8>,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
}

impl Row for TokenRow {
    type Value = (Vec<u8>, Token);
    fn decode(self) -> Result<(Vec<u8>, Token)> {
        let token = Token {
            token_id: self.token_id,
            name: self.name,
            scopes: self.scopes,
            created_at: moment(self.created_at)?,
            expires_at: self.expires_at.map(moment).transpose()?,
        };
        Ok((self.secret_hash, token))
    }
}

#[derive(FromRow)]
pub(super) struct ScheduleRow {
    schedule_id: Uuid,
    name: String,
    app: String,
    cron: String,
    timezone: String,
    skips_overlap: bool,
    is_paused: bool,
    parameters: String,
    next_tick_at: i64,
    last_tick_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    app_is_disabled: bool,
}

impl Row for ScheduleRow {
    type Value = Schedule;
    fn decode(self) -> Result<Schedule> {
        Ok(Schedule {
            schedule_id: self.schedule_id,
            name: self.name,
            app: self.app,
            settings: ScheduleSettings {
                cron: self.cron,
                timezone: self.timezone,
                skips_overlap: self.skips_overlap,
                is_paused: self.is_paused,
                parameters: json(&self.parameters)?,
            },
            app_is_disabled: self.app_is_disabled,
            created_at: moment(self.created_at)?,
            updated_at: moment(self.updated_at)?,
            next_tick_at: moment(self.next_tick_at)?,
            last_tick_at: self.last_tick_at.map(moment).transpose()?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct SecretRow {
    name: String,
    preview: String,
    created_at: i64,
    updated_at: i64,
}

impl Row for SecretRow {
    type Value = Secret;
    fn decode(self) -> Result<Secret> {
        Ok(Secret {
            name: self.name,
            preview: self.preview,
            created_at: moment(self.created_at)?,
            updated_at: moment(self.updated_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct QueueRow {
    workers: i64,
    slots: i64,
    held: i64,
    ahead: i64,
    is_held: bool,
}

impl Row for QueueRow {
    type Value = Queue;
    fn decode(self) -> Result<Queue> {
        Ok(Queue {
            workers: count(self.workers)?,
            slots: count(self.slots)?,
            held: count(self.held)?,
            ahead: count(self.ahead)?,
            is_held: self.is_held,
        })
    }
}

fn count<T: TryFrom<N>, N>(number: N) -> Result<T> {
    T::try_from(number).map_err(|_| senseless("a number"))
}

fn seconds(seconds: Option<i32>) -> Result<Option<Duration>> {
    seconds.map(|seconds| Ok(Duration::from_secs(count(seconds)?))).transpose()
}

pub(super) fn moment(milliseconds: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|e| StoreError::Fault(e.into()))
}

fn status(word: &str) -> Result<Status> {
    Status::from_word(word).ok_or_else(|| senseless("a status"))
}

fn reason(word: &str) -> Result<EndedBecause> {
    EndedBecause::from_word(word).ok_or_else(|| senseless("the reason of a run's end"))
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Fault(e.into()))
}
