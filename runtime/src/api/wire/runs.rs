//! The shapes of runs and attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    EffectiveLimit, ForkedFrom, LimitsBody, Pages, RetryPolicyBody, RunName, WaitingOn, effective_limits, payload,
    time, version_name, words,
};
use crate::manifest::{Limits, RetrySection, SomeLimits};
use crate::run::{Failure, Status};
use crate::store;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// Who or what started a run.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Initiator {
    #[serde(rename = "type")]
    #[schema(required = true)]
    pub kind: Option<String>,
    pub details: BTreeMap<String, String>,
}

impl Initiator {
    fn of(client: Option<String>, schedule: Option<store::ScheduledBy>) -> Initiator {
        let Some(schedule) = schedule else { return Initiator { kind: client, details: BTreeMap::new() } };
        let name = schedule.name.unwrap_or_else(|| schedule.schedule_id.to_string());
        Initiator { kind: Some("tower_schedule".into()), details: BTreeMap::from([("schedule_name".into(), name)]) }
    }
}

/// Why an attempt failed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FailureBody {
    /// `crashed` is the guest's fault, `errored` is ours.
    pub class: String,
    pub kind: String,
    pub message: String,
    #[schema(required = true)]
    pub backtrace: Option<String>,
}

impl From<Failure> for FailureBody {
    fn from(failure: Failure) -> FailureBody {
        FailureBody {
            class: failure.kind.verdict().status().as_str().into(),
            kind: failure.kind.as_str().into(),
            message: failure.message,
            backtrace: failure.backtrace,
        }
    }
}

/// A run. Only a look at one run tells the fields from `effective_limits` on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Run {
    #[serde(rename = "$link")]
    pub link: String,
    pub run_id: Uuid,
    pub app_name: String,
    pub number: i64,
    pub app_version: String,
    pub environment: String,
    #[schema(value_type = words::RunStatus)]
    pub status: String,
    /// `successful`, `failed`, or empty for the others.
    pub status_group: String,
    pub num_attempts: u32,
    #[schema(value_type = RetryPolicyBody)]
    pub retry_policy: RetrySection,
    #[schema(required = true)]
    pub exit_code: Option<i32>,
    #[schema(required = true)]
    pub failure: Option<FailureBody>,
    pub is_scheduled: bool,
    pub initiator: Initiator,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub scheduled_at: String,
    #[schema(required = true, format = DateTime)]
    pub starting_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub cancelled_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub next_attempt_at: Option<String>,
    /// Why retries that were left did not happen: `app_disabled`, `not_retryable`, `deadline` or `step_limit`.
    #[schema(required = true)]
    pub retry_skipped_reason: Option<String>,
    /// Why it was cancelled, if not on request: `pending_timeout`.
    #[schema(required = true)]
    pub cancelled_reason: Option<String>,
    /// When it is cancelled if no worker has taken it.
    #[schema(required = true, format = DateTime)]
    pub pending_until: Option<String>,
    /// How long an attempt may run, in seconds; 0 is as long as its version may.
    pub running_timeout: u64,
    /// By when it has to be final: it is stopped then, and no attempt begins at that time or later.
    #[schema(required = true, format = DateTime)]
    pub deadline_at: Option<String>,
    /// While it is parked: `running`, but in no worker's memory.
    #[schema(required = true)]
    pub waiting_on: Option<WaitingOn>,
    /// The run that started it.
    #[schema(required = true)]
    pub parent: Option<RunName>,
    /// The run of whose journal it has the first entries.
    #[schema(required = true)]
    pub forked_from: Option<ForkedFrom>,
    /// Its program used the network outside steps, so that a replay may take another way.
    pub used_loose_io: bool,
    /// What was set for it alone.
    #[serde(default)]
    #[schema(value_type = LimitsBody)]
    pub limits: SomeLimits,
    pub parameters: Vec<Parameter>,
    /// Those in force, as this server's operator allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub effective_limits: Option<Vec<EffectiveLimit>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempts: Option<Vec<Attempt>>,
    /// Null if there is none, or if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub input: Option<Box<RawValue>>,
    /// Instead of `input` where that is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub input_base64: Option<String>,
    /// As `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub output: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub output_base64: Option<String>,
}

impl From<store::Run> for Run {
    fn from(run: store::Run) -> Run {
        let ended_at = run.ended_at.map(time);
        let reason = run.ended_because.map(|reason| reason.as_str().to_owned());
        Run {
            link: format!("/v1/apps/{}/runs/{}", run.app, run.number),
            run_id: run.run_id,
            app_name: run.app,
            number: run.number,
            app_version: version_name(run.version),
            environment: "default".into(),
            status: run.status.as_str().into(),
            status_group: match run.status {
                Status::Exited => "successful".into(),
                Status::Crashed | Status::Errored => "failed".into(),
                _ => String::new(),
            },
            num_attempts: run.num_attempts,
            retry_policy: run.policy.into(),
            exit_code: run.exit_code,
            failure: run.failure.map(FailureBody::from),
            is_scheduled: run.schedule.is_some(),
            initiator: Initiator::of(run.initiator, run.schedule),
            created_at: time(run.created_at),
            scheduled_at: time(run.scheduled_at),
            starting_at: run.starting_at.map(time),
            started_at: run.started_at.map(time),
            cancelled_at: ended_at.clone().filter(|_| run.status == Status::Cancelled),
            ended_at,
            next_attempt_at: run.next_attempt_at.map(time),
            retry_skipped_reason: reason.clone().filter(|_| run.status != Status::Cancelled),
            cancelled_reason: reason.filter(|_| run.status == Status::Cancelled),
            pending_until: run.pending_until.map(time),
            running_timeout: run.running_timeout.map_or(0, |timeout| timeout.as_secs()),
            deadline_at: run.deadline_at.map(time),
            waiting_on: run.waiting_on.map(WaitingOn::from),
            parent: run.parent.map(RunName::from),
            forked_from: run.forked_from.map(ForkedFrom::from),
            used_loose_io: run.used_loose_io,
            limits: run.limits,
            parameters: run.parameters.into_iter().map(|(name, value)| Parameter { name, value }).collect(),
            attempts: None,
            input: None,
            input_base64: None,
            output: None,
            output_base64: None,
            effective_limits: None,
        }
    }
}

impl Run {
    /// About how many bytes it takes within a list.
    pub fn weight(&self) -> u64 {
        let parameters = self.parameters.iter().map(|given| given.name.len() + given.value.len()).sum::<usize>();
        let failure = self
            .failure
            .as_ref()
            .map_or(0, |failure| failure.message.len() + failure.backtrace.as_ref().map_or(0, String::len));
        // The rest is names and moments.
        (1_000 + parameters + failure) as u64
    }

    /// Adds its attempts alone.
    pub fn with_attempts(self, attempts: Vec<store::Attempt>) -> Run {
        Run { attempts: Some(attempts.into_iter().map(Attempt::from).collect()), ..self }
    }

    /// Adds what is told of one run.
    pub fn with_details(mut self, attempts: Vec<store::Attempt>, io: store::RunIo, limits: &Limits) -> Run {
        self.effective_limits = Some(effective_limits(limits));
        self = self.with_attempts(attempts);
        let (input, input_base64) = payload(Some(io.input).filter(|input| !input.is_empty()));
        let (output, output_base64) = payload(io.output);
        Run { input: Some(input), input_base64, output: Some(output), output_base64, ..self }
    }
}

/// One try of a run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    pub seq: u32,
    #[schema(value_type = words::RunStatus)]
    pub status: String,
    #[schema(required = true, format = DateTime)]
    pub starting_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    #[schema(required = true)]
    pub exit_code: Option<i32>,
    #[schema(required = true)]
    pub failure: Option<FailureBody>,
    #[schema(required = true)]
    pub fuel_used: Option<u64>,
    #[schema(required = true)]
    pub peak_memory_bytes: Option<u64>,
    /// Bodies of HTTP answers that the program received.
    #[schema(required = true)]
    pub bytes_in: Option<u64>,
    /// Bodies of HTTP requests that it sent.
    #[schema(required = true)]
    pub bytes_out: Option<u64>,
    pub recoveries: u32,
}

impl From<store::Attempt> for Attempt {
    fn from(attempt: store::Attempt) -> Attempt {
        Attempt {
            seq: attempt.seq,
            status: attempt.status.as_str().into(),
            starting_at: attempt.starting_at.map(time),
            started_at: attempt.started_at.map(time),
            ended_at: attempt.ended_at.map(time),
            exit_code: attempt.exit_code,
            failure: attempt.failure.map(FailureBody::from),
            fuel_used: attempt.fuel_used,
            peak_memory_bytes: attempt.peak_memory_bytes,
            bytes_in: attempt.bytes_in,
            bytes_out: attempt.bytes_out,
            recoveries: attempt.recoveries,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunOnly {
    pub run: Run,
}

/// A run, and the paths of its neighbours.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunWithLinks {
    pub run: Run,
    #[serde(rename = "$links")]
    pub links: Links,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Links {
    #[serde(rename = "self")]
    pub this: String,
    #[schema(required = true)]
    pub next: Option<String>,
    #[schema(required = true)]
    pub next_number: Option<i64>,
    #[schema(required = true)]
    pub prev: Option<String>,
    #[schema(required = true)]
    pub prev_number: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunList {
    pub runs: Vec<Run>,
    pub pages: Pages,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CancelledRun {
    pub run: Run,
    pub cancelled_child_runs: u32,
}

/// Why a run is where it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    #[schema(value_type = words::RunStatus)]
    pub status: String,
    /// The most important one first.
    pub reasons: Vec<Reason>,
    pub queue: Queue,
}

/// One reason why a run is where it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// A word that never changes its meaning, e.g. `no_worker`.
    pub code: String,
    /// For a person.
    pub message: String,
    /// Until when it holds, if that is known.
    #[schema(required = true, format = DateTime)]
    pub until: Option<String>,
}

/// Who could take a waiting run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Workers that live.
    pub workers: u64,
    /// Runs that they can execute at the same time.
    pub slots: u64,
    /// Runs that they execute.
    pub held: u64,
    /// Due runs that have waited longer than this one.
    pub ahead: u64,
}

impl From<store::Queue> for Queue {
    fn from(queue: store::Queue) -> Queue {
        Queue { workers: queue.workers, slots: queue.slots, held: queue.held, ahead: queue.ahead }
    }
}
