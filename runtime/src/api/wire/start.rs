//! The shape of a request to start a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{LimitsBody, VersionRef, words};
use crate::manifest::{InvalidField, RetrySection};
use crate::retry::RetryPolicy;

/// A retry policy as it is sent. All three fields must be there; that is checked by
/// [`RetryPolicyBody::to_policy`], which can name the one that is not.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RetryPolicy)]
#[serde(
    deny_unknown_fields,
    expecting = "an object of `max_retries`, `retry_delay_seconds` and `use_exponential_backoff`"
)]
pub struct RetryPolicyBody {
    /// 0 to 10.
    #[schema(nullable = false, required = true, maximum = 10)]
    pub max_retries: Option<u32>,
    /// 0 to 3600.
    #[schema(nullable = false, required = true, maximum = 3600)]
    pub retry_delay_seconds: Option<u32>,
    #[schema(nullable = false, required = true)]
    pub use_exponential_backoff: Option<bool>,
}

impl RetryPolicyBody {
    /// The policy, or which field is missing or out of range. Source: R3.
    pub fn to_policy(&self) -> Result<RetryPolicy, InvalidField> {
        let missing = |field: &str| InvalidField::new(format!("retry_policy.{field}"), format!("`{field}` is missing"));
        let section = RetrySection {
            max_retries: self.max_retries.ok_or_else(|| missing("max_retries"))?,
            retry_delay_seconds: self.retry_delay_seconds.ok_or_else(|| missing("retry_delay_seconds"))?,
            use_exponential_backoff: self.use_exponential_backoff.ok_or_else(|| missing("use_exponential_backoff"))?,
        };
        section.to_policy().map_err(|e| InvalidField::new(format!("retry_policy.{}", e.field), e.message))
    }
}

/// The longest idempotency key.
pub const MAX_KEY_BYTES: usize = 255;

/// Whether the text may be an `Idempotency-Key`: 1 to 255 visible ASCII characters.
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `POST /v1/apps/{app}/runs`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// Without it the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionRef>,
    /// The guest gets the text as it was sent.
    #[serde(default, deserialize_with = "raw", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub input: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(value_type = BTreeMap<words::ParameterName, words::ParameterValue>)]
    pub parameters: BTreeMap<String, String>,
    /// Without it the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicyBody>,
    /// When to start: RFC 3339, at once unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub scheduled_at: Option<String>,
    /// How long it may wait for a worker before it is cancelled, in seconds: 1 to 2592000; the app's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2592000)]
    pub pending_timeout: Option<u32>,
    /// How long an attempt may run, in seconds: 1 to 86400; the app's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub running_timeout: Option<u32>,
    /// Over those of the app and of the version, each alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsBody>,
    /// By when it has to be final: RFC 3339, later than now and than `scheduled_at`; at no time unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub deadline_at: Option<String>,
    /// `default`, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::OnlyEnvironment>)]
    pub environment: Option<String>,
    /// What kind of client asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<InitiatorBody>,
    /// Null: runs have no parents here yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub parent_run_id: Option<String>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}

/// What kind of client asks for a run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object of `type`")]
pub struct InitiatorBody {
    /// E.g. `tower_cli`: 1 to 63 lower-case letters, digits and underscores.
    #[serde(rename = "type")]
    #[schema(pattern = "^[a-z0-9_]{1,63}$")]
    pub kind: String,
}

/// Keeps a `null`, which is an input too.
fn raw<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // R3
    fn a_partial_retry_policy_names_what_is_missing() {
        let partial =
            RetryPolicyBody { max_retries: Some(1), retry_delay_seconds: None, use_exponential_backoff: None };
        let error = partial.to_policy().expect_err("two fields are missing");
        assert_eq!(error.field, "retry_policy.retry_delay_seconds");
    }

    #[test]
    fn a_null_input_is_an_input() {
        let start: StartRun = serde_json::from_str("{\"input\": null}").expect("good JSON");
        assert_eq!(start.input.expect("it is there").get(), "null");
        let start: StartRun = serde_json::from_str("{}").expect("good JSON");
        assert!(start.input.is_none());
    }
}
