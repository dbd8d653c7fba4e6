//! The shapes of rows, and how each becomes what the store returns. A number or word that the
//! schema would not have let in is a fault.

mod runs;
mod work;

use std::time::Duration;

use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

pub(super) use self::runs::*;
pub(super) use self::work::*;

use super::errors::senseless;
use super::model::*;
use super::{Result, StoreError};
use crate::manifest::SomeLimits;
use crate::retry::RetryPolicy;
use crate::run::{Failure, FailureKind};

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
    // The answer to a creation is without these: the app has none of them.
    #[sqlx(default)]
    limits: Option<String>,
    revision: i64,
    created_at: i64,
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
            limits: limits(self.limits)?,
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
    imports: Option<String>,
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
            imports: self.imports.as_deref().map(json).transpose()?,
            created_at: moment(self.created_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct TokenRow {
    token_id: String,
    name: String,
    secret_hash: Vec<u8>,
    scopes: String,
    apps: Option<String>,
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
            apps: self.apps.map(|names| names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()),
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

#[derive(FromRow)]
pub(super) struct LiveWorkerRow {
    worker_id: Uuid,
    name: String,
    slots: i32,
    held: i64,
    started_at: i64,
    expires_at: i64,
}

impl Row for LiveWorkerRow {
    type Value = LiveWorker;
    fn decode(self) -> Result<LiveWorker> {
        Ok(LiveWorker {
            worker_id: self.worker_id,
            name: self.name,
            slots: count(self.slots)?,
            held: count(self.held)?,
            started_at: moment(self.started_at)?,
            expires_at: moment(self.expires_at)?,
        })
    }
}

#[derive(FromRow)]
pub(super) struct DueRunsRow {
    due: i64,
    oldest_due_at: Option<i64>,
}

impl Row for DueRunsRow {
    type Value = DueRuns;
    fn decode(self) -> Result<DueRuns> {
        Ok(DueRuns { count: count(self.due)?, oldest_at: self.oldest_due_at.map(moment).transpose()? })
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

/// Null is none.
fn limits(text: Option<String>) -> Result<SomeLimits> {
    text.map_or_else(|| Ok(SomeLimits::default()), |text| json(&text))
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Fault(e.into()))
}
