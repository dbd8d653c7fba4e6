//! The shapes of what a run leaves behind: log lines and steps.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{payload, time, version_name, words};
use crate::journal::ChildFailure;
use crate::sandbox::hex;
use crate::store::{self, Due, EntryKind, EntryState};

/// One line of a run's log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    pub run_id: Uuid,
    pub line_num: i64,
    pub attempt_seq: u32,
    #[schema(value_type = words::Channel)]
    pub channel: String,
    pub content: String,
    /// The journal entry of the step in which it was printed; null outside steps.
    #[schema(required = true)]
    pub step_seq: Option<u32>,
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
            step_seq: line.seq,
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

/// One entry of a run's journal: a step, or another call whose answer is recorded.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub seq: u32,
    #[schema(value_type = words::EntryKind)]
    pub kind: String,
    /// Of the step, the event, the child's app or the child (`app#7`); `sleep` and `now` for those.
    pub name: String,
    /// Which use of the name for the kind, from 1.
    pub occurrence: u32,
    /// SHA-256 in hexadecimal digits of what a replay has to give the call again: what the step says it is given, the
    /// input of a child, the length of a sleep. Null if nothing is.
    #[schema(required = true)]
    pub input_hash: Option<String>,
    /// `finished`, `failed` and `indeterminate` are final.
    #[schema(value_type = words::EntryStatus)]
    pub status: String,
    /// The attempt that wrote it last.
    pub attempt_seq: u32,
    /// The app's version that wrote it last.
    pub app_version: String,
    /// Whether the run's last attempt, or the run itself if it was forked, found it there.
    pub is_replayed: bool,
    /// How often the step was executed to its end.
    pub tries: u32,
    /// How often in the attempt `attempt_seq`.
    pub tries_in_attempt: u32,
    /// When a wait is over: of a step that is to be executed again, a sleep, an event with a timeout.
    #[schema(required = true, format = DateTime)]
    pub due_at: Option<String>,
    #[schema(value_type = Value)]
    pub output: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub output_base64: Option<String>,
    /// Why it failed, or failed last.
    #[schema(required = true)]
    pub error: Option<String>,
    /// How long the step's body took, over all tries, like the four that follow.
    pub took_ms: u64,
    pub fuel_used: u64,
    pub peak_memory_bytes: u64,
    /// Bodies of HTTP answers.
    pub bytes_in: u64,
    /// Bodies of HTTP requests.
    pub bytes_out: u64,
    #[schema(format = DateTime)]
    pub recorded_at: String,
}

impl Step {
    /// The entry as it is told, of the journal of `run`.
    pub fn new(run: &store::Run, entry: store::JournalEntry) -> Step {
        let (status, is_final) = (entry.state.as_str(), entry.state.is_final());
        let (output, error) = match entry.state {
            EntryState::Finished(output) => (Some(output).filter(|output| !output.is_empty()), None),
            EntryState::Failed(failure) if entry.kind == EntryKind::Result => (None, Some(end_of_child(failure))),
            EntryState::Failed(message) | EntryState::Again(message) => (None, Some(message)),
            EntryState::Begun | EntryState::Waiting | EntryState::Indeterminate => (None, None),
        };
        let (output, output_base64) = payload(output);
        let is_taken_over = run.forked_from.as_ref().is_some_and(|fork| entry.seq < fork.from_seq);
        Step {
            seq: entry.seq,
            kind: entry.kind.as_str().into(),
            name: entry.name,
            occurrence: entry.occurrence,
            input_hash: (!entry.request.is_empty()).then(|| hex(&Sha256::digest(&entry.request))),
            status: status.into(),
            attempt_seq: entry.attempt,
            app_version: version_name(entry.version),
            is_replayed: is_final && (is_taken_over || entry.attempt < run.num_attempts),
            tries: entry.tries.saturating_add(entry.tries_before),
            tries_in_attempt: entry.tries,
            due_at: entry.due.and_then(due_at),
            output,
            output_base64,
            error,
            took_ms: entry.took.as_millis().try_into().unwrap_or(u64::MAX),
            fuel_used: entry.usage.fuel,
            peak_memory_bytes: entry.usage.peak_memory_bytes,
            bytes_in: entry.usage.bytes_in,
            bytes_out: entry.usage.bytes_out,
            recorded_at: time(entry.recorded_at),
        }
    }
}

/// How a child ended, for a person.
fn end_of_child(failure: String) -> String {
    match serde_json::from_str(&failure) {
        Ok(ChildFailure { status, message }) => format!("{status}: {message}"),
        Err(_) => failure,
    }
}

/// What is read of the journal always names a moment.
fn due_at(due: Due) -> Option<String> {
    match due {
        Due::At(at) => Some(time(at)),
        Due::After(_) => None,
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Steps {
    pub steps: Vec<Step>,
    /// For `?after=`; null at the end.
    #[schema(required = true)]
    pub next_after: Option<u32>,
}
