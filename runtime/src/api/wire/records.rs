//! The shapes of what a run leaves behind: log lines and steps.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{payload, time};
use crate::store;

/// One line of a run's log. Source: R11.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogLine {
    pub run_id: Uuid,
    pub line_num: i64,
    pub attempt_seq: u32,
    pub channel: String,
    pub content: String,
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

#[derive(Debug, Serialize, Deserialize)]
pub struct LogLines {
    pub log_lines: Vec<LogLine>,
    /// For `?after=`; null when these were the last for now.
    pub next_after: Option<i64>,
}

/// What a stream of logs says beside lines: Tower's `warning` event.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamNotice {
    pub content: String,
    pub reported_at: String,
    /// Every line was sent and the run is final: do not connect again.
    pub end_of_stream: bool,
}

/// One recorded step.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    pub seq: u32,
    pub attempt_seq: u32,
    pub name: String,
    pub occurrence: u32,
    /// `finished` or `failed`.
    pub status: String,
    pub output: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_base64: Option<String>,
    pub error: Option<String>,
    pub took_ms: u64,
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

#[derive(Debug, Serialize, Deserialize)]
pub struct Steps {
    pub steps: Vec<Step>,
    /// For `?after=`; null at the end.
    pub next_after: Option<u32>,
}
