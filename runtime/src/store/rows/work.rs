//! Rows about what a worker does.

use std::time::Duration;

use sqlx::FromRow;
use uuid::Uuid;

use super::super::Result;
use super::super::errors::senseless;
use super::super::model::*;
use super::{PolicyColumns, Row, count, json, limits, moment, seconds};

#[derive(FromRow)]
pub(in crate::store) struct LeaseRow {
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
pub(in crate::store) struct AssignmentRow {
    #[sqlx(flatten)]
    lease: LeaseRow,
    app: String,
    number: i64,
    version: i32,
    digest: String,
    settings: String,
    app_limits: Option<String>,
    limits: Option<String>,
    #[sqlx(flatten)]
    policy: PolicyColumns,
    running_timeout_s: Option<i32>,
    is_starting: bool,
    num_attempts: i32,
    recoveries: i32,
    is_recovery: bool,
    losses: i32,
    origin_run_id: Uuid,
    origin_at: i64,
    now: i64,
    until_deadline_ms: Option<i64>,
    fuel_used: i64,
    signals: i64,
    input: Vec<u8>,
    parameters: String,
    last_line_num: i64,
    last_call_num: i64,
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
            app_limits: limits(self.app_limits)?,
            limits: limits(self.limits)?,
            policy: self.policy.decode()?,
            running_timeout: seconds(self.running_timeout_s)?,
            is_starting: self.is_starting,
            attempt: count(self.num_attempts)?,
            recoveries: count(self.recoveries)?,
            is_recovery: self.is_recovery,
            losses: count(self.losses)?,
            origin_run_id: self.origin_run_id,
            origin_at: moment(self.origin_at)?,
            now: moment(self.now)?,
            until_deadline: self.until_deadline_ms.map(|left| Duration::from_millis(left.try_into().unwrap_or(0))),
            fuel_used: count(self.fuel_used)?,
            signals: self.signals,
            input: self.input,
            parameters: json(&self.parameters)?,
            last_line_num: self.last_line_num,
            last_call_num: self.last_call_num,
        })
    }
}

#[derive(FromRow)]
pub(in crate::store) struct JournalRow {
    seq: i32,
    attempt: i32,
    version: i32,
    kind: String,
    name: String,
    occurrence: i32,
    request: Vec<u8>,
    state: String,
    payload: Vec<u8>,
    tries: i32,
    tries_before: i32,
    due_at: Option<i64>,
    took_us: i64,
    fuel: i64,
    peak_memory_bytes: i64,
    bytes_in: i64,
    bytes_out: i64,
    seeds: i64,
    recorded_at: i64,
}

impl Row for JournalRow {
    type Value = JournalEntry;
    fn decode(self) -> Result<JournalEntry> {
        let message = |payload| String::from_utf8(payload).map_err(|_| senseless("a step's error"));
        let state = match self.state.as_str() {
            "begun" => EntryState::Begun,
            "again" => EntryState::Again(message(self.payload)?),
            "waiting" => EntryState::Waiting,
            "finished" => EntryState::Finished(self.payload),
            "failed" => EntryState::Failed(message(self.payload)?),
            "indeterminate" => EntryState::Indeterminate,
            _ => return Err(senseless("the state of an entry")),
        };
        Ok(JournalEntry {
            seq: count(self.seq)?,
            attempt: count(self.attempt)?,
            version: count(self.version)?,
            kind: EntryKind::from_word(&self.kind).ok_or_else(|| senseless("the kind of an entry"))?,
            name: self.name,
            occurrence: count(self.occurrence)?,
            request: self.request,
            state,
            tries: count(self.tries)?,
            tries_before: count(self.tries_before)?,
            due: self.due_at.map(moment).transpose()?.map(Due::At),
            took: Duration::from_micros(count(self.took_us)?),
            usage: Usage {
                fuel: count(self.fuel)?,
                peak_memory_bytes: count(self.peak_memory_bytes)?,
                bytes_in: count(self.bytes_in)?,
                bytes_out: count(self.bytes_out)?,
            },
            seeds: count(self.seeds)?,
            recorded_at: moment(self.recorded_at)?,
        })
    }
}

/// When an entry was written, and when it is due.
pub(in crate::store) fn recorded(at: i64, due_at: Option<i64>) -> Result<Recorded> {
    Ok(Recorded { at: moment(at)?, due_at: due_at.map(moment).transpose()? })
}

#[derive(FromRow)]
pub(in crate::store) struct InboxRow {
    signals: i64,
    payload: Option<Vec<u8>>,
    now: i64,
}

impl Row for InboxRow {
    type Value = Inbox;
    fn decode(self) -> Result<Inbox> {
        let now = moment(self.now)?;
        Ok(Inbox { signals: self.signals, event: self.payload, now })
    }
}

#[derive(FromRow)]
pub(in crate::store) struct LogRow {
    line_num: i64,
    attempt: i32,
    channel: String,
    content: String,
    seq: Option<i32>,
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
            seq: self.seq.map(count).transpose()?,
            reported_at: moment(self.reported_at)?,
        })
    }
}

#[derive(FromRow)]
pub(in crate::store) struct CallRow {
    call_num: i64,
    attempt: i32,
    seq: Option<i32>,
    method: String,
    url: String,
    status: Option<i32>,
    error: Option<String>,
    bytes_in: i64,
    bytes_out: i64,
    took_ms: i64,
    recorded_at: i64,
}

impl Row for CallRow {
    type Value = Call;
    fn decode(self) -> Result<Call> {
        Ok(Call {
            call_num: self.call_num,
            attempt: count(self.attempt)?,
            seq: self.seq.map(count).transpose()?,
            method: self.method,
            url: self.url,
            status: self.status.map(count).transpose()?,
            error: self.error,
            bytes_in: count(self.bytes_in)?,
            bytes_out: count(self.bytes_out)?,
            took: Duration::from_millis(count(self.took_ms)?),
            recorded_at: moment(self.recorded_at)?,
        })
    }
}
