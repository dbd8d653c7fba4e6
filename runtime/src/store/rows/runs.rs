//! Rows about runs, as a caller sees them.

use sqlx::FromRow;
use uuid::Uuid;

use super::super::Result;
use super::super::errors::senseless;
use super::super::model::*;
use super::{FailureColumns, PolicyColumns, Row, count, json, limits, moment, seconds};
use crate::run::{EndedBecause, Status};

/// What the run waits for, all null unless it is parked.
#[derive(FromRow)]
struct WaitColumns {
    #[sqlx(default)]
    waiting_kind: Option<String>,
    #[sqlx(default)]
    waiting_name: Option<String>,
    #[sqlx(default)]
    waiting_until: Option<i64>,
}

impl Row for WaitColumns {
    type Value = Option<WaitingOn>;
    fn decode(self) -> Result<Option<WaitingOn>> {
        let Some(word) = self.waiting_kind else { return Ok(None) };
        let kind = WaitKind::from_word(&word).ok_or_else(|| senseless("a kind of wait"))?;
        let until = self.waiting_until.map(moment).transpose()?;
        Ok(Some(WaitingOn { kind, name: self.waiting_name.unwrap_or_default(), until }))
    }
}

/// The run's parent, as long as that is there.
#[derive(FromRow)]
struct ParentColumns {
    #[sqlx(default)]
    parent_run_id: Option<Uuid>,
    #[sqlx(default)]
    parent_app: Option<String>,
    #[sqlx(default)]
    parent_number: Option<i64>,
}

impl Row for ParentColumns {
    type Value = Option<RunName>;
    fn decode(self) -> Result<Option<RunName>> {
        Ok(name(self.parent_run_id, self.parent_app, self.parent_number))
    }
}

/// The run from which it was forked, as long as that is there.
#[derive(FromRow)]
struct ForkColumns {
    #[sqlx(default)]
    forked_from_run_id: Option<Uuid>,
    #[sqlx(default)]
    forked_from_app: Option<String>,
    #[sqlx(default)]
    forked_from_number: Option<i64>,
    #[sqlx(default)]
    forked_from_seq: Option<i32>,
}

impl Row for ForkColumns {
    type Value = Option<Fork>;
    fn decode(self) -> Result<Option<Fork>> {
        let run = name(self.forked_from_run_id, self.forked_from_app, self.forked_from_number);
        run.zip(self.forked_from_seq).map(|(run, seq)| Ok(Fork { run, from_seq: count(seq)? })).transpose()
    }
}

fn name(run_id: Option<Uuid>, app: Option<String>, number: Option<i64>) -> Option<RunName> {
    Some(RunName { run_id: run_id?, app: app?, number: number? })
}

#[derive(FromRow)]
pub(in crate::store) struct RunRow {
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
    origin_run_id: Uuid,
    origin_at: i64,
    // The answer to a start is without these: the run has none of them.
    #[sqlx(default)]
    schedule_name: Option<String>,
    #[sqlx(default)]
    next_attempt_at: Option<i64>,
    deadline_at: Option<i64>,
    #[sqlx(flatten)]
    wait: WaitColumns,
    #[sqlx(flatten)]
    parent: ParentColumns,
    #[sqlx(flatten)]
    fork: ForkColumns,
    #[sqlx(default)]
    used_loose_io: bool,
    app_limits: Option<String>,
    limits: Option<String>,
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
            deadline_at: self.deadline_at.map(moment).transpose()?,
            waiting_on: self.wait.decode()?,
            parent: self.parent.decode()?,
            forked_from: self.fork.decode()?,
            origin_run_id: self.origin_run_id,
            origin_at: moment(self.origin_at)?,
            used_loose_io: self.used_loose_io,
            app_limits: limits(self.app_limits)?,
            limits: limits(self.limits)?,
        })
    }
}

/// The run that a key started, and the hash of the request that came with it.
#[derive(FromRow)]
pub(in crate::store) struct StartRow {
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
pub(in crate::store) struct AttemptRow {
    seq: i32,
    status: String,
    starting_at: Option<i64>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    #[sqlx(flatten)]
    failure: FailureColumns,
    fuel_used: Option<i64>,
    peak_memory_bytes: Option<i64>,
    bytes_in: Option<i64>,
    bytes_out: Option<i64>,
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
            bytes_in: self.bytes_in.map(count).transpose()?,
            bytes_out: self.bytes_out.map(count).transpose()?,
            recoveries: count(self.recoveries)?,
        })
    }
}

#[derive(FromRow)]
pub(in crate::store) struct RunIoRow {
    input: Vec<u8>,
    output: Option<Vec<u8>>,
}

impl Row for RunIoRow {
    type Value = RunIo;
    fn decode(self) -> Result<RunIo> {
        Ok(RunIo { input: self.input, output: self.output })
    }
}

/// A run's child, and how often the run was told something.
#[derive(FromRow)]
pub(in crate::store) struct ChildRow {
    #[sqlx(flatten)]
    run: RunRow,
    signals: i64,
    output: Option<Vec<u8>>,
}

impl Row for ChildRow {
    type Value = ChildState;
    fn decode(self) -> Result<ChildState> {
        let Run { status, failure, .. } = self.run.decode()?;
        Ok(ChildState { signals: self.signals, status, failure, output: self.output })
    }
}

#[derive(FromRow)]
pub(in crate::store) struct EventRow {
    event_id: Uuid,
    name: String,
    payload: Vec<u8>,
    sent_at: i64,
    delivered_seq: Option<i32>,
}

impl Row for EventRow {
    type Value = Event;
    fn decode(self) -> Result<Event> {
        Ok(Event {
            event_id: self.event_id,
            name: self.name,
            payload: self.payload,
            sent_at: moment(self.sent_at)?,
            delivered_seq: self.delivered_seq.map(count).transpose()?,
        })
    }
}

#[derive(FromRow)]
pub(in crate::store) struct RunTimesRow {
    status: String,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

impl Row for RunTimesRow {
    type Value = RunTimes;
    fn decode(self) -> Result<RunTimes> {
        Ok(RunTimes {
            status: status(&self.status)?,
            created_at: moment(self.created_at)?,
            started_at: self.started_at.map(moment).transpose()?,
            ended_at: self.ended_at.map(moment).transpose()?,
        })
    }
}

fn status(word: &str) -> Result<Status> {
    Status::from_word(word).ok_or_else(|| senseless("a status"))
}

fn reason(word: &str) -> Result<EndedBecause> {
    EndedBecause::from_word(word).ok_or_else(|| senseless("the reason of a run's end"))
}
