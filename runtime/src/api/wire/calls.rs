//! The shapes of what a run asked of other hosts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;
use crate::store;

/// One HTTP request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// From 1, in the order in which the run's calls were over.
    pub call_num: i64,
    pub attempt_seq: u32,
    /// The journal entry of the step that made it; null outside steps.
    #[schema(required = true)]
    pub step_seq: Option<u32>,
    pub method: String,
    /// Without its query.
    pub url: String,
    /// Null if there was no answer.
    #[schema(required = true)]
    pub status: Option<u16>,
    /// Why it was refused, came to nothing, or broke off.
    #[schema(required = true)]
    pub error: Option<String>,
    /// Of the answer's body, as far as it was read.
    pub bytes_in: u64,
    /// Of the request's body, as far as it was sent.
    pub bytes_out: u64,
    pub took_ms: u64,
    #[schema(format = DateTime)]
    pub recorded_at: String,
}

impl From<store::Call> for Call {
    fn from(call: store::Call) -> Call {
        Call {
            call_num: call.call_num,
            attempt_seq: call.attempt,
            step_seq: call.seq,
            method: call.method,
            url: call.url,
            status: call.status,
            error: call.error,
            bytes_in: call.bytes_in,
            bytes_out: call.bytes_out,
            took_ms: call.took.as_millis().try_into().unwrap_or(u64::MAX),
            recorded_at: time(call.recorded_at),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Calls {
    pub calls: Vec<Call>,
    /// For `?after=`; null at the end.
    #[schema(required = true)]
    pub next_after: Option<i64>,
}
