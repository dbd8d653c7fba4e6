//! The shapes of runs and attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Pages, payload, time, version_name};
use crate::manifest::RetrySection;
use crate::run::{Failure, Status};
use crate::store;

#[derive(Debug, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// Who or what started a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Initiator {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub details: BTreeMap<String, String>,
}

/// Why an attempt failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailureBody {
    /// `crashed` is the guest's fault, `errored` is ours.
    pub class: String,
    pub kind: String,
    pub message: String,
    pub backtrace: Option<String>,
}

impl From<Failure> for FailureBody {
    fn from(failure: Failure) -> FailureBody {
        FailureBody {
            class: failure.kind.status().as_str().into(),
            kind: failure.kind.as_str().into(),
            message: failure.message,
            backtrace: failure.backtrace,
        }
    }
}

/// A run. Lists leave out the fields from `parameters` on, and only a look at one run tells those
/// from `attempts` on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    #[serde(rename = "$link")]
    pub link: String,
    pub run_id: Uuid,
    pub app_name: String,
    pub number: i64,
    pub app_version: String,
    pub environment: String,
    pub status: String,
    /// `successful`, `failed`, or empty for the others.
    pub status_group: String,
    pub num_attempts: u32,
    pub retry_policy: RetrySection,
    pub exit_code: Option<i32>,
    pub failure: Option<FailureBody>,
    pub is_scheduled: bool,
    pub initiator: Initiator,
    pub created_at: String,
    pub scheduled_at: String,
    pub starting_at: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub cancelled_at: Option<String>,
    pub next_attempt_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<Parameter>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<Attempt>>,
    /// Null if there is none, or if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Instead of `input` where that is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_base64: Option<String>,
    /// As `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_base64: Option<String>,
}

impl From<store::Run> for Run {
    fn from(run: store::Run) -> Run {
        let ended_at = run.ended_at.map(time);
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
            is_scheduled: false,
            initiator: Initiator::default(),
            created_at: time(run.created_at),
            scheduled_at: time(run.created_at),
            starting_at: None,
            started_at: run.started_at.map(time),
            cancelled_at: ended_at.clone().filter(|_| run.status == Status::Cancelled),
            ended_at,
            next_attempt_at: run.next_attempt_at.map(time),
            parameters: None,
            attempts: None,
            input: None,
            input_base64: None,
            output: None,
            output_base64: None,
        }
    }
}

impl Run {
    /// Adds the parameters it was started with.
    pub fn with_parameters(self, parameters: BTreeMap<String, String>) -> Run {
        let parameters = parameters.into_iter().map(|(name, value)| Parameter { name, value }).collect();
        Run { parameters: Some(parameters), ..self }
    }

    /// Adds what is told of one run.
    pub fn with_details(mut self, attempts: Vec<store::Attempt>, io: store::RunIo) -> Run {
        self.attempts = Some(attempts.into_iter().map(Attempt::from).collect());
        self = self.with_parameters(io.parameters);
        let (input, input_base64) = payload(Some(io.input).filter(|input| !input.is_empty()));
        let (output, output_base64) = payload(io.output);
        Run { input: Some(input), input_base64, output: Some(output), output_base64, ..self }
    }
}

/// One try of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    pub seq: u32,
    pub status: String,
    pub starting_at: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub exit_code: Option<i32>,
    pub failure: Option<FailureBody>,
    pub fuel_used: Option<u64>,
    pub peak_memory_bytes: Option<u64>,
    pub recoveries: u32,
}

impl From<store::Attempt> for Attempt {
    fn from(attempt: store::Attempt) -> Attempt {
        Attempt {
            seq: attempt.seq,
            status: attempt.status.as_str().into(),
            starting_at: None,
            started_at: Some(time(attempt.started_at)),
            ended_at: attempt.ended_at.map(time),
            exit_code: attempt.exit_code,
            failure: attempt.failure.map(FailureBody::from),
            fuel_used: attempt.fuel_used,
            peak_memory_bytes: attempt.peak_memory_bytes,
            recoveries: attempt.recoveries,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RunOnly {
    pub run: Run,
}

/// A run, and the paths of its neighbours.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunWithLinks {
    pub run: Run,
    #[serde(rename = "$links")]
    pub links: Links,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Links {
    #[serde(rename = "self")]
    pub this: String,
    pub next: Option<String>,
    pub next_number: Option<i64>,
    pub prev: Option<String>,
    pub prev_number: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RunList {
    pub runs: Vec<Run>,
    pub pages: Pages,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CancelledRun {
    pub run: Run,
    pub cancelled_child_runs: u32,
}
