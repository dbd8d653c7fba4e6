//! The shapes of what a run leaves behind: log lines and steps.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{payload, time, words};
use crate::store;

/// One line of a run's log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    pub run_id: Uuid,
    pub line_num: i64,
    pub attempt_seq: u32,
    #[schema(value_type = words::Channel)]
    pub channel: String,
    pub content: String,
    #[schema(format = DateTime)]
    pub reported_at: String,
}

impl LogLine {
    /// The line as it is told.
    pub fn new(run_id: Uuid, line: store::LogLine) -> LogLine {
        LogLine {
            run_id,
            line_num: line.line_num,
            attempt_seq: line.attempt,
            channel: line.channel.as_str().into(),
            content: line.content,
            reported_at: time(line.reported_at),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLines {
    pub log_lines: Vec<LogLine>,
    /// For `?after=`; null when these were the last for now.
    #[schema(required = true)]
    pub next_after: Option<i64>,
}

/// What a stream of logs consists of, for the document.
#[derive(ToSchema)]
pub struct LogEvent {
    /// `log` or `warning`.
    pub event: String,
    /// The line's number; a warning has none.
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// JSON: a `LogLine`, or a `StreamNotice`.
    pub data: String,
}

/// What a stream of logs says beside lines: Tower's `warning` event.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamNotice {
    pub content: String,
    pub reported_at: String,
    /// Every line was sent and the run is final: do not connect again.
    pub end_of_stream: bool,
}

/// One recorded step.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub seq: u32,
    pub attempt_seq: u32,
    pub name: String,
    pub occurrence: u32,
    /// `finished` or `failed`.
    pub status: String,
    #[schema(value_type = Value)]
    pub output: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub output_base64: Option<String>,
    #[schema(required = true)]
    pub error: Option<String>,
    pub took_ms: u64,
    #[schema(format = DateTime)]
    pub recorded_at: String,
}

impl From<store::JournalEntry> for Step {
    fn from(entry: store::JournalEntry) -> Step {
        let (status, output, error) = match entry.outcome {
            store::StepOutcome::Finished(output) => ("finished", Some(output), None),
            store::StepOutcome::Failed(message) => ("failed", None, Some(message)),
        };
        let (output, output_base64) = payload(output);
        Step {
            seq: entry.seq,
            attempt_seq: entry.attempt,
            name: entry.name,
            occurrence: entry.occurrence,
            status: status.into(),
            output,
            output_base64,
            error,
            took_ms: entry.took.as_millis().try_into().unwrap_or(u64::MAX),
            recorded_at: time(entry.recorded_at),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Steps {
    pub steps: Vec<Step>,
    /// For `?after=`; null at the end.
    #[schema(required = true)]
    pub next_after: Option<u32>,
}
