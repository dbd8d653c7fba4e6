//! How what the store is given becomes parameters of statements.

use std::time::Duration;

use super::model::*;
use super::statements::FAR_MS;
use super::{Result, StoreError};
use crate::manifest::SomeLimits;
use crate::retry::RetryPolicy;
use crate::run::Status;

/// A policy in three columns, all null without one.
#[derive(Default)]
pub(super) struct PolicyParams {
    pub max_retries: Option<i32>,
    pub retry_delay_ms: Option<i64>,
    pub exponential: Option<bool>,
}

pub(super) fn policy(policy: Option<RetryPolicy>) -> PolicyParams {
    let Some(policy) = policy else { return PolicyParams::default() };
    PolicyParams {
        max_retries: Some(int(policy.max_retries)),
        retry_delay_ms: Some(milliseconds(policy.delay)),
        exponential: Some(policy.exponential),
    }
}

/// Whole seconds.
pub(super) fn whole_seconds(length: Duration) -> i32 {
    length.as_secs().try_into().unwrap_or(i32::MAX)
}

/// The word for a listing's order.
pub(super) fn sort(sort: AppSort) -> &'static str {
    match sort {
        AppSort::Name => "name",
        AppSort::CreatedAt => "created_at",
        AppSort::UpdatedAt => "updated_at",
        AppSort::MostRecentRun => "most_recent_run",
    }
}

/// The word for a listing's selection.
pub(super) fn only(only: OnlyApps) -> &'static str {
    match only {
        OnlyApps::Enabled => "enabled",
        OnlyApps::Disabled => "disabled",
        OnlyApps::Running => "running",
        OnlyApps::Scheduled => "scheduled",
    }
}

/// The pattern of texts that contain `part`, for `like` with `\` as the escape.
pub(super) fn containing(part: &str) -> String {
    let part = text(part).replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{part}%")
}

/// Words between commas, one before the first and one behind the last; `None` of nothing.
pub(super) fn words(statuses: &[Status]) -> Option<String> {
    let words: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
    (!words.is_empty()).then(|| format!(",{},", words.join(",")))
}

/// An entry's payload: a result, or a message.
pub(super) fn payload(state: &EntryState) -> &[u8] {
    match state {
        EntryState::Finished(output) => output,
        EntryState::Again(message) | EntryState::Failed(message) => message.as_bytes(),
        EntryState::Begun | EntryState::Waiting | EntryState::Indeterminate => &[],
    }
}

/// When an entry is due, in two columns: milliseconds from now, or a moment. What is final waits for nothing, but for a
/// sleep, which is final from the start.
pub(super) fn due(entry: &JournalEntry) -> (Option<i64>, Option<i64>) {
    match entry.due {
        _ if entry.state.is_final() && entry.kind != EntryKind::Sleep => (None, None),
        None => (None, None),
        Some(Due::After(wait)) => (Some(milliseconds(wait).min(FAR_MS)), None),
        Some(Due::At(at)) => (None, Some(at.as_millisecond())),
    }
}

/// What was used up. Each number is one that JSON can hold, so that many of them can be added up.
pub(super) struct UsageParams {
    pub fuel: i64,
    pub peak_memory_bytes: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
}

pub(super) fn usage(usage: Usage) -> UsageParams {
    let limited = |number: u64| big(number).min((1 << 53) - 1);
    UsageParams {
        fuel: limited(usage.fuel),
        peak_memory_bytes: limited(usage.peak_memory_bytes),
        bytes_in: limited(usage.bytes_in),
        bytes_out: limited(usage.bytes_out),
    }
}

/// Digests, or names of apps, between commas, one before the first and one behind the last.
pub(super) fn listed(words: &[String]) -> String {
    format!(",{},", words.join(","))
}

/// Whole milliseconds, rounded up, so that no wait is cut short.
pub(super) fn milliseconds(length: Duration) -> i64 {
    big(length.as_nanos().div_ceil(1_000_000))
}

pub(super) fn microseconds(length: Duration) -> i64 {
    big(length.as_micros())
}

/// A number for a column of 8 bytes; what does not fit is the greatest number that does.
pub(super) fn big(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number for a column of 4 bytes; what does not fit is the greatest number that does.
pub(super) fn int(number: u32) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// Text of unknown origin. Postgres cannot hold NUL, and one such text would fail a whole batch; a
/// name with NUL finds nothing.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Null if nothing is set.
pub(super) fn limits(limits: &SomeLimits) -> Result<Option<String>> {
    if limits.is_empty() { Ok(None) } else { json(limits).map(Some) }
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Fault(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_rounded_down_and_never_overflows() {
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2000);
        assert_eq!(milliseconds(Duration::MAX), i64::MAX);
    }
}
